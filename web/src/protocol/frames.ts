/**
 * Binary messages: a header, which is a message of the protocol without its base64, and the bytes.
 *
 * They begin with the letters PSB, the version 1, and the length of the header as an unsigned
 * 32-bit number, little endian.
 */

const MAGIC = [0x50, 0x53, 0x42, 1];
const PRELUDE = 8;

/** A message whose bytes are those of a file. */
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
  /** The text of the header. */
  header: string;
  /** Those of the message, not a copy. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** @throws Error if it is no message of this kind. */
export function decodeFrame(data: ArrayBuffer): Frame {
  const view = new DataView(data);
  if (view.byteLength < PRELUDE || MAGIC.some((byte, index) => view.getUint8(index) !== byte)) {
    throw new Error('the server sent a binary message of an unknown kind');
  }
  const length = view.getUint32(MAGIC.length, true);
  if (PRELUDE + length > data.byteLength) {
    throw new Error('the server sent a binary message that is cut off');
  }
  return {
    header: new TextDecoder().decode(new Uint8Array(data, PRELUDE, length)),
    bytes: new Uint8Array(data, PRELUDE + length),
  };
}
