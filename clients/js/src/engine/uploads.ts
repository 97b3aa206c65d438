/**
 * The upload queue of a session.
 *
 * Images are sent in order, a few at a time. The server's answers repeat an image's identifier.
 * Older servers send no identifier: acknowledgements arrive in order, and a refusal is assigned to
 * the oldest image in transit until an acknowledgement shows that it belonged to a later one.
 */

import { ImageRefusedError, type PointstreamError, serverError } from '../errors.js';
import { Ids } from './ids.js';
import type { Matrix, StoredImage } from './messages.js';

export type ImageState = 'preparing' | 'queued' | 'sent' | 'acknowledged' | 'refused';

export interface Image {
  /** Its name for people; unique within the session unless the client names images itself. */
  readonly name: string;
  /** The name sent to the server; undefined if the server names it. */
  readonly label: string | undefined;
  /** Its camera, if known. */
  readonly camera: KnownCamera | undefined;
  /** The identifier of its message. */
  readonly id: string;
  /** Its index among the images of the session, from 0; undefined until known. */
  index: number | undefined;
  /** Its name on the server; undefined until known. */
  path: string | undefined;
  state: ImageState;
  /** Why it was refused, for people; else empty. */
  reason: string;
  /** Why it was refused. */
  error: PointstreamError | undefined;
  /** The file, until it is acknowledged or refused. */
  data: Blob | undefined;
}

/** The known camera of an image, as in the protocol. */
export interface KnownCamera {
  intrinsics: Matrix;
  extrinsics: Matrix;
  /** Standard deviation of its position along each axis, in the unit of `extrinsics`. */
  position_deviation?: number | undefined;
  /** Standard deviation of its rotation about each axis, in degrees. */
  rotation_deviation?: number | undefined;
}

/** An image of the session that this client did not send. */
export interface Other {
  name: string;
  index: number;
}

/** Images in transit unless the client says otherwise; the server takes 16 unanswered messages. */
export const IN_FLIGHT = 8;

/** Stored images by the identifiers of their messages. */
export type Places = Map<string, StoredImage>;

export class Uploads {
  private readonly images: Image[] = [];
  private readonly names = new Set<string>();
  /** Indices of named images that this client did not send. */
  private readonly others = new Set<number>();
  /** The server's image count. */
  private stored = 0;
  private limit = Number.POSITIVE_INFINITY;
  /** Who waits until their images are acknowledged or refused. */
  private waiting: { images: Image[]; settled: () => void }[] = [];

  /**
   * @param changed called for every image whose state changes.
   * @param inFlight the most images in transit.
   */
  constructor(
    private readonly changed: (image: Image) => void,
    private readonly ids = new Ids(),
    private readonly inFlight = IN_FLIGHT,
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

  /** Images that the session takes beside those that are stored or on their way. */
  get room(): number {
    return Math.max(0, this.limit - this.stored - this.in('preparing', 'queued', 'sent').length);
  }

  /** Reserves a position in the queue for an image that is still being prepared. */
  reserve(name: string): Image {
    const unique = uniqueName(name, this.names);
    return this.add(unique, unique, undefined);
  }

  /** The same with the name that the caller gives, if any, which may repeat. */
  enter(label: string | undefined, camera: KnownCamera | undefined): Image {
    return this.add(label ?? '', label, camera);
  }

  /** Forgets an image that is acknowledged or refused. */
  forget(image: Image): void {
    const index = this.images.indexOf(image);
    if (index >= 0) {
      this.images.splice(index, 1);
      this.forgotten += image.state === 'acknowledged' ? 1 : 0;
    }
  }

  private add(name: string, label: string | undefined, camera: KnownCamera | undefined): Image {
    const image: Image = {
      name,
      label,
      camera,
      id: this.ids.next(),
      index: undefined,
      path: undefined,
      state: 'preparing',
      reason: '',
      error: undefined,
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

  /** @param why the error, or for people what is wrong. */
  refuse(image: Image, why: PointstreamError | string): void {
    const error = typeof why === 'string' ? new ImageRefusedError(why) : why;
    image.reason = error.message;
    image.error = error;
    image.data = undefined;
    this.set(image, 'refused');
  }

  /** The image to send next, if one may be sent now. */
  next(): Image | undefined {
    const sent = this.in('sent').length;
    const head = this.images.find(({ state }) => state === 'preparing' || state === 'queued');
    if (head?.state !== 'queued' || sent >= this.inFlight) {
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
      const blamed = image.state === 'refused' ? image.error : undefined;
      this.store(image, stored - 1, name);
      if (blamed) {
        this.refused(blamed);
      }
    }
    this.refuseBeyondLimit();
  }

  /** Records a refusal. Returns whether it belongs to an image in transit. */
  refused(why: PointstreamError | string, id?: string): boolean {
    const image = this.in('sent').find((image) => id === undefined || image.id === id);
    if (image) {
      this.refuse(image, why);
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
   * @param places the stored images by identifier. If undefined, the increase of the count gives the
   * number that arrived.
   * @param blame reason to refuse the oldest image that did not arrive, if it ended the connection.
   */
  reconnected(stored: number, places?: Places, blame = ''): void {
    let arrived = stored - this.in('acknowledged').length - this.forgotten - this.foreign;
    let unwanted = blame;
    for (const image of this.in('sent')) {
      if (places ? places.has(image.id) : arrived > 0) {
        arrived -= 1;
        const place = places?.get(image.id);
        this.store(image, place?.index, place?.image_path);
      } else if (unwanted) {
        this.refuse(image, serverError(unwanted, { code: 'image_too_large' }));
        unwanted = '';
      } else {
        this.set(image, 'queued');
      }
    }
    this.stored = stored;
    this.refuseBeyondLimit();
  }

  /** Number of images of the session that this client did not send. */
  foreign = 0;
  /** Number of acknowledged images that are no longer listed. */
  private forgotten = 0;

  /** Refuses all images that have not been sent. */
  refuseWaiting(why: PointstreamError): void {
    for (const image of this.in('preparing', 'queued')) {
      this.refuse(image, why);
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

  private store(image: Image, index: number | undefined, path: string | undefined): void {
    image.index = index;
    image.path = path;
    image.reason = '';
    image.error = undefined;
    image.data = undefined;
    this.set(image, 'acknowledged');
  }

  private refuseBeyondLimit(): void {
    if (this.full && this.in('sent').length === 0) {
      const text = `the session already has its ${this.limit} images`;
      this.refuseWaiting(serverError(text, { code: 'too_many_images' }));
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
