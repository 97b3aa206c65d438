/** What an engine tells. */

import type { PointstreamError } from '../errors.js';
import type { Answer, Poses, Progress } from './messages.js';
import type { Request } from './requests.js';
import type { Image } from './uploads.js';

/** The state of the connection. */
export type Link =
  | { state: 'connecting' }
  | { state: 'open'; resumed: boolean; imageCount: number; maxImages: number }
  /** Another attempt follows after so many seconds. */
  | { state: 'lost'; reason: string; attempt: number; delay: number }
  | { state: 'ended'; error: PointstreamError; meaning: string };

export interface EngineEvents {
  onLink(link: Link): void;
  onImage(image: Image): void;
  /** A request was sent. */
  onRequest(request: Request): void;
  onProgress(progress: Progress): void;
  /**
   * A result came, before it is confirmed.
   *
   * @param request what it answers; undefined if it is not one of this client.
   * @param last whether it completed the session.
   */
  onAnswer(
    answer: Answer,
    glb: Uint8Array<ArrayBuffer>,
    last: boolean,
    request: Request | undefined,
  ): void;
  onPoses(poses: Poses): void;
  /** A request failed. */
  onFailure(error: PointstreamError, request: Request): void;
  /** Any other error of the server; `id` is that of the message it answers. */
  onNote(error: PointstreamError, id: string | undefined): void;
  /** The possible requests have changed. */
  onChange(): void;
}

/** Ignores all events. */
export const SILENT: EngineEvents = {
  onLink() {},
  onImage() {},
  onRequest() {},
  onProgress() {},
  onAnswer() {},
  onPoses() {},
  onFailure() {},
  onNote() {},
  onChange() {},
};
