/** Events of a session. */

import type { Answer, Progress } from './messages';
import type { RequestKind } from './requests';
import type { Image } from './uploads';

export type Link = 'connecting' | 'open' | 'lost' | 'ended';

export interface SessionEvents {
  onLink(link: Link, detail: string): void;
  onImage(image: Image): void;
  onRequest(kind: RequestKind): void;
  onProgress(progress: Progress): void;
  /** `last` if this result completed the session. */
  onAnswer(answer: Answer, glb: Blob, last: boolean): void;
  /** A request failed. */
  onFailure(message: string): void;
  onNote(message: string): void;
  /** The possible requests have changed. */
  onChange(): void;
}

/** Ignores all events. */
export const SILENT: SessionEvents = {
  onLink() {},
  onImage() {},
  onRequest() {},
  onProgress() {},
  onAnswer() {},
  onFailure() {},
  onNote() {},
  onChange() {},
};
