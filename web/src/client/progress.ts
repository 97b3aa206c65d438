/** What the current request is doing, for how long, and how long it will take. */

import type { Engine, Progress } from 'pointstream/engine';
import { element, setText } from '../shared/dom';
import { age } from '../shared/format';
import { Pace } from './pace';

const WAITING = 'loading_model';
const STAGES: Record<string, string> = {
  inference: 'Looking at the photos',
  exporting: 'Making the point cloud',
  finalizing: 'Storing the result',
};
const ASKED = 'Asked for a point cloud';
const TURN = 'Waiting for its turn: other work, or the start of the model, comes before it';
/** How long to show a result or a failure, in milliseconds. */
const LINGER_MS = 2500;
const SECOND_MS = 1000;

export class ProgressBar {
  private readonly box = element('progress');
  private readonly bar = element<HTMLProgressElement>('bar');
  private readonly stage = element('stage');
  private readonly times = element('times');
  private readonly cancel = element('cancel');
  private readonly pace = new Pace();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private clock: ReturnType<typeof setInterval> | undefined;

  begin(): void {
    this.pace.begin();
    this.set(0, ASKED);
    this.run();
  }

  step(progress: Progress): void {
    const { stage } = progress;
    if (!this.clock) {
      // Another client's request, or one of before the page was loaded.
      this.pace.begin();
    }
    this.pace.step(progress.progress, stage !== WAITING);
    this.set(progress.progress, said(progress));
    this.run();
    this.box.dataset.stage = stage;
  }

  /** Follows a request that waits until its images are there, and offers to cancel any. */
  follow(session: Engine | undefined): void {
    const { wanted, pending } = session?.requests ?? {};
    this.cancel.hidden = !session?.busy || session.isOver;
    if (this.clock && !session?.busy) {
      this.hide();
    }
    if (session && wanted && !pending) {
      const done = session.uploads.in('acknowledged').length;
      const all = done + session.uploads.in('preparing', 'queued', 'sent').length;
      if (!this.clock) {
        this.begin();
      }
      this.set(0, `Sending the photos: ${done} of ${all} are stored`);
    }
  }

  done(): void {
    this.set(1, 'Done');
    this.linger(LINGER_MS);
  }

  fail(message: string): void {
    this.set(this.bar.value, message);
    this.box.classList.add('failed');
    this.linger(4 * LINGER_MS);
  }

  hide(): void {
    this.stop();
    clearTimeout(this.timer);
    this.box.hidden = true;
  }

  private linger(ms: number): void {
    this.stop();
    this.timer = setTimeout(() => this.hide(), ms);
  }

  private set(value: number, text: string): void {
    clearTimeout(this.timer);
    this.box.hidden = false;
    this.box.classList.remove('failed');
    this.bar.value = value;
    setText(this.stage, text);
  }

  private run(): void {
    this.clock ??= setInterval(() => this.tell(), SECOND_MS);
    this.tell();
  }

  private stop(): void {
    clearInterval(this.clock);
    this.clock = undefined;
    setText(this.times, '');
  }

  private tell(): void {
    const { elapsed, left } = this.pace;
    const rest = left === undefined ? '' : `, about ${age(left)} left`;
    setText(this.times, `${age(elapsed)}${rest}`);
  }
}

/** What a request is doing, in words. */
export function said({ stage, progress, message }: Progress): string {
  if (stage === WAITING) {
    return progress > 0 ? 'It begins' : TURN;
  }
  const [, one, all] = /(\d+)\/(\d+)/.exec(message) ?? [];
  const parts = [STAGES[stage] ?? message, one ? `photo ${one} of ${all}` : ''];
  return [...parts, `${Math.round(100 * progress)} %`].filter(Boolean).join(' · ');
}
