/**
 * The upload queue of a session.
 *
 * Images are sent in order, a few at a time. The server's answers repeat an image's identifier.
 * Older servers send no identifier: acknowledgements arrive in order, and a refusal is assigned to
 * the oldest image in transit until an acknowledgement shows that it belonged to a later one.
 */

import { Ids } from './ids';
import type { StoredImage } from './messages';

export type ImageState = 'preparing' | 'queued' | 'sent' | 'acknowledged' | 'refused';

export interface Image {
  /** The name sent to the server; unique within the session. */
  readonly name: string;
  /** The identifier of its message. */
  readonly id: string;
  /** Its index among the images of the session, from 0; undefined until known. */
  index: number | undefined;
  state: ImageState;
  /** Why it was refused. */
  reason: string;
  /** The file, until it is acknowledged or refused. */
  data: Blob | undefined;
}

/** An image of the session that this page did not send. */
export interface Other {
  name: string;
  index: number;
}

/** Maximum images in transit; below the server's default limit of unanswered messages. */
const IN_FLIGHT = 8;

export class Uploads {
  private readonly images: Image[] = [];
  private readonly names = new Set<string>();
  /** Indices of named images that this page did not send. */
  private readonly others = new Set<number>();
  /** The server's image count. */
  private stored = 0;
  private limit = Number.POSITIVE_INFINITY;
  /** Who waits until their images are acknowledged or refused. */
  private waiting: { images: Image[]; settled: () => void }[] = [];

  /** @param changed called for every image whose state changes. */
  constructor(
    private readonly changed: (image: Image) => void,
    private readonly ids = new Ids(),
  ) {}

  /** Reserves names that the session already has. */
  know(names: Iterable<string>): void {
    for (const name of names) {
      this.names.add(name);
    }
  }

  /** Assigns unique names to stored images of others that have none yet. */
  nameOthers(stored: StoredImage[]): Other[] {
    const own = new Set(this.images.map(({ id }) => id));
    const found = stored
      .filter(({ id, index }) => !own.has(id ?? '') && !this.others.has(index))
      .map(({ index, image_path }) => ({ index, name: uniqueName(image_path, this.names) }));
    for (const { index } of found) {
      this.others.add(index);
    }
    return found;
  }

  /** Reserves a position in the queue for an image that is still being prepared. */
  reserve(name: string): Image {
    const image: Image = {
      name: uniqueName(name, this.names),
      id: this.ids.next(),
      index: undefined,
      state: 'preparing',
      reason: '',
      data: undefined,
    };
    this.images.push(image);
    this.changed(image);
    return image;
  }

  /** Sets the file of a reserved image, unless it has been refused. */
  ready(image: Image, data: Blob): void {
    if (image.state !== 'preparing') {
      return;
    }
    image.data = data;
    this.set(image, 'queued');
    this.refuseBeyondLimit();
  }

  /** Waits until all of these images are acknowledged or refused; for ever if the session ends before. */
  settled(images: Image[]): Promise<void> {
    return new Promise((settled) => {
      this.waiting.push({ images, settled });
      this.tellSettled();
    });
  }

  private tellSettled(): void {
    const isSettled = ({ state }: Image) => state === 'acknowledged' || state === 'refused';
    const done = this.waiting.filter(({ images }) => images.every(isSettled));
    this.waiting = this.waiting.filter((waiter) => !done.includes(waiter));
    for (const { settled } of done) {
      settled();
    }
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
    // Do not send an image beyond the limit, unless a refusal makes room.
    return this.stored + sent < this.limit ? head : undefined;
  }

  sent(image: Image): void {
    this.set(image, 'sent');
  }

  /** Records an acknowledgement. */
  acknowledged(name: string, stored: number, id?: string): void {
    this.stored = stored;
    const image = this.images.find((image) =>
      id === undefined ? image.name === name : image.id === id,
    );
    if (image && image.state !== 'acknowledged') {
      const blamed = image.state === 'refused' ? image.reason : '';
      this.store(image, stored - 1);
      if (blamed) {
        this.refused(blamed);
      }
    }
    this.refuseBeyondLimit();
  }

  /** Records a refusal. Returns whether it belongs to an image in transit. */
  refused(reason: string, id?: string): boolean {
    const image = this.in('sent').find((image) => id === undefined || image.id === id);
    if (image) {
      this.refuse(image, reason);
      this.refuseBeyondLimit();
    }
    return image !== undefined;
  }

  /** Records the image count and limit of a new connection. */
  connected(stored: number, limit: number): void {
    this.stored = Math.max(this.stored, stored);
    this.limit = limit;
    this.refuseBeyondLimit();
  }

  /**
   * Determines which images in transit arrived, after a lost connection and once the server has
   * processed everything it received. The others are queued again.
   *
   * @param stored the server's image count.
   * @param places indices of the stored images by identifier. If undefined, the increase of the
   * count gives the number that arrived.
   * @param blame reason to refuse the oldest image that did not arrive, if it ended the connection.
   */
  reconnected(stored: number, places?: Map<string, number>, blame = ''): void {
    let arrived = stored - this.in('acknowledged').length - this.foreign;
    let unwanted = blame;
    for (const image of this.in('sent')) {
      if (places ? places.has(image.id) : arrived > 0) {
        arrived -= 1;
        this.store(image, places?.get(image.id));
      } else if (unwanted) {
        this.refuse(image, unwanted);
        unwanted = '';
      } else {
        this.set(image, 'queued');
      }
    }
    this.stored = stored;
    this.refuseBeyondLimit();
  }

  /** Number of images of the session that this page did not send. */
  foreign = 0;

  /** Refuses all images that have not been sent. */
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

  /** Whether no image is waiting or being prepared. */
  get drained(): boolean {
    return this.in('preparing', 'queued').length === 0;
  }

  /** Whether the session has reached its image limit. */
  get full(): boolean {
    return this.stored >= this.limit;
  }

  private store(image: Image, index: number | undefined): void {
    image.index = index;
    image.reason = '';
    image.data = undefined;
    this.set(image, 'acknowledged');
  }

  private refuseBeyondLimit(): void {
    if (this.full && this.in('sent').length === 0) {
      this.refuseWaiting(`the session already has its ${this.limit} images`);
    }
  }

  private set(image: Image, state: ImageState): void {
    image.state = state;
    this.changed(image);
    this.tellSettled();
  }
}

/** Makes a name unique by a number, and adds it to `taken`. */
function uniqueName(name: string, taken: Set<string>): string {
  let unique = name;
  for (let number = 2; taken.has(unique); number += 1) {
    unique = `${name} (${number})`;
  }
  taken.add(unique);
  return unique;
}

/** Makes repeated names unique by a number. */
export function uniqueNames(names: string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => uniqueName(name, taken));
}
