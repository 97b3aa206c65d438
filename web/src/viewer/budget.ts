/** How many points are drawn while the view moves, so that it moves smoothly. */

/** A frame that takes longer is slow, */
const SLOW_MS = 40;
/** and one that takes less leaves time for more points. */
const FAST_MS = 22;
/** What a slow frame is to take instead. */
const AIM_MS = 30;
/** The smallest share of its points that a slow frame leaves, and how many more a fast one gives. */
const LEAST_SHARE = 0.25;
const GROWTH = 1.25;
/** Fewer points show nothing. */
const FEWEST = 20_000;

export class PointBudget {
  private limit = Number.POSITIVE_INFINITY;
  private previousMs = 0;

  /** Points to draw of so many. */
  of(total: number): number {
    return Math.min(total, this.limit);
  }

  /** A frame with so many points took so long. One hiccup alone does not count. */
  measure(ms: number, drawn: number): void {
    const cost = Math.min(ms, this.previousMs);
    this.previousMs = ms;
    if (cost > SLOW_MS) {
      const share = Math.max(AIM_MS / cost, LEAST_SHARE);
      this.limit = Math.max(FEWEST, Math.round(drawn * share));
    } else if (ms < FAST_MS && drawn >= this.limit) {
      this.limit = Math.round(this.limit * GROWTH);
    }
  }
}
