/** Whether a socket still leads anywhere: a network can vanish without a word. */

/** A socket on which nothing moves for so long is asked for a sign of life, */
const QUIET_MS = 10_000;
/** and is given up if nothing moves for so long after that; */
const DEADLINE_MS = 20_000;
/** for longer while a large answer may be on its way, for the sign waits behind it. */
const ANSWER_DEADLINE_MS = 180_000;

export type Verdict = 'fine' | 'ask' | 'dead';

export class Liveness {
  private asked: number | undefined;
  private delivered = 0;

  constructor(private lastSign: number) {}

  /** Something came. */
  sign(now: number): void {
    this.lastSign = now;
    this.asked = undefined;
  }

  /** Whether it has been quiet for long enough to doubt it. */
  isQuiet(now: number): boolean {
    return now - this.lastSign >= QUIET_MS;
  }

  /**
   * What to do. It counts from the question, not from the silence: a page in the background looks
   * seldom.
   *
   * @param delivered bytes that left the socket's buffer so far; more of them are a sign, too.
   */
  look(now: number, delivered: number, answerDue: boolean): Verdict {
    if (delivered > this.delivered) {
      this.sign(now);
      this.delivered = delivered;
    }
    if (!this.isQuiet(now)) {
      return 'fine';
    }
    if (this.asked === undefined) {
      this.asked = now;
      return 'ask';
    }
    return now - this.asked >= (answerDue ? ANSWER_DEADLINE_MS : DEADLINE_MS) ? 'dead' : 'fine';
  }
}
