/**
 * Binary messages: a header (a JSON message without its base64 field) and the field's bytes.
 *
 * They begin with the letters PSB, the version 1, and the length of the header as an unsigned
 * 32-bit little-endian integer.
 */

import { InvalidResponseError } from '../errors.js';

const MAGIC = [0x50, 0x53, 0x42, 1];
const PRELUDE = 8;

/** Encodes a message with the bytes of a file. */
export async function encodeFrame(header: object, file: Blob): Promise<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const prelude = new DataView(new ArrayBuffer(PRELUDE));
  MAGIC.forEach((byte, index) => {
    prelude.setUint8(index, byte);
  });
  prelude.setUint32(MAGIC.length, text.length, true);
  return new Blob([prelude, text, file]).arrayBuffer();
}

export interface Frame {
  /** The header as JSON text. */
  header: string;
  /** A view into the message, not a copy. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** @throws InvalidResponseError if the data are not a binary message. */
export function decodeFrame(data: ArrayBuffer): Frame {
  const view = new DataView(data);
  if (view.byteLength < PRELUDE || MAGIC.some((byte, index) => view.getUint8(index) !== byte)) {
    throw new InvalidResponseError('the server sent a binary message of an unknown kind');
  }
  const length = view.getUint32(MAGIC.length, true);
  if (PRELUDE + length > data.byteLength) {
    throw new InvalidResponseError('the server sent a truncated binary message');
  }
  return {
    header: new TextDecoder().decode(new Uint8Array(data, PRELUDE, length)),
    bytes: new Uint8Array(data, PRELUDE + length),
  };
}
