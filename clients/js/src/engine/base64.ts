/** Base64 encoding and decoding, with native functions where there are some. */

/** Bytes that become one piece of text: a function takes only so many arguments. */
const PIECE = 32_766;

type Native = { fromBase64?(text: string): Uint8Array<ArrayBuffer> };

/** Encodes bytes as standard base64. */
export function toBase64(bytes: Uint8Array): string {
  const native = (bytes as { toBase64?(): string }).toBase64;
  if (native) {
    return native.call(bytes);
  }
  const pieces: string[] = [];
  for (let begin = 0; begin < bytes.length; begin += PIECE) {
    // A multiple of 3 bytes, so that only the last piece has padding.
    pieces.push(btoa(String.fromCharCode(...bytes.subarray(begin, begin + PIECE))));
  }
  return pieces.join('');
}

/** Decodes standard base64. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const native = Uint8Array as unknown as Native;
  if (native.fromBase64) {
    return native.fromBase64(text);
  }
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) {
    bytes[index] = binary.charCodeAt(index);
  }
  return bytes;
}
