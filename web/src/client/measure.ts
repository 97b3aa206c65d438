/** Measures distances in the view, in the unit of the scene or in one that a known distance sets. */

import type { Engine } from 'pointstream/engine';
import { element, setText } from '../shared/dom';
import { watchClicks } from '../viewer/clicks';
import type { Viewer } from '../viewer/viewer';
import { entry, remember } from './history';

const PROMPTS = [
  'Click a point of the scene. Enter takes the one in the middle of the view.',
  'Click the other end.',
];
const NUMBER = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 });

export class Measure {
  private readonly panel = element('measure-panel');
  private readonly button = element('measure');
  private readonly known = element<HTMLInputElement>('known');
  private readonly unit = element<HTMLInputElement>('unit');
  private readonly set = element<HTMLButtonElement>('scale');
  /** Units of length per unit of the scene, if known. */
  private scale: number | undefined;
  /** The session whose scene is shown. */
  private session: Engine | undefined;

  constructor(private readonly viewer: Viewer) {
    this.button.addEventListener('click', () => this.toggle(!this.isOn));
    element('measure-clear').addEventListener('click', () => this.clear());
    this.known.addEventListener('input', () => this.tell());
    this.unit.addEventListener('input', () => {
      this.keep();
      this.tell();
    });
    this.set.addEventListener('click', () => this.calibrate());
    watchClicks(viewer.canvas, (x, y) => this.take(x, y));
    viewer.canvas.addEventListener('keydown', ({ key }) => {
      if (key === 'Enter') {
        const { clientWidth, clientHeight } = viewer.canvas;
        this.take(clientWidth / 2, clientHeight / 2);
      }
    });
  }

  get isOn(): boolean {
    return !this.panel.hidden;
  }

  /** Another scene has another unit: metres, if the model knows them, or an arbitrary one. */
  forget(): void {
    this.scale = undefined;
    this.session = undefined;
    this.clear();
  }

  /**
   * A scene of a session is shown. The unit is the same in all of them, so a scale that was set holds, also
   * after a reload.
   * @param metres metres per unit of the scene, if its model knows them.
   */
  show(session: Engine, metres: number | undefined): void {
    if (session !== this.session) {
      this.session = session;
      const known = entry(session.server.base, session.id);
      this.scale = known?.scale;
      this.unit.value = known?.unit ?? 'm';
    }
    this.scale ??= metres;
    this.tell();
  }

  /** Keeps a scale that was set, with the session. */
  private keep(change: { scale?: number } = {}): void {
    const { session } = this;
    const known = session && entry(session.server.base, session.id);
    if (session && known && (change.scale ?? known.scale) !== undefined) {
      const unit = this.unit.value.trim();
      remember(session.server.base, session.id, { ...change, unit });
    }
  }

  private toggle(on: boolean): void {
    this.panel.hidden = !on;
    this.button.setAttribute('aria-pressed', String(on));
    this.viewer.canvas.classList.toggle('measuring', on);
    this.clear();
  }

  private clear(): void {
    this.viewer.ruler.clear();
    this.known.value = '';
    this.tell();
    this.viewer.draw();
  }

  private take(x: number, y: number): void {
    const point = this.isOn ? this.viewer.pick(x, y) : undefined;
    if (point) {
      this.viewer.ruler.add(point);
      this.tell();
      this.viewer.draw();
    }
  }

  private calibrate(): void {
    const { length } = this.viewer.ruler;
    const known = Number(this.known.value);
    if (length && known > 0) {
      this.scale = known / length;
      this.keep({ scale: this.scale });
      this.known.value = '';
      this.tell();
    }
  }

  private tell(): void {
    const { length, count } = this.viewer.ruler;
    const measured = length !== undefined && length > 0;
    this.known.disabled = !measured;
    this.set.disabled = !measured || !(Number(this.known.value) > 0);
    setText(element('distance'), measured ? this.inWords(length) : (PROMPTS[count] ?? ''));
  }

  private inWords(length: number): string {
    return this.scale === undefined
      ? `${NUMBER.format(length)} units of the scene. If you know the distance, set the scale.`
      : `${NUMBER.format(length * this.scale)} ${this.unit.value.trim() || 'm'}`;
  }
}
