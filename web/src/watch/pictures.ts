/** The photos on the cameras, as thumbnails from the server. */

import type { SessionResource } from 'pointstream/engine';
import { inParallel } from '../shared/parallel';
import { drawPicture } from '../shared/picture';
import type { Picture } from '../viewer/cameras';
import type { Viewer } from '../viewer/viewer';

const AT_ONCE = 4;

export class Pictures {
  private readonly known = new Map<number, HTMLCanvasElement>();
  /** Those that are there or on their way. */
  private readonly asked = new Set<number>();
  readonly picture: Picture = (index) => this.known.get(index);

  constructor(
    private readonly resource: SessionResource,
    private readonly viewer: Viewer,
  ) {}

  /** Fetches those that are not there yet. */
  async fetch(indices: number[]): Promise<void> {
    const missing = indices.filter((index) => !this.asked.has(index));
    for (const index of missing) {
      this.asked.add(index);
    }
    await inParallel(missing, AT_ONCE, async (index) => {
      try {
        this.known.set(index, await drawPicture(await this.resource.thumbnail(index)));
      } catch {
        // The camera is shown without one; the next result tries again.
        this.asked.delete(index);
      }
    });
    if (missing.length > 0) {
      this.viewer.showPictures(this.picture);
    }
  }
}
