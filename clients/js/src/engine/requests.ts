/** Schedules the requests for point clouds, one at a time. */

import type { Uploads } from './uploads.js';

export type RequestKind = 'update' | 'finish';

/** Minimum number of images for an automatic update; fewer cannot be triangulated. */
const FEWEST_IMAGES = 2;
/** Stages during which no large answer can be in transit. */
const EARLY_STAGES = ['loading_model', 'inference'];

/** A request, wanted or sent. */
export interface Request {
  readonly kind: RequestKind;
  /** Undefined for one of an earlier client, whose identifier is not known. */
  readonly id: string | undefined;
  /** Whether the answer of an update is a `delta`. */
  readonly incremental: boolean;
  /** Whether it must not be made any more. */
  cancelled: boolean;
}

export class Requests {
  /** Number of images between automatic updates; 0 disables them. */
  updateEvery = 0;
  /** Whether a live source adds images, so that an empty queue does not mean the end. */
  live = false;
  /** The request sent and not yet answered. */
  pending: Request | undefined;
  /** The stage of the pending request. */
  stage: string | undefined;
  /** The request to send after the waiting images. */
  wanted: Request | undefined;
  /** Images sent since the last request. */
  private images = 0;

  get busy(): boolean {
    return this.pending !== undefined || this.wanted !== undefined;
  }

  /** Whether the session is being finished. */
  get finishing(): boolean {
    return this.wanted?.kind === 'finish' || this.pending?.kind === 'finish';
  }

  /** Whether a large answer may be in transit. */
  get isAnswerDue(): boolean {
    const early = this.stage !== undefined && EARLY_STAGES.includes(this.stage);
    return this.pending !== undefined && !early;
  }

  want(request: Request): void {
    if (this.wanted?.kind !== 'finish') {
      this.wanted = request;
    }
  }

  /** Forgets the request that has not been sent. */
  unwant(): Request | undefined {
    const { wanted } = this;
    this.wanted = undefined;
    return wanted;
  }

  imageSent(): void {
    this.images += 1;
  }

  /** The kind of the request to send now, if any. */
  due(uploads: Uploads): RequestKind | undefined {
    if (this.pending) {
      return undefined;
    }
    const { drained } = uploads;
    if (this.wanted?.kind === 'finish') {
      return drained ? 'finish' : undefined;
    }
    return this.wanted || this.updateIsDue(uploads, drained) ? 'update' : undefined;
  }

  sent(request: Request): void {
    this.pending = request;
    this.stage = undefined;
    this.wanted = undefined;
    this.images = 0;
  }

  /**
   * Whether an answer with this identifier is that of the pending request.
   *
   * @param correlates whether the server repeats identifiers in its answers.
   */
  isAnsweredBy(id: string | undefined, correlates: boolean): boolean {
    if (!this.pending) {
      return false;
    }
    // The identifier of an earlier client's request is not known here.
    const unknown = this.pending.id === undefined || (!correlates && id === undefined);
    return unknown || this.pending.id === id;
  }

  /** Records that the pending request was answered, or never will be. */
  settle(): void {
    this.pending = undefined;
  }

  /** Records that the pending request was lost, so that it is sent again. */
  again(): void {
    if (this.pending?.id !== undefined) {
      this.wanted ??= this.pending;
    }
    this.pending = undefined;
  }

  clear(): void {
    this.pending = undefined;
    this.wanted = undefined;
  }

  private updateIsDue(uploads: Uploads, drained: boolean): boolean {
    if (!this.updateEvery || this.images === 0) {
      return false;
    }
    const images = uploads.foreign + uploads.in('sent', 'acknowledged').length;
    const rest = drained && !this.live;
    return images >= FEWEST_IMAGES && (rest || this.images >= this.updateEvery);
  }
}
