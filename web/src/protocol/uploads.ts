/**
 * The images of a session on their way to the server.
 *
 * They go in the order in which they were added, a few at a time. The server acknowledges in that
 * order; a refusal does not say whose it is, so it is taken for the oldest image under way until an
 * acknowledgement shows that it was for a later one.
 */

export type ImageState = 'preparing' | 'queued' | 'sent' | 'acknowledged' | 'refused';

export interface Image {
  /** What the server calls it; no two images of a session share a name. */
  readonly name: string;
  state: ImageState;
  /** Why it was refused. */
  reason: string;
  /** The file, as long as it may have to be sent (again). */
  data: Blob | undefined;
}

/** Images under way; fewer than the server takes unanswered by default. */
const IN_FLIGHT = 8;

export class Uploads {
  private readonly images: Image[] = [];
  private readonly names = new Set<string>();
  /** Images that the server has, by its own count. */
  private stored = 0;
  private limit = Number.POSITIVE_INFINITY;

  /** @param changed is told of every image whose state changes. */
  constructor(private readonly changed: (image: Image) => void) {}

  /** Takes a place in the order for an image whose file is still being made. */
  reserve(name: string): Image {
    const image: Image = {
      name: this.unique(name),
      state: 'preparing',
      reason: '',
      data: undefined,
    };
    this.images.push(image);
    this.changed(image);
    return image;
  }

  ready(image: Image, data: Blob): void {
    image.data = data;
    this.set(image, 'queued');
  }

  refuse(image: Image, reason: string): void {
    image.reason = reason;
    image.data = undefined;
    this.set(image, 'refused');
  }

  /** The image to send next, if one may be sent now. */
  next(): Image | undefined {
    const sent = this.in('sent').length;
    const head = this.images.find(({ state }) => state === 'preparing' || state === 'queued');
    if (head?.state !== 'queued' || sent >= IN_FLIGHT) {
      return undefined;
    }
    // One that does not fit is not worth its bytes, unless a refusal makes room.
    return this.stored + sent < this.limit ? head : undefined;
  }

  sent(image: Image): void {
    this.set(image, 'sent');
  }

  /** The server has an image. */
  acknowledged(name: string, stored: number): void {
    this.stored = stored;
    const image = this.images.find((image) => image.name === name);
    if (!image || image.state === 'acknowledged') {
      return;
    }
    const blamed = image.state === 'refused' ? image.reason : '';
    this.store(image);
    if (blamed) {
      this.refused(blamed);
    }
    this.refuseBeyondLimit();
  }

  /** The server does not want an image. Returns whether one was under way. */
  refused(reason: string): boolean {
    const [oldest] = this.in('sent');
    if (oldest) {
      // The file is kept until it is sure that this was meant.
      oldest.reason = reason;
      this.set(oldest, 'refused');
    }
    return oldest !== undefined;
  }

  /** A connection begins: the server's count, and its limit. */
  connected(stored: number, limit: number): void {
    this.stored = Math.max(this.stored, stored);
    this.limit = limit;
    this.refuseBeyondLimit();
  }

  /**
   * The connection was lost with images under way. `stored` is the server's count after all that
   * it had received is dealt with: so many of them arrived, the others are sent again.
   */
  reconnected(stored: number): void {
    let arrived = stored - this.in('acknowledged').length - this.foreign;
    for (const image of this.in('sent')) {
      if (arrived > 0) {
        arrived -= 1;
        this.store(image);
      } else {
        this.set(image, 'queued');
      }
    }
    this.stored = stored;
    this.refuseBeyondLimit();
  }

  /** Images of the session that this page did not send. */
  foreign = 0;

  /** Gives up what is not under way. */
  refuseWaiting(reason: string): void {
    for (const image of this.images) {
      if (image.state === 'preparing' || image.state === 'queued') {
        this.refuse(image, reason);
      }
    }
  }

  in(...states: ImageState[]): Image[] {
    return this.images.filter(({ state }) => states.includes(state));
  }

  /** Whether nothing waits to be sent or is being made. */
  get drained(): boolean {
    return this.in('preparing', 'queued').length === 0;
  }

  private store(image: Image): void {
    image.reason = '';
    image.data = undefined;
    this.set(image, 'acknowledged');
  }

  private refuseBeyondLimit(): void {
    if (this.stored >= this.limit && this.in('sent').length === 0) {
      this.refuseWaiting(`the session has its ${this.limit} images`);
    }
  }

  private unique(name: string): string {
    let unique = name;
    for (let number = 2; this.names.has(unique); number += 1) {
      unique = `${name} (${number})`;
    }
    this.names.add(unique);
    return unique;
  }

  private set(image: Image, state: ImageState): void {
    image.state = state;
    this.changed(image);
  }
}
