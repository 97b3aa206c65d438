/** Detects dead connections: a network can fail without closing the socket. */

/** Idle time after which to send a ping. */
const QUIET_MS = 10_000;
/** Time after the ping without traffic, after which the socket is closed. */
const DEADLINE_MS = 20_000;
/** The same while a large answer may be in transit, which delays the pong. */
const ANSWER_DEADLINE_MS = 180_000;

export type Verdict = 'fine' | 'ask' | 'dead';

export class Liveness {
  private asked: number | undefined;
  private delivered = 0;

  constructor(private lastSign: number) {}

  /** Records received traffic. */
  sign(now: number): void {
    this.lastSign = now;
    this.asked = undefined;
  }

  /** Whether the connection has been idle for long enough to ping. */
  isQuiet(now: number): boolean {
    return now - this.lastSign >= QUIET_MS;
  }

  /**
   * Decides what to do. The deadline counts from the ping, not from the last traffic: a page in the
   * background checks rarely.
   *
   * @param delivered bytes that have left the socket's buffer; an increase counts as traffic.
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
