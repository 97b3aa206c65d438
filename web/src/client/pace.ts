/** How long a request takes: the time so far, and an estimate of the rest. */

/** Share of the work, and seconds, after which there is an estimate. */
const FIRST_SHARE = 0.08;
const FIRST_SECONDS = 3;

interface Mark {
  at: number;
  share: number;
}

export class Pace {
  private begun = 0;
  /** When the work began: waiting says nothing of it. */
  private first: Mark | undefined;
  private last: Mark | undefined;

  /** @param now gives seconds. */
  constructor(private readonly now = () => performance.now() / 1000) {}

  begin(): void {
    this.begun = this.now();
    this.first = undefined;
    this.last = undefined;
  }

  /** A share of the request is done. `works` is false while it waits for its turn. */
  step(share: number, works: boolean): void {
    const mark = { at: this.now(), share };
    if (!works) {
      this.first = undefined;
    } else {
      this.first ??= mark;
    }
    this.last = mark;
  }

  /** Seconds since the request. */
  get elapsed(): number {
    return this.now() - this.begun;
  }

  /** Estimated seconds until the result; undefined if nobody can say yet. */
  get left(): number | undefined {
    const { first, last } = this;
    if (!first || !last) {
      return undefined;
    }
    const [share, seconds] = [last.share - first.share, last.at - first.at];
    if (share < FIRST_SHARE || seconds < FIRST_SECONDS) {
      return undefined;
    }
    const left = ((1 - last.share) * seconds) / share - (this.now() - last.at);
    return Math.max(1, left);
  }
}
