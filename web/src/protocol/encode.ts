/** Encodes the page's messages. */

import { reason } from '../shared/api';
import { bytes } from '../shared/format';
import { toBase64 } from './base64';
import { encodeFrame } from './frames';
import type { Limits } from './messages';
import type { RequestKind } from './requests';
import type { Image } from './uploads';

/** An image cannot be sent. */
export class Unsendable extends Error {}

/**
 * Encodes an image, as a binary message if the server accepts it.
 *
 * @throws Unsendable if its file cannot be read or exceeds the server's limit.
 */
export async function encodeImage(
  { name, id }: Image,
  file: Blob,
  binary: boolean,
  { max_image_bytes, max_message_bytes }: Limits,
): Promise<string | ArrayBuffer> {
  check(file.size, max_image_bytes);
  const header = { type: 'image', filename: name, id };
  let message: string | ArrayBuffer;
  try {
    message = binary
      ? await encodeFrame(header, file)
      : JSON.stringify({ ...header, data: await toBase64(file) });
  } catch (error) {
    throw new Unsendable(`its file cannot be read: ${reason(error)}`);
  }
  check(typeof message === 'string' ? message.length : message.byteLength, max_message_bytes);
  return message;
}

function check(size: number, limit = Number.POSITIVE_INFINITY): void {
  if (size > limit) {
    throw new Unsendable(`it has ${bytes(size)}, and the server accepts up to ${bytes(limit)}`);
  }
}

/** Encodes a request for a point cloud. */
export function encodeRequest(kind: RequestKind, id: string, incremental: boolean): string {
  return JSON.stringify(
    kind === 'finish' ? { type: 'finalize', id } : { type: 'generate', incremental, id },
  );
}
