/** Photos in, a file out. */

import { Client, type ClientOptions } from './client.js';
import { Cloud } from './cloud.js';
import type { Metadata, Quality } from './engine/messages.js';
import { ImageRefusedError } from './errors.js';
import type { Result, SessionEvent } from './events.js';
import type { ImageSource } from './images.js';
import type { SessionParameters } from './parameters.js';
import type { ResultFormat } from './session.js';

/** A final result. */
export class Reconstruction {
  constructor(
    /** The file in this format. */
    readonly file: Blob,
    readonly format: ResultFormat,
    private readonly result: Result,
  ) {}

  get metadata(): Metadata {
    return this.result.metadata;
  }

  /** Whether it can be relied on. A result whose verdict is `failed` has no points. */
  get quality(): Quality {
    return this.result.quality;
  }

  /** Points and cameras as arrays. */
  cloud(): Cloud {
    return Cloud.fromGlb(this.result.glb);
  }
}

export interface ReconstructOptions extends ClientOptions {
  /** The address of the server. */
  url: string | URL;
  format?: ResultFormat;
  parameters?: SessionParameters;
  onEvent?: (event: SessionEvent) => void;
}

/**
 * Reconstructs photos.
 *
 * It uses a session, not `POST /reconstruct`: a lost connection costs nothing then, and the answer
 * has all metadata. As with that request, all photos are reconstructed together unless
 * `finalize_mode` says otherwise.
 *
 * @throws ImageRefusedError if one cannot be used.
 */
export async function reconstruct(
  images: Iterable<ImageSource>,
  { url, format = 'glb', parameters = {}, onEvent, ...options }: ReconstructOptions,
): Promise<Reconstruction> {
  const all = [...images];
  const chosen: SessionParameters = {
    max_images: Math.max(all.length, 1),
    finalize_mode: 'whole',
    ...parameters,
  };
  const client = new Client(url, options);
  const session = await client.session(chosen, {
    deltas: 'cumulative',
    ...(onEvent ? { onEvent } : {}),
  });
  let made: Reconstruction;
  try {
    for (const answer of await session.uploadMany(all)) {
      if (answer instanceof ImageRefusedError) {
        throw answer;
      }
    }
    const result = await session.finalize();
    const glb = () => new Blob([result.glb], { type: 'model/gltf-binary' });
    made = new Reconstruction(
      format === 'glb' ? glb() : await session.result(format),
      format,
      result,
    );
  } catch (error) {
    // What failed says more. A session that nobody uses expires.
    await session.close().catch(() => undefined);
    throw error;
  }
  await session.close();
  return made;
}
