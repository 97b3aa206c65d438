/** The requests for point clouds: one at a time, when it is due. */

import type { Uploads } from './uploads';

export type RequestKind = 'update' | 'finish';

/** Fewer images than this give nothing to triangulate, so no update is asked by itself. */
const FEWEST_IMAGES = 2;
/** Stages during which no large answer is on its way. */
const EARLY_STAGES = ['loading_model', 'inference'];

/** A request without an identifier is that of an earlier page; what it was is not known. */
export interface Pending {
  kind: RequestKind;
  id: string | undefined;
}

export class Requests {
  /** Ask for an update after so many images; 0 asks for none. */
  updateEvery = 0;
  /** Whether images come without end, so that an empty queue means nothing. */
  live = false;
  /** Sent, and not answered yet. */
  pending: Pending | undefined;
  /** The stage of the pending one. */
  stage: string | undefined;
  /** Asked for, but not sent yet: images come first. */
  private wanted: RequestKind | undefined;
  /** Images sent since the last one. */
  private images = 0;

  get busy(): boolean {
    return this.pending !== undefined || this.wanted !== undefined;
  }

  /** Whether the session is being finished. */
  get finishing(): boolean {
    return this.wanted === 'finish' || this.pending?.kind === 'finish';
  }

  /** A large answer may be on its way. */
  get isAnswerDue(): boolean {
    const early = this.stage !== undefined && EARLY_STAGES.includes(this.stage);
    return this.pending !== undefined && !early;
  }

  want(kind: RequestKind): void {
    if (this.wanted !== 'finish') {
      this.wanted = kind;
    }
  }

  imageSent(): void {
    this.images += 1;
  }

  /** What to send now, if anything. */
  due(uploads: Uploads): RequestKind | undefined {
    if (this.pending) {
      return undefined;
    }
    const { drained } = uploads;
    if (this.wanted === 'finish') {
      return drained ? 'finish' : undefined;
    }
    return this.wanted === 'update' || this.updateIsDue(uploads, drained) ? 'update' : undefined;
  }

  sent(kind: RequestKind, id: string): void {
    this.pending = { kind, id };
    this.stage = undefined;
    this.wanted = undefined;
    this.images = 0;
  }

  /**
   * Whether an answer with this identifier is that of the pending request.
   *
   * @param correlates whether the server's answers say what they answer.
   */
  isAnsweredBy(id: string | undefined, correlates: boolean): boolean {
    if (!this.pending) {
      return false;
    }
    // One that an earlier page asked for has an identifier that is not known here.
    const unknown = this.pending.id === undefined || (!correlates && id === undefined);
    return unknown || this.pending.id === id;
  }

  /** The pending one was answered. */
  settle(): void {
    this.pending = undefined;
  }

  /** The pending one did not arrive. */
  again(): void {
    if (this.pending) {
      this.wanted ??= this.pending.kind;
      this.pending = undefined;
    }
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
