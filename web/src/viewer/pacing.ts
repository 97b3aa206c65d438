/** How many points are drawn: a limited number while the view moves, and all of them at rest. */

import { PointBudget } from './budget';

/** The view is at rest after this time and this number of frames without movement. */
const REST_MS = 200;
const REST_FRAMES = 3;

export class Pacing {
  private readonly budget = new PointBudget();
  private movedAt = Number.NEGATIVE_INFINITY;
  private stillFrames = REST_FRAMES;
  /** The last frame that was drawn while the view moved. */
  private previous: { time: number; drawn: number } | undefined;

  /**
   * The number of points to draw of `count`, and whether another frame must follow. While the view
   * moves, frames follow one another, so the time between frames is the frame time.
   */
  choose(time: number, moved: boolean, count: number): { drawn: number; again: boolean } {
    this.stillFrames += 1;
    if (moved) {
      this.movedAt = time;
      this.stillFrames = 0;
    }
    if (time - this.movedAt > REST_MS && this.stillFrames >= REST_FRAMES) {
      this.previous = undefined;
      return { drawn: count, again: false };
    }
    if (this.previous) {
      this.budget.measure(time - this.previous.time, this.previous.drawn);
    }
    const drawn = this.budget.of(count);
    this.previous = { time, drawn };
    return { drawn, again: true };
  }
}
