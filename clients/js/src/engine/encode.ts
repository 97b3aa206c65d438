/** Encodes the messages of a client. */

import { ImageRefusedError, reason } from '../errors.js';
import { toBase64 } from './base64.js';
import { encodeFrame } from './frames.js';
import type { Limits } from './messages.js';
import type { Request } from './requests.js';
import { bytes } from './size.js';
import type { Image } from './uploads.js';

/**
 * Encodes an image, as a binary message if the server accepts it.
 *
 * @throws ImageRefusedError if its file cannot be read or exceeds the server's limit.
 */
export async function encodeImage(
  { label, camera, id }: Image,
  file: Blob,
  binary: boolean,
  { max_image_bytes, max_message_bytes }: Limits,
): Promise<string | ArrayBuffer> {
  check(file.size, max_image_bytes, label);
  const filename = label === undefined ? {} : { filename: label };
  const header = { type: 'image', ...filename, id, ...camera };
  let message: string | ArrayBuffer;
  try {
    message = binary
      ? await encodeFrame(header, file)
      : JSON.stringify({ ...header, data: toBase64(new Uint8Array(await file.arrayBuffer())) });
  } catch (error) {
    throw new ImageRefusedError(`its file cannot be read: ${reason(error)}`, { filename: label });
  }
  check(
    typeof message === 'string' ? message.length : message.byteLength,
    max_message_bytes,
    label,
  );
  return message;
}

function check(size: number, limit: number | undefined, filename: string | undefined): void {
  if (limit !== undefined && size > limit) {
    const text = `it has ${bytes(size)}, and the server accepts up to ${bytes(limit)}`;
    throw new ImageRefusedError(text, { code: 'image_too_large', filename });
  }
}

/** Encodes a request for a point cloud. */
export function encodeRequest({ kind, id, incremental }: Request): string {
  return JSON.stringify(
    kind === 'finish' ? { type: 'finalize', id } : { type: 'generate', incremental, id },
  );
}
