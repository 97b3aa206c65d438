/** A session's REST resources. */

import { InvalidResponseError, UnreachableError } from '../errors.js';
import type { Answer, Created, SessionInfo, StoredImage } from './messages.js';
import { pause } from './retry.js';
import { parsed, type Query, type Server } from './server.js';
import type { Places } from './uploads.js';

/** Seconds between two looks at the session: the first, and the most. */
const SOON = 0.1;
const LATE = 5;
/** Seconds for the server to store the images that it has received. */
const STORING = 60;
/** The same between two counts of a server that does not say whether it still stores images. */
const STEADY = 0.4;
/** Attempts to fetch both parts of the same result while newer ones replace it. */
const RESULT_ATTEMPTS = 4;

export interface Settled {
  info: SessionInfo;
  /** The stored images by message identifier; undefined for older servers. */
  places: Places | undefined;
}

/** Delays that double. */
export function* delays(): Generator<number, never> {
  for (let delay = SOON; ; delay = Math.min(2 * delay, LATE)) {
    yield delay;
  }
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

  /** A token with which others watch the session; undefined if the server asks nobody for one. */
  async watchToken(): Promise<string | undefined> {
    const made = await this.server.post<{ watch_token?: unknown }>(`${this.path}/watch-token`);
    return typeof made.watch_token === 'string' ? made.watch_token : undefined;
  }

  /**
   * Creates a session with the same images.
   *
   * @returns its identifier, when its images are ready.
   */
  async rerun(parameters: Query): Promise<string> {
    const created = await this.server.post<Created>(`${this.path}/rerun`, parameters);
    const { session_id, session_token } = created;
    this.server.tokens.keep(session_id, session_token);
    await new SessionResource(this.server, session_id).settled(0, true);
    return session_id;
  }

  /** The stored images in order; undefined for older servers. */
  async images(info: SessionInfo): Promise<StoredImage[] | undefined> {
    return info.pending_images === undefined ? undefined : this.stored();
  }

  /** The stored images in order. */
  async stored(): Promise<StoredImage[]> {
    const { images } = await this.server.get<{ images: StoredImage[] }>(`${this.path}/images`);
    if (!Array.isArray(images)) {
      throw new InvalidResponseError('the list of images is none');
    }
    return images;
  }

  /** An image as its client sent it. */
  async image(index: number): Promise<Blob> {
    return (await this.server.getFile(`${this.path}/images/${index}`)).blob;
  }

  async thumbnail(index: number): Promise<Blob> {
    return (await this.server.getFile(`${this.path}/images/${index}/thumbnail`)).blob;
  }

  /** Bytes of the newest result in a format, which the server may have to write first. */
  size(format: string): Promise<number | undefined> {
    return this.server.size(`${this.path}/result`, { format });
  }

  /** The newest result in a format. */
  async file(format: string, options: { silence?: number; longest?: number } = {}): Promise<Blob> {
    const query = { format };
    return (await this.server.send('GET', `${this.path}/result`, { query, ...options })).blob;
  }

  /**
   * Fetches the newest result; ensures that metadata and GLB belong to the same one.
   *
   * @param path where it is, if not in its usual place.
   */
  async result(path = `${this.path}/result`): Promise<{ answer: Answer; glb: Blob }> {
    for (let attempt = 1; attempt <= RESULT_ATTEMPTS; attempt += 1) {
      const told = await this.server.getFile(path, { format: 'json' });
      const answer = await parsed<Answer>(told);
      const { blob: glb } = await this.server.getFile(path, { format: 'glb' });
      if (typeof answer.metadata !== 'object' || answer.metadata === null) {
        throw new InvalidResponseError('a result of the server has no metadata');
      }
      const same = answer.metadata.glb_size_bytes === glb.size;
      if (same && (!told.tag || (await this.server.tag(path, { format: 'json' })) === told.tag)) {
        return { answer, glb };
      }
    }
    throw new InvalidResponseError(
      'the result was replaced again and again while it was being fetched',
    );
  }

  /**
   * Waits until the session has stored all images received on an earlier connection.
   *
   * @param stored the image count before.
   * @param underWay whether images were in transit.
   * @param found called with the images that are stored so far.
   */
  async settled(
    stored: number,
    underWay: boolean,
    found: (places: Places) => boolean = () => false,
  ): Promise<Settled> {
    let waited = 0;
    let arrived = stored;
    for (const delay of delays()) {
      // Before the list: what is pending now is in it, or is looked for again.
      const info = await this.info();
      if (!underWay) {
        return { info, places: undefined };
      }
      const places = await this.places(info);
      const older = places === undefined;
      const steady = older && waited > 0 && info.image_count === arrived;
      if (info.pending_images === 0 || steady || (places && found(places))) {
        return { info, places };
      }
      if (waited > STORING) {
        break;
      }
      arrived = info.image_count;
      const seconds = older ? STEADY : delay;
      waited += seconds;
      await pause(seconds);
    }
    throw new UnreachableError('the server does not finish storing images');
  }

  private async places(info: SessionInfo): Promise<Places | undefined> {
    const images = await this.images(info);
    return images && new Map(images.map((image) => [image.id ?? '', image]));
  }
}
