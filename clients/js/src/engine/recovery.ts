/**
 * Finds out what a lost connection has cost, so that only that is sent again.
 *
 * Messages of a connection arrive in their order, and each has an identifier of its own. The server
 * lists the identifiers of stored images, and resends answers that were not confirmed. So an image
 * that it has is not sent again, and a request that it has is not made twice.
 */

import { type PointstreamError, serverError } from '../errors.js';
import type { Blame } from './blame.js';
import type { SessionInfo } from './messages.js';
import type { Requests } from './requests.js';
import { delays, type SessionResource, type Settled } from './resource.js';
import { pause } from './retry.js';
import type { Places, Uploads } from './uploads.js';

/** The part of the engine that a recovery needs. */
export interface Recovering {
  send(text: string): void;
  /** Whether the connection with this number is still the current one. */
  isCurrent(epoch: number): boolean;
  /** Whether a request was answered since the connection was greeted. */
  isAnswered(): boolean;
  /** The session is completed. */
  complete(): void;
  /** The pending request has failed. */
  fail(error: PointstreamError): void;
  /** Takes the newest result as the answer to the pending request. */
  fetch(): Promise<void>;
}

export class Recovery {
  /** Resolved by the next pong. */
  private onPong: (() => void) | undefined;
  /** Aborts what waits for the current connection. */
  private waiting = new AbortController();

  constructor(
    private readonly resource: SessionResource,
    private readonly uploads: Uploads,
    private readonly requests: Requests,
    private readonly engine: Recovering,
  ) {}

  pong(): void {
    this.onPong?.();
    this.onPong = undefined;
  }

  /** The connection is lost. */
  stop(): void {
    this.onPong = undefined;
    this.waiting.abort();
    this.waiting = new AbortController();
  }

  /**
   * Settles what was in transit. Returns whether the connection is still the current one.
   *
   * @param stored the server's image count.
   */
  async run(epoch: number, stored: number, blame: Blame): Promise<boolean> {
    const images = this.uploads.in('sent').length > 0;
    let found: Settled | undefined;
    if (images || this.requests.pending) {
      const complete = (places: Places) =>
        this.uploads.in('sent').every(({ id }) => places.has(id)) || !this.engine.isCurrent(epoch);
      found = await this.resource.settled(stored, images, complete);
    }
    // Answers sent before the query above arrive before the pong.
    if (!this.engine.isCurrent(epoch) || !(await this.ping(epoch))) {
      return false;
    }
    if (found) {
      this.uploads.reconnected(found.info.image_count, found.places, blame.take());
      await this.decide(found.info);
    }
    return this.engine.isCurrent(epoch);
  }

  /** Watches a request that runs, and makes it if what runs is that of another client. */
  async follow(epoch: number): Promise<void> {
    const request = this.requests.pending;
    if (!request) {
      return;
    }
    const { signal } = this.waiting;
    const current = () => this.engine.isCurrent(epoch) && this.requests.pending === request;
    for (const delay of delays()) {
      await pause(delay, signal);
      if (!current()) {
        return;
      }
      let info: SessionInfo;
      try {
        info = await this.resource.info();
      } catch {
        // The socket notices if the server has gone.
        continue;
      }
      if (!isRunning(info)) {
        if (current() && (await this.ping(epoch)) && current()) {
          await this.decide(info);
        }
        return;
      }
    }
  }

  /** Decides what becomes of the pending request. */
  private async decide(info: SessionInfo): Promise<void> {
    const { pending } = this.requests;
    const completed = info.status === 'completed';
    if (pending?.cancelled) {
      // It may run, or may not have arrived.
      this.engine.send(JSON.stringify({ type: 'cancel', id: pending.id }));
      this.engine.fail(serverError('the request was cancelled', { code: 'cancelled' }));
    } else if (pending && !isRunning(info) && !this.engine.isAnswered()) {
      if (completed && pending.kind === 'finish') {
        // It did arrive, and its answer is not kept any more.
        await this.engine.fetch();
      } else {
        this.requests.again();
      }
    }
    if (completed) {
      this.engine.complete();
    }
  }

  private async ping(epoch: number): Promise<boolean> {
    const { signal } = this.waiting;
    await new Promise<void>((resolve) => {
      this.onPong = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
      this.engine.send('{"type":"ping"}');
    });
    return this.engine.isCurrent(epoch);
  }
}

function isRunning({ status, requests }: SessionInfo): boolean {
  return status === 'processing' || Boolean(requests);
}
