/** Message identifiers, which the answers repeat. */

/**
 * Numbers with a random prefix, so that they differ from those of the session's other clients and
 * of earlier runs of this one.
 */
export class Ids {
  private readonly prefix = Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
  private count = 0;

  next(): string {
    this.count += 1;
    return `${this.prefix}-${this.count}`;
  }
}
