/**
 * Finds the image that made the server close a connection. The server's error does not name the
 * image if it could not read enough of the message.
 */

import type { Failure } from './messages.js';

/** The close code of a message that is too large. */
const TOO_LARGE = 1009;

export class Blame {
  /** The server's last message, if it was an error. */
  lastError: Failure | undefined;
  /** Whether that error was already assigned to an image. */
  private assigned = false;
  private reason = '';

  /** Records a message of the server; `error` is undefined if it was none. */
  received(error: Failure | undefined): void {
    this.lastError = error;
    this.assigned = false;
  }

  /** Records that the last error was assigned to an image. */
  assign(): void {
    this.assigned = true;
  }

  dropped(code: number): void {
    if (code === TOO_LARGE && !this.assigned) {
      this.reason ||= this.lastError?.message || 'its message is too large for the server';
    }
    this.assigned = false;
  }

  /** The reason to refuse the oldest image that did not arrive; empty after the first call. */
  take(): string {
    const { reason } = this;
    this.reason = '';
    return reason;
  }
}
