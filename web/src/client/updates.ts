/** Updates that have only what is new: the lists of all images so far. */

import type { Append, FrameQuality, Metadata } from 'pointstream/engine';

export class Updates {
  /** What each image contributes, by its index. */
  private images: FrameQuality[] = [];
  /** Indices of the images without a camera. */
  private readonly lost = new Set<number>();

  /** The metadata of a result with the lists of all images so far. */
  whole(metadata: Metadata): Metadata {
    return metadata.append ? this.apply(metadata, metadata.append) : metadata;
  }

  /** Notes an update; returns its metadata with the lists of all images so far. */
  apply(metadata: Metadata, append: Append): Metadata {
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
