/** Rows that are updated in place, so that the keyboard focus stays. */

import { create, setText } from '../shared/dom';

/** Keeps one row per item, in the order of the items. */
export class Rows<T> {
  private readonly rows = new Map<string, HTMLElement>();

  constructor(
    private readonly parent: HTMLElement,
    private readonly key: (item: T) => string,
    private readonly make: (item: T) => HTMLElement,
    private readonly update: (row: HTMLElement, item: T) => void,
  ) {}

  show(items: T[]): void {
    const kept = new Set(items.map(this.key));
    for (const [key, row] of this.rows) {
      if (!kept.has(key)) {
        row.remove();
        this.rows.delete(key);
      }
    }
    items.forEach((item, index) => {
      const key = this.key(item);
      let row = this.rows.get(key);
      if (!row) {
        row = this.make(item);
        this.rows.set(key, row);
      }
      this.update(row, item);
      if (this.parent.children[index] !== row) {
        this.parent.insertBefore(row, this.parent.children[index] ?? null);
      }
    });
  }
}

/** A row with `number` cells. */
export function cells(number: number, numeric: number[] = []): HTMLTableRowElement {
  const row = create('tr');
  for (let index = 0; index < number; index += 1) {
    row.append(create('td', numeric.includes(index) ? 'number' : ''));
  }
  return row;
}

/** Sets the text of one of a row's cells. */
export function fill(row: HTMLElement, cell: number, text: string): void {
  const found = row.children[cell];
  if (found instanceof HTMLElement) {
    setText(found, text);
  }
}

/** Shows a state with its colour in a cell. */
export function fillState(row: HTMLElement, cell: number, state: string): void {
  const found = row.children[cell];
  const label = found?.firstElementChild ?? found?.appendChild(create('span', 'state'));
  if (label instanceof HTMLElement) {
    label.dataset.state = state;
    setText(label, state);
  }
}

/** A bar from 0 to 1, with text beside it. */
export function fillMeter(row: HTMLElement, cell: number, share: number, text = ''): void {
  const found = row.children[cell];
  if (!(found instanceof HTMLElement)) {
    return;
  }
  if (!found.firstElementChild) {
    const meter = create('span', 'meter');
    meter.append(create('i'));
    found.append(meter, create('span'));
  }
  const bar = found.querySelector('i');
  if (bar) {
    bar.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  }
  setText(found.lastElementChild as HTMLElement, text);
}
