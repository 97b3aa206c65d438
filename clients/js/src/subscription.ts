/** Events that wait for whoever iterates over them. */

import type { PointstreamError } from './errors.js';
import type { SessionEvent } from './events.js';

/** Events that wait at most, and how many of them may be results, which are large. */
const LONGEST = 256;
const MOST_RESULTS = 4;

interface Reader {
  resolve(result: IteratorResult<SessionEvent>): void;
  reject(error: PointstreamError): void;
}

/**
 * An asynchronous iterator of events.
 *
 * It never makes the session wait. Whoever reads too slowly misses events: progress first, then
 * results but the newest, then the oldest of all. `missed` counts them. The calls that asked for
 * results get them in any case, and so does `Session.cloud`.
 */
export class Subscription implements AsyncIterableIterator<SessionEvent> {
  missed = 0;
  private readonly waiting: SessionEvent[] = [];
  private readonly readers: Reader[] = [];
  private ended = false;
  private error: PointstreamError | undefined;

  /** @param left called when nobody iterates any more. */
  constructor(private readonly left: (subscription: Subscription) => void) {}

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<SessionEvent>> {
    const event = this.waiting.shift();
    if (event) {
      return Promise.resolve({ value: event, done: false });
    }
    const { error } = this;
    if (error) {
      this.error = undefined;
      return Promise.reject(error);
    }
    if (this.ended) {
      return Promise.resolve({ value: undefined, done: true });
    }
    return new Promise((resolve, reject) => this.readers.push({ resolve, reject }));
  }

  /** Called when a loop over the events is left. */
  async return(): Promise<IteratorResult<SessionEvent>> {
    this.waiting.length = 0;
    this.end(undefined);
    this.left(this);
    return { value: undefined, done: true };
  }

  /** Adds an event, in place of another one if too many wait. */
  add(event: SessionEvent): void {
    if (this.ended) {
      return;
    }
    const reader = this.readers.shift();
    if (reader) {
      reader.resolve({ value: event, done: false });
      return;
    }
    if (event.type === 'result') {
      const results = this.waiting.filter(({ type }) => type === 'result');
      if (results.length >= MOST_RESULTS) {
        this.drop(results[0]);
      }
    }
    if (this.waiting.length >= LONGEST) {
      this.drop(this.waiting.find(({ type }) => type === 'progress') ?? this.waiting[0]);
    }
    this.waiting.push(event);
  }

  /** No event follows; whoever waits gets the error. */
  end(error: PointstreamError | undefined): void {
    if (this.ended) {
      return;
    }
    this.ended = true;
    this.error = error;
    for (const reader of this.readers.splice(0)) {
      const failed = this.error;
      this.error = undefined;
      if (failed) {
        reader.reject(failed);
      } else {
        reader.resolve({ value: undefined, done: true });
      }
    }
  }

  private drop(event: SessionEvent | undefined): void {
    if (event) {
      this.waiting.splice(this.waiting.indexOf(event), 1);
      this.missed += 1;
    }
  }
}
