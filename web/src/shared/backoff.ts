/** Exponential backoff: pauses that double up to a limit. */
export class Backoff {
  private attempts = 0;

  constructor(
    private readonly firstMs: number,
    private readonly limitMs: number,
  ) {}

  /** The next pause in milliseconds. */
  next(): number {
    const pause = Math.min(this.firstMs * 2 ** this.attempts, this.limitMs);
    this.attempts += 1;
    return pause;
  }

  reset(): void {
    this.attempts = 0;
  }
}
