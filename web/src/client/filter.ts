/** Hides points of the view: the least certain ones, and those outside of a box. */

import type { Engine, Metadata } from 'pointstream/engine';
import { Vector3 } from 'three';
import { reason } from '../shared/api';
import { element, setText } from '../shared/dom';
import { plyConfidence } from '../viewer/ply';
import type { Viewer } from '../viewer/viewer';

const SIDES = ['left', 'right', 'bottom', 'top', 'back', 'front'];
/** Values that are sorted to find a share of all. */
const SAMPLE = 50_000;
const LATER = 'How certain points are is known once you have pressed “Finish”.';

export class Filter {
  private readonly panel = element('filter-panel');
  private readonly button = element('filter');
  private readonly least = element<HTMLInputElement>('least');
  private readonly note = element('least-note');
  private readonly sides = SIDES.map((side) => element<HTMLInputElement>(`crop-${side}`));
  private session: Engine | undefined;
  /** Some of the confidences, in order; a promise while they are fetched. */
  private sorted: Promise<Float32Array> | undefined;

  constructor(private readonly viewer: Viewer) {
    this.button.addEventListener('click', () => this.toggle());
    this.least.addEventListener('input', () => void this.hide());
    for (const side of this.sides) {
      side.addEventListener('input', () => this.crop());
    }
    element('filter-clear').addEventListener('click', () => this.clear());
  }

  /** A new result is shown. */
  offer(session: Engine, metadata: Metadata): void {
    this.session = session;
    this.sorted = undefined;
    this.least.value = '0';
    this.least.disabled = metadata.append !== undefined;
    setText(this.note, this.least.disabled ? LATER : '');
    this.crop();
  }

  clear(): void {
    for (const input of [this.least, ...this.sides]) {
      input.value = '0';
    }
    this.viewer.setLeast(0);
    this.viewer.setCrop(undefined);
  }

  private toggle(): void {
    this.panel.hidden = !this.panel.hidden;
    this.button.setAttribute('aria-pressed', String(!this.panel.hidden));
  }

  private crop(): void {
    const [left = 0, right = 0, bottom = 0, top = 0, back = 0, front = 0] = this.sides.map(
      ({ value }) => Number(value) / 100,
    );
    const none = left + right + bottom + top + back + front === 0;
    // The scene looks towards -z: its front is where z is largest.
    const low = new Vector3(left, bottom, back);
    const high = new Vector3(1 - right, 1 - top, 1 - front);
    this.viewer.setCrop(none ? undefined : { low, high });
  }

  private async hide(): Promise<void> {
    const { session } = this;
    if (!session) {
      return;
    }
    this.sorted ??= this.fetch(session);
    const { sorted } = this;
    try {
      const values = await sorted;
      if (sorted === this.sorted) {
        const share = Number(this.least.value) / 100;
        const least = values[Math.floor(share * values.length)] ?? 0;
        this.viewer.setLeast(share > 0 ? least : 0);
        setText(this.note, share > 0 ? hiddenOf(values, least) : '');
      }
    } catch (error) {
      if (sorted === this.sorted) {
        this.sorted = undefined;
        setText(this.note, `How certain they are could not be fetched: ${reason(error)}`);
      }
    }
  }

  /** The GLB does not say how certain points are; the PLY file has the same points in that order. */
  private async fetch(session: Engine): Promise<Float32Array> {
    setText(this.note, 'Asking how certain the points are …');
    const file = await session.resource.file('ply');
    const values = plyConfidence(await file.arrayBuffer());
    await this.viewer.setConfidence(values);
    const step = Math.max(1, Math.floor(values.length / SAMPLE));
    return values.filter((_, index) => index % step === 0).sort();
  }
}

/** How many points are hidden: fewer than asked for where many are equally certain. */
function hiddenOf(sorted: Float32Array, least: number): string {
  const hidden = sorted.findIndex((value) => value >= least) / Math.max(1, sorted.length);
  return hidden > 0
    ? `${Math.round(100 * hidden)} of 100 points are hidden.`
    : 'All these points are equally certain.';
}
