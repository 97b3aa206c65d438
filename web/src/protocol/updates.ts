/** Updates that have only what is new: what the page has, for the next one. */

import type { Append, Config, FrameQuality, Metadata } from './messages';

export class Updates {
  /** Number of the last update; undefined before the first. */
  private number: number | undefined;
  /** What each image contributes, by its index. */
  private images: FrameQuality[] = [];
  /** Indices of the images without a camera. */
  private readonly lost = new Set<number>();

  /** @param possible whether the session's parameters allow such updates. */
  constructor(private readonly possible: boolean) {}

  static of(config: Config | undefined): Updates {
    return new Updates(!config?.voxel_size);
  }

  /** The parameters of the next connection. */
  parameters(): Record<string, string> {
    if (!this.possible) {
      return {};
    }
    const since = this.number === undefined ? {} : { since: String(this.number) };
    return { deltas: 'append', ...since };
  }

  /** The confirmation of the last update. */
  confirmation(): string {
    return JSON.stringify({ type: 'received', number: this.number });
  }

  /** Notes an update; returns its metadata with the lists of all images so far. */
  apply(metadata: Metadata, append: Append): Metadata {
    this.number = append.number;
    if (append.reset) {
      this.images = [];
      this.lost.clear();
    }
    const { quality } = metadata;
    append.images.forEach((index, place) => {
      const image = quality?.frames[place];
      if (image) {
        this.images[index] = image;
      }
      this.lost.add(index);
    });
    for (const { image } of append.frames) {
      this.lost.delete(image);
    }
    const names = [...this.lost].map((index) => this.images[index]?.name ?? '');
    return {
      ...metadata,
      ...(quality ? { quality: { ...quality, frames: [...this.images] } } : {}),
      unregistered_frames: names,
    };
  }
}
