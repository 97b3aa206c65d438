/** The form for the parameters of the next session. */

import type { Config } from '../protocol/messages';
import { create, element } from '../shared/dom';
import { type Field, fields, type ServerInfo } from './parameters';

type Control = HTMLInputElement | HTMLSelectElement;

export class ParameterForm {
  private readonly form = element<HTMLFormElement>('form');
  private readonly controls = new Map<string, { control: Control; standard: string }>();

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

  /** Shows the parameters of an existing session. */
  fill(config: Config): void {
    for (const [name, value] of Object.entries(config)) {
      const found = this.controls.get(name);
      if (found) {
        write(found.control, String(value));
      }
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

  /**
   * The parameters that differ from the server's defaults; undefined if one is out of range.
   *
   * @param all whether the others are in it, too.
   */
  parameters(all = false): Record<string, string> | undefined {
    if (!this.form.checkValidity()) {
      element<HTMLDetailsElement>('parameters').open = true;
      this.form.reportValidity();
      return undefined;
    }
    const chosen: Record<string, string> = {};
    for (const [name, { control, standard }] of this.controls) {
      const value = read(control);
      if (all || value !== standard) {
        chosen[name] = value;
      }
    }
    return chosen;
  }

  private row(field: Field): HTMLElement {
    const control = makeControl(field);
    control.id = `parameter-${field.name}`;
    control.name = field.name;
    control.title = field.help;
    const label = create('label', '', field.label);
    label.htmlFor = control.id;
    label.title = field.help;
    if (field.min !== undefined && field.max !== undefined) {
      control.title += ` (${field.min} to ${field.max})`;
    }
    const row = create('div', 'row');
    row.append(label, control);
    this.controls.set(field.name, { control, standard: read(control) });
    return row;
  }
}

function makeControl({ value, options, min, max, step }: Field): Control {
  if (options) {
    const select = create('select');
    select.append(...options.map((option) => new Option(option, option)));
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
  const input = element<HTMLInputElement>(id);
  const number = Math.round(Number(input.value)) || Number(input.defaultValue);
  return Math.min(Math.max(number, Number(input.min)), Number(input.max));
}
