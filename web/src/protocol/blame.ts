/**
 * Which image a connection ended for, where the server could not read enough of a message to say
 * whose it is.
 */

/** The code of a connection that ended because of a message that was too large. */
const TOO_LARGE = 1009;

export class Blame {
  /** What the server said last, if that was an error. */
  lastError = '';
  /** Whether that error was already taken for an image's. */
  private laid = false;
  private why = '';

  /** A message came. */
  heard(error: string): void {
    this.lastError = error;
    this.laid = false;
  }

  /** The last error is that of an image. */
  lay(): void {
    this.laid = true;
  }

  dropped(code: number): void {
    if (code === TOO_LARGE && !this.laid) {
      this.why ||= this.lastError || 'its message is too large for the server';
    }
    this.laid = false;
  }

  /** What the oldest image that did not arrive is to be refused for, once. */
  take(): string {
    const { why } = this;
    this.why = '';
    return why;
  }
}
