/** Images that this page did not send, and their thumbnails, fetched from the server. */

import type { Engine, Metadata, Other } from 'pointstream/engine';
import { inParallel } from '../shared/parallel';
import { drawPicture } from '../shared/picture';
import type { Thumbnails } from './thumbnails';

/** Number of thumbnails to fetch in parallel. */
const AT_ONCE = 4;

export class StoredImages {
  /** @param shown called when thumbnails have arrived. */
  constructor(
    private readonly thumbnails: Thumbnails,
    private readonly shown: () => void,
  ) {}

  /** Lists the images and fetches their thumbnails. */
  async list(session: Engine, others: Other[]): Promise<void> {
    const { signal } = session;
    for (const { index, name } of others) {
      this.thumbnails.show({ name, index, state: 'acknowledged', reason: '' });
    }
    await inParallel(others, AT_ONCE, async ({ index, name }) => {
      if (signal.aborted) {
        return;
      }
      try {
        const picture = await drawPicture(await session.resource.thumbnail(index));
        if (!signal.aborted) {
          this.thumbnails.setPicture(name, picture);
        }
      } catch {
        // Without a thumbnail the list shows the image's name.
      }
    });
    if (!signal.aborted) {
      this.shown();
    }
  }

  /** An image as its client sent it; none if the server does not give it. */
  async photo(session: Engine, index: number): Promise<Blob | undefined> {
    try {
      return await session.resource.image(index);
    } catch {
      // The thumbnail stays: the server may be older, or out of reach.
      return undefined;
    }
  }

  /** Lists the images of others if a result has more images than the list. */
  async learn(session: Engine, { num_frames, frames, quality }: Metadata): Promise<void> {
    const count = quality?.frames.length ?? num_frames;
    const places = Array.from({ length: count }, (_, index) => index);
    if (places.every((index) => this.thumbnails.has(index))) {
      return;
    }
    try {
      const images = await session.resource.images(await session.resource.info());
      if (session.signal.aborted) {
        return;
      }
      if (images) {
        await this.list(session, session.uploads.nameOthers(images));
      } else {
        session.uploads.know(quality?.frames.map((image) => image.name) ?? frames ?? []);
      }
    } catch {
      // The next result tries again.
    }
  }
}
