/** Limits the points drawn while the view moves, to keep the frame rate. */

/** Frame time in milliseconds above which to draw fewer points. */
const SLOW_MS = 40;
/** Frame time below which to draw more points. */
const FAST_MS = 22;
/** Target frame time after a slow frame. */
const TARGET_MS = 30;
/** Smallest factor of one reduction. */
const LEAST_SHARE = 0.25;
/** Factor of one increase. */
const GROWTH = 1.25;
/** Minimum number of points to draw. */
const FEWEST = 20_000;

export class PointBudget {
  private limit = Number.POSITIVE_INFINITY;
  private previousMs = 0;

  /** Number of points to draw out of `total`. */
  of(total: number): number {
    return Math.min(total, this.limit);
  }

  /** Records the time of a frame with `drawn` points. A single slow frame is ignored. */
  measure(ms: number, drawn: number): void {
    const frameMs = Math.min(ms, this.previousMs);
    this.previousMs = ms;
    if (frameMs > SLOW_MS) {
      const share = Math.max(TARGET_MS / frameMs, LEAST_SHARE);
      this.limit = Math.max(FEWEST, Math.round(drawn * share));
    } else if (ms < FAST_MS && drawn >= this.limit) {
      this.limit = Math.round(this.limit * GROWTH);
    }
  }
}
