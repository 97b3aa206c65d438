/** The list of images with their upload states. */

import type { Image, ImageState } from 'pointstream/engine';
import { create, element, setText } from '../shared/dom';
import { count } from '../shared/format';

const LABELS: Record<ImageState, string> = {
  preparing: 'preparing',
  queued: 'queued',
  sent: 'sent',
  acknowledged: 'stored',
  refused: 'refused',
};

interface Tile {
  item: HTMLLIElement;
  state: HTMLElement;
  why: HTMLElement;
  picture: HTMLCanvasElement | undefined;
}

type Shown = Pick<Image, 'name' | 'index' | 'state' | 'reason'>;

export class Thumbnails {
  private readonly list = element('thumbnails');
  private readonly counts = element('counts');
  private readonly tiles = new Map<string, Tile>();
  /** Tiles by the index of their image in the session, where known. */
  private readonly places = new Map<number, Tile>();

  show(image: Shown): void {
    const tile = this.tile(image.name);
    if (image.index !== undefined) {
      this.places.set(image.index, tile);
    }
    tile.item.dataset.state = image.state;
    setText(tile.state, LABELS[image.state]);
    setText(tile.why, image.state === 'refused' ? image.reason : '');
    this.count();
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

  clear(): void {
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
        picture: undefined,
      };
      item.append(tile.state, label, tile.why);
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
    setText(this.counts, parts.join(', '));
  }
}
