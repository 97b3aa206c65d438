/** The form for the parameters of the next session. */

import type { Config } from 'pointstream/engine';
import { create, element } from '../shared/dom';
import { type Field, fields, type ServerInfo } from './parameters';

type Control = HTMLInputElement | HTMLSelectElement;

interface Entry {
  control: Control;
  /** The value without a choice. */
  standard: string;
  /** The value of the current session. */
  current: string;
}

export class ParameterForm {
  private readonly form = element<HTMLFormElement>('form');
  private readonly controls = new Map<string, Entry>();

  constructor(private readonly changed: () => void) {
    this.form.addEventListener('submit', (event) => event.preventDefault());
    this.form.addEventListener('input', () => this.changed());
  }

  /** Builds the form with a server's limits. */
  build(info: ServerInfo): void {
    this.controls.clear();
    this.form.replaceChildren(...fields(info).map((field) => this.row(field)));
    this.changed();
  }

  /** Shows the parameters of the current session. Those that it does not name are as they were sent. */
  fill(config: Config): void {
    for (const [name, entry] of this.controls) {
      const value = config[name];
      if (value !== undefined) {
        write(entry.control, String(value));
      }
      entry.current = read(entry.control);
    }
    this.changed();
  }

  get isBuilt(): boolean {
    return this.controls.size > 0;
  }

  /** The current value of a parameter. */
  value(name: string): string {
    const found = this.controls.get(name);
    return found ? read(found.control) : '';
  }

  /** The parameters that differ from the server's defaults; undefined if one is out of range. */
  parameters(): Record<string, string> | undefined {
    return this.differing('standard');
  }

  /** The parameters that differ from those of the current session; undefined if one is out of range. */
  changes(): Record<string, string> | undefined {
    return this.differing('current');
  }

  private differing(from: 'standard' | 'current'): Record<string, string> | undefined {
    if (!this.form.checkValidity()) {
      element<HTMLDetailsElement>('parameters').open = true;
      this.form.reportValidity();
      return undefined;
    }
    const chosen: Record<string, string> = {};
    for (const [name, entry] of this.controls) {
      const value = read(entry.control);
      if (value !== entry[from]) {
        chosen[name] = value;
      }
    }
    return chosen;
  }

  private row(field: Field): HTMLElement {
    const control = makeControl(field);
    control.id = `parameter-${field.name}`;
    control.name = field.name;
    const label = create('label', '', field.label);
    label.htmlFor = control.id;
    const { min, max } = field;
    const range = min !== undefined && max !== undefined ? `, ${min} to ${max}` : '';
    // Programs and the documents call it by its name in the protocol.
    control.title = `${field.help}${range} (${field.name})`;
    label.title = control.title;
    const row = create('div', 'row');
    row.append(label, control);
    const standard = read(control);
    this.controls.set(field.name, { control, standard, current: standard });
    return row;
  }
}

function makeControl({ value, options, min, max, step }: Field): Control {
  if (options) {
    const select = create('select');
    select.append(...Object.entries(options).map(([option, label]) => new Option(label, option)));
    select.value = String(value);
    return select;
  }
  const input = create('input');
  if (typeof value === 'boolean') {
    input.type = 'checkbox';
    input.checked = value;
    return input;
  }
  input.type = 'number';
  input.required = true;
  input.min = String(min ?? '');
  input.max = String(max ?? '');
  input.step = String(step ?? 'any');
  input.value = value;
  return input;
}

function read(control: Control): string {
  return control.type === 'checkbox'
    ? String((control as HTMLInputElement).checked)
    : control.value.trim();
}

function write(control: Control, value: string): void {
  if (control.type === 'checkbox') {
    (control as HTMLInputElement).checked = value === 'true';
  } else {
    control.value = value;
  }
}

/** The number in an input, within its range. */
export function wholeNumber(id: string): number {
  return Math.round(numberOf(id));
}

/** The number of an input, within its range. */
export function numberOf(id: string): number {
  const input = element<HTMLInputElement>(id);
  const number = Number(input.value) || Number(input.defaultValue);
  return Math.min(Math.max(number, Number(input.min)), Number(input.max));
}
