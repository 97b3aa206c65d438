/** A session's REST resources. */

import type { Server } from '../shared/api';
import type { Answer, Created, SessionInfo, StoredImage } from './messages';

/** Poll interval while the server still stores images of a lost connection. */
const SETTLE_MS = 400;
/** Maximum number of polls; then the stored images at that time count. */
const SETTLE_LOOKS = 100;
/** Attempts to fetch both parts of the same result while newer ones replace it. */
const RESULT_ATTEMPTS = 4;

export interface Settled {
  info: SessionInfo;
  /** Indices of the stored images by message identifier; undefined for older servers. */
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

  /** Ends all requests of the session; each is answered with an error. */
  cancel(): Promise<void> {
    return this.server.delete(`${this.path}/generation`);
  }

  /** Lets the completed session take images and requests again. */
  async reopen(): Promise<void> {
    await this.server.post(`${this.path}/reopen`);
  }

  /**
   * Creates a session with the same images.
   *
   * @returns its identifier, when its images are ready.
   */
  async rerun(parameters: Record<string, string>): Promise<string> {
    const created = await this.server.post<Created>(`${this.path}/rerun`, parameters);
    const { session_id, session_token } = created;
    this.server.credentials.keep(session_id, session_token);
    await new SessionResource(this.server, session_id).settled(0, true);
    return session_id;
  }

  /** The stored images in order; undefined for older servers. */
  async images(info: SessionInfo): Promise<StoredImage[] | undefined> {
    if (info.pending_images === undefined) {
      return undefined;
    }
    return (await this.server.get<{ images: StoredImage[] }>(`${this.path}/images`)).images;
  }

  async thumbnail(index: number): Promise<Blob> {
    return (await this.server.getFile(`${this.path}/images/${index}/thumbnail`)).blob;
  }

  /** Fetches the newest result; ensures that metadata and GLB belong to the same one. */ async result(): Promise<{
    answer: Answer;
    glb: Blob;
  }> {
    const path = `${this.path}/result`;
    for (let attempt = 1; ; attempt += 1) {
      const json = await this.server.getFile(path, { format: 'json' });
      const { blob: glb } = await this.server.getFile(path, { format: 'glb' });
      if ((await this.server.tag(path, { format: 'json' })) === json.tag) {
        return { answer: JSON.parse(await json.blob.text()), glb };
      }
      if (attempt === RESULT_ATTEMPTS) {
        throw new Error('the result changed several times while it was being fetched');
      }
    }
  }

  /**
   * Waits until the session has stored all images received on an earlier connection.
   *
   * @param stored the image count before.
   * @param underWay whether images were in transit.
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
