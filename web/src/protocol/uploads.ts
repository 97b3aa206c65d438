/**
 * The images of a session on their way to the server.
 *
 * They go in the order in which they were added, a few at a time. The server's answers repeat an
 * image's identifier. Those of older servers do not: acknowledgements come in order, and a refusal
 * is taken for that of the oldest image under way until an acknowledgement shows that it was for a
 * later one.
 */

import { Ids } from './ids';
import type { StoredImage } from './messages';

export type ImageState = 'preparing' | 'queued' | 'sent' | 'acknowledged' | 'refused';

export interface Image {
  /** What the server calls it; no two images of a session share a name. */
  readonly name: string;
  /** Names its message. */
  readonly id: string;
  /** Its place among the images of the session, counted from 0, once the server has told. */
  index: number | undefined;
  state: ImageState;
  /** Why it was refused. */
  reason: string;
  /** The file, as long as it may have to be sent (again). */
  data: Blob | undefined;
}

/** An image of the session that this page did not send. */
export interface Other {
  name: string;
  index: number;
}

/** Images under way; fewer than the server takes unanswered by default. */
const IN_FLIGHT = 8;

export class Uploads {
  private readonly images: Image[] = [];
  private readonly names = new Set<string>();
  /** Places of the images that others sent and that have names here. */
  private readonly others = new Set<number>();
  /** Images that the server has, by its own count. */
  private stored = 0;
  private limit = Number.POSITIVE_INFINITY;

  /** @param changed is told of every image whose state changes. */
  constructor(
    private readonly changed: (image: Image) => void,
    private readonly ids = new Ids(),
  ) {}

  /** Names that the session has already. */
  know(names: Iterable<string>): void {
    for (const name of names) {
      this.names.add(name);
    }
  }

  /** Gives those of the session's images names that others sent and that have none yet. */
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

  /** Takes a place in the order for an image whose file is still being made. */
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

  /** Its file is there; nothing if it was refused meanwhile. */
  ready(image: Image, data: Blob): void {
    if (image.state !== 'preparing') {
      return;
    }
    image.data = data;
    this.set(image, 'queued');
    this.refuseBeyondLimit();
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

  /** The server does not want an image. Returns whether it was one of those under way. */
  refused(reason: string, id?: string): boolean {
    const image = this.in('sent').find((image) => id === undefined || image.id === id);
    if (image) {
      this.refuse(image, reason);
      this.refuseBeyondLimit();
    }
    return image !== undefined;
  }

  /** A connection begins: the server's count, and its limit. */
  connected(stored: number, limit: number): void {
    this.stored = Math.max(this.stored, stored);
    this.limit = limit;
    this.refuseBeyondLimit();
  }

  /**
   * The connection was lost with images under way, and all that the server had received is dealt
   * with. What arrived is stored, and the others are sent again.
   *
   * @param stored the server's count.
   * @param places where the images that it has stand, by identifier, if it tells; else so many
   * arrived as its count grew by.
   * @param blame why the server ended the connection, if it was for the oldest that did not arrive.
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

  /** Whether the session takes no more. */
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
      this.refuseWaiting(`the session has its ${this.limit} images`);
    }
  }

  private set(image: Image, state: ImageState): void {
    image.state = state;
    this.changed(image);
  }
}

/** The name, with a number if it is taken; then it is taken. */
function uniqueName(name: string, taken: Set<string>): string {
  let unique = name;
  for (let number = 2; taken.has(unique); number += 1) {
    unique = `${name} (${number})`;
  }
  taken.add(unique);
  return unique;
}

/** The names, those that repeat with a number. */
export function uniqueNames(names: string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => uniqueName(name, taken));
}
