/** The progress bar of the current request. */

import type { Progress } from 'pointstream/engine';
import { element, setText } from '../shared/dom';

const STAGES: Record<string, string> = {
  loading_model: 'Waiting',
  inference: 'Model',
  exporting: 'Point cloud',
  finalizing: 'Result',
};
/** How long to show a result or a failure, in milliseconds. */
const LINGER_MS = 2500;

export class ProgressBar {
  private readonly box = element('progress');
  private readonly bar = element<HTMLProgressElement>('bar');
  private readonly stage = element('stage');
  private timer: ReturnType<typeof setTimeout> | undefined;

  begin(): void {
    this.set(0, 'Requested a point cloud');
  }

  step({ stage, progress, message }: Progress): void {
    const name = STAGES[stage] ?? stage;
    const parts = [`${Math.round(100 * progress)} %`, name, message];
    this.set(progress, parts.filter(Boolean).join(' · '));
    this.box.dataset.stage = stage;
  }

  done(): void {
    this.set(1, 'Done');
    this.timer = setTimeout(() => this.hide(), LINGER_MS);
  }

  fail(message: string): void {
    this.set(this.bar.value, message);
    this.box.classList.add('failed');
    this.timer = setTimeout(() => this.hide(), 4 * LINGER_MS);
  }

  hide(): void {
    clearTimeout(this.timer);
    this.box.hidden = true;
  }

  private set(value: number, text: string): void {
    clearTimeout(this.timer);
    this.box.hidden = false;
    this.box.classList.remove('failed');
    this.bar.value = value;
    setText(this.stage, text);
  }
}
