/** The list of images with their upload states. */

import type { FrameQuality, Image, ImageState } from 'pointstream/engine';
import { create, element, setText } from '../shared/dom';
import { count } from '../shared/format';
import { inWords } from './reasons';

const LABELS: Record<ImageState, string> = {
  preparing: 'preparing',
  queued: 'queued',
  sent: 'sent',
  acknowledged: 'stored',
  refused: 'refused',
};
/** What an image does for the newest result. */
const USES = { used: 'in the cloud', doubtful: 'in, doubtful', left: 'left out' };
type Use = keyof typeof USES;

interface Tile {
  item: HTMLLIElement;
  state: HTMLElement;
  why: HTMLElement;
  look: HTMLButtonElement;
  /** The photo itself, if this page has sent it. */
  photo: Blob | undefined;
  picture: HTMLCanvasElement | undefined;
}

type Shown = Pick<Image, 'name' | 'index' | 'state' | 'reason'>;

export class Thumbnails {
  /** Called with the index of the image whose camera was chosen. */
  onLook: (index: number) => void = () => {};
  private readonly list = element('thumbnails');
  private readonly counts = element('counts');
  private readonly tiles = new Map<string, Tile>();
  /** Tiles by the index of their image in the session, where known. */
  private readonly places = new Map<number, Tile>();
  /** What the newest result says of the images, by their index. */
  private judged: FrameQuality[] = [];

  show(image: Shown): void {
    const tile = this.tile(image.name);
    if (image.index !== undefined) {
      this.places.set(image.index, tile);
    }
    tile.item.dataset.state = image.state;
    setText(tile.state, LABELS[image.state]);
    setText(tile.why, image.state === 'refused' ? image.reason : '');
    this.mark(tile, this.judged[image.index ?? -1]);
    this.count();
  }

  /** Shows what each image does for the newest result, in the order of the session's images. */
  judge(images: FrameQuality[]): void {
    this.judged = images;
    for (const [index, tile] of this.places) {
      this.mark(tile, images[index]);
    }
    this.count();
  }

  /** Keeps a photo that this page sends, to show it beside its camera. */
  setPhoto(name: string, photo: Blob): void {
    this.tile(name).photo = photo;
  }

  /** The photo of an image, if this page has sent it. */
  photo(index: number, name: string): Blob | undefined {
    return (this.places.get(index) ?? this.unplaced(name))?.photo;
  }

  /** The thumbnail of an image as a file. */
  async small(index: number, name: string): Promise<Blob | undefined> {
    const picture = this.picture(index, name);
    return picture && new Promise((done) => picture.toBlob((blob) => done(blob ?? undefined)));
  }

  /** Offers to look through the cameras of these images. */
  offerLooks(indices: number[]): void {
    const shown = new Set(indices);
    for (const [index, { look }] of this.places) {
      look.hidden = !shown.has(index);
    }
  }

  setPicture(name: string, picture: HTMLCanvasElement): void {
    const tile = this.tile(name);
    picture.setAttribute('aria-hidden', 'true');
    tile.picture?.remove();
    tile.picture = picture;
    tile.item.prepend(picture);
  }

  /** Whether the list has the image with this index in the session. */
  has(index: number): boolean {
    return this.places.has(index);
  }

  /** The thumbnail of an image, for the viewer. */
  picture(index: number, name: string): HTMLCanvasElement | undefined {
    return (this.places.get(index) ?? this.unplaced(name))?.picture;
  }

  /** The first thumbnail, if there is one. */
  first(): HTMLCanvasElement | undefined {
    const found = [...this.tiles.values()].find(({ picture }) => picture);
    return found?.picture;
  }

  clear(): void {
    this.judged = [];
    this.tiles.clear();
    this.places.clear();
    this.list.replaceChildren();
    this.count();
  }

  /** A tile by name, for older servers that send no index; names of several clients may collide. */
  private unplaced(name: string): Tile | undefined {
    const tile = this.tiles.get(name);
    const placed = [...this.places.values()].some((other) => other === tile);
    return tile?.item.dataset.state === 'acknowledged' && !placed ? tile : undefined;
  }

  private lookThrough(look: HTMLButtonElement): void {
    for (const [index, tile] of this.places) {
      if (tile.look === look) {
        this.onLook(index);
      }
    }
  }

  private mark({ item, state, why }: Tile, image: FrameQuality | undefined): void {
    if (image) {
      const { used, reason } = image;
      const use: Use = used ? (reason === null ? 'used' : 'doubtful') : 'left';
      item.dataset.use = use;
      setText(state, USES[use]);
      setText(why, reason === null ? '' : inWords(reason));
    }
  }

  private tile(name: string): Tile {
    let tile = this.tiles.get(name);
    if (!tile) {
      const item = create('li', 'thumbnail');
      const label = create('span', 'name', name);
      label.title = name;
      tile = {
        item,
        state: create('span', 'state'),
        why: create('span', 'why'),
        look: create('button', 'look'),
        photo: undefined,
        picture: undefined,
      };
      const { look, state, why } = tile;
      look.type = 'button';
      look.hidden = true;
      look.title = 'Look through this camera';
      look.setAttribute('aria-label', `Look through the camera of ${name}`);
      look.addEventListener('click', () => this.lookThrough(look));
      item.append(look, state, label, why);
      this.tiles.set(name, tile);
      this.list.append(item);
    }
    return tile;
  }

  private count(): void {
    const states = [...this.tiles.values()].map(({ item }) => item.dataset.state);
    const of = (state: ImageState) => states.filter((other) => other === state).length;
    const stored = of('acknowledged');
    const parts = [];
    if (states.length > 0) {
      parts.push(`${count(stored)} of ${count(states.length)} stored`);
    }
    if (of('refused') > 0) {
      parts.push(`${count(of('refused'))} refused`);
    }
    const left = [...this.tiles.values()].filter(({ item }) => item.dataset.use === 'left');
    if (left.length > 0) {
      parts.push(`${count(left.length)} left out`);
    }
    setText(this.counts, parts.join(', '));
  }
}
