/** What happens in a session, as typed events. */

import { Cloud } from './cloud.js';
import type { FramePose, Metadata, Quality } from './engine/messages.js';
import { InvalidResponseError, type PointstreamError } from './errors.js';

/** The session is connected, again if `resumed`. */
export interface Connected {
  type: 'connected';
  sessionId: string;
  imageCount: number;
  maxImages: number;
  resumed: boolean;
}

/** The connection was lost. Another attempt follows after `delay` seconds. */
export interface Disconnected {
  type: 'disconnected';
  reason: string;
  attempt: number;
  delay: number;
}

/** An image is stored. */
export interface Ack {
  type: 'ack';
  /** Images of the session with this one. */
  imageCount: number;
  imagePath: string;
  id: string;
}

/** A request goes on. */
export interface Progress {
  type: 'progress';
  stage: string;
  /** From 0 to 1. */
  progress: number;
  message: string;
  id: string | undefined;
}

/** The answer to `generate` or `finalize`. */
export class Result {
  readonly type = 'result';

  constructor(
    readonly kind: 'delta' | 'complete',
    readonly imageCount: number,
    /** As docs/protocol.md describes it. */
    readonly metadata: Metadata,
    /** The whole cloud; of a `delta` of a session with deltas `append` only what is new. */
    readonly glb: Uint8Array<ArrayBuffer>,
    readonly id: string | undefined,
    readonly number: number | undefined,
  ) {}

  /** Whether it can be relied on, and if not, why and what to do. */
  get quality(): Quality {
    const { quality } = this.metadata;
    if (!quality) {
      throw new InvalidResponseError('the result has no verdict');
    }
    return quality;
  }

  /** Whether `glb` has only what is new. */
  get isUpdate(): boolean {
    return this.metadata.append !== undefined;
  }

  /** The points and cameras of a whole result; those of updates are in `Session.cloud`. */
  cloud(): Cloud {
    return Cloud.fromGlb(this.glb);
  }
}

/** Where each frame is now. */
export interface Poses {
  type: 'poses';
  /** As docs/protocol.md describes them. */
  frames: FramePose[];
  /** Width and height that the intrinsics refer to; null before there is any pose. */
  processedSize: [number, number] | null;
  id: string | undefined;
}

/** The server answered with an error. The call that sent the message throws it, too. */
export interface Refused {
  type: 'refused';
  error: PointstreamError;
  id: string | undefined;
}

export type SessionEvent = Connected | Disconnected | Ack | Progress | Result | Poses | Refused;
