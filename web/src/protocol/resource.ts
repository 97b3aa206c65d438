/** What the server tells of a session over HTTP. */

import type { Server } from '../shared/api';
import type { Answer, SessionInfo, StoredImage } from './messages';

/** Pause between two looks at whether the server still stores images of a lost connection. */
const SETTLE_MS = 400;
/** Looks after which what is stored by then counts. */
const SETTLE_LOOKS = 100;
/** Results that may replace one another while one is fetched. */
const RESULT_ATTEMPTS = 4;

export interface Settled {
  info: SessionInfo;
  /** Where the images that it has stand, by identifier; older servers do not tell. */
  places: Map<string, number> | undefined;
}

export class SessionResource {
  private readonly path: string;

  constructor(
    private readonly server: Server,
    id: string,
  ) {
    this.path = `/ws/session/${encodeURIComponent(id)}`;
  }

  info(): Promise<SessionInfo> {
    return this.server.get<SessionInfo>(this.path);
  }

  delete(): Promise<void> {
    return this.server.delete(this.path);
  }

  /** The stored images in order; nothing if the server is an older one, which does not tell. */
  async images(info: SessionInfo): Promise<StoredImage[] | undefined> {
    if (info.pending_images === undefined) {
      return undefined;
    }
    return (await this.server.get<{ images: StoredImage[] }>(`${this.path}/images`)).images;
  }

  async thumbnail(index: number): Promise<Blob> {
    return (await this.server.getFile(`${this.path}/images/${index}/thumbnail`)).blob;
  }

  /** The newest result. Its two parts are fetched one after the other, and are of the same one. */
  async result(): Promise<{ answer: Answer; glb: Blob }> {
    const path = `${this.path}/result`;
    for (let attempt = 1; ; attempt += 1) {
      const json = await this.server.getFile(path, { format: 'json' });
      const { blob: glb } = await this.server.getFile(path, { format: 'glb' });
      if ((await this.server.tag(path, { format: 'json' })) === json.tag) {
        return { answer: JSON.parse(await json.blob.text()), glb };
      }
      if (attempt === RESULT_ATTEMPTS) {
        throw new Error('the result changes faster than it is fetched');
      }
    }
  }

  /**
   * The session once it stores nothing more of what an earlier connection sent.
   *
   * @param stored its count before.
   * @param underWay whether images were under way.
   */
  async settled(stored: number, underWay: boolean): Promise<Settled> {
    let info = await this.info();
    if (!underWay) {
      return { info, places: undefined };
    }
    let arrived = stored;
    for (let looks = 0; looks < SETTLE_LOOKS && info.pending_images !== 0; looks += 1) {
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      info = await this.info();
      if (info.pending_images === undefined && info.image_count === arrived) {
        break;
      }
      arrived = info.image_count;
    }
    const images = await this.images(info);
    return { info, places: images && new Map(images.map(({ id, index }) => [id ?? '', index])) };
  }
}
