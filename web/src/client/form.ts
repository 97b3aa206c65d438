/** The parameters of a session, with their defaults and ranges. */

import type { Config } from '../protocol/messages';
import { create, element } from '../shared/dom';

/** What `GET /info` says about a server. */
export interface ServerInfo {
  version: string;
  model?: { name?: string; version?: string } | string;
  limits: {
    max_images: number;
    min_process_res: number;
    max_process_res: number;
    num_max_points: number;
  };
}

interface Field {
  name: string;
  label: string;
  help: string;
  value: string | boolean;
  min?: number;
  max?: number;
  step?: number | 'any';
  options?: string[];
}

/** The parameters of the protocol; a default larger than the server's limit becomes that limit. */
function fields({ limits }: ServerInfo): Field[] {
  const within = (value: number, limit: number) => String(Math.min(value, limit));
  return [
    {
      name: 'process_res',
      label: 'Resolution',
      help: 'pixels of the processed images; less is faster',
      value: within(504, limits.max_process_res),
      min: limits.min_process_res,
      max: limits.max_process_res,
      step: 1,
    },
    {
      name: 'process_res_method',
      label: 'Method',
      help: 'whether the longer (upper) or the shorter side (lower) gets the resolution',
      value: 'upper_bound_resize',
      options: ['upper_bound_resize', 'upper_bound_crop', 'lower_bound_resize', 'lower_bound_crop'],
    },
    {
      name: 'conf_thresh_percentile',
      label: 'Least confident, %',
      help: 'share of the pixels that is left out',
      value: '10',
      min: 0,
      max: 100,
      step: 'any',
    },
    {
      name: 'num_max_points',
      label: 'Most points',
      help: 'a random choice of more',
      value: within(10_000_000, limits.num_max_points),
      min: 1,
      max: limits.num_max_points,
      step: 1,
    },
    {
      name: 'max_images',
      label: 'Most images',
      help: 'images that the session takes',
      value: within(100, limits.max_images),
      min: 1,
      max: limits.max_images,
      step: 1,
    },
    {
      name: 'show_cameras',
      label: 'Cameras in the file',
      help: 'draws them in the GLB, too',
      value: true,
    },
  ];
}

type Control = HTMLInputElement | HTMLSelectElement;

export class ParameterForm {
  private readonly form = element<HTMLFormElement>('form');
  private readonly controls = new Map<string, { control: Control; standard: string }>();

  constructor(private readonly changed: () => void) {
    this.form.addEventListener('submit', (event) => event.preventDefault());
    this.form.addEventListener('input', () => this.changed());
  }

  /** Builds the form for a server, with its limits. */
  build(info: ServerInfo): void {
    this.controls.clear();
    this.form.replaceChildren(...fields(info).map((field) => this.row(field)));
    this.changed();
  }

  /** Shows what a session was made with. */
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

  /** A parameter's value now. */
  value(name: string): string {
    const found = this.controls.get(name);
    return found ? read(found.control) : '';
  }

  /** All parameters that differ from the server's defaults; nothing if one is out of its range. */
  parameters(): Record<string, string> | undefined {
    if (!this.form.checkValidity()) {
      element<HTMLDetailsElement>('parameters').open = true;
      this.form.reportValidity();
      return undefined;
    }
    const chosen: Record<string, string> = {};
    for (const [name, { control, standard }] of this.controls) {
      const value = read(control);
      if (value !== standard) {
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
