/** Where the EXIF is in a photo: in a segment of a JPEG, or a chunk of a PNG or a WebP file. */

/** Bytes at the beginning of a JPEG or PNG file in which its EXIF is looked for. */
const SEARCHED = 256 << 10;
/** Longest EXIF that is read, in bytes. */
const LONGEST = 256 << 10;
/** Chunks of a WebP file that are looked at: a still picture has few. */
const MOST_CHUNKS = 16;
/** Comes before the EXIF in a JPEG file. */
export const SIGNATURE = [0x45, 0x78, 0x69, 0x66, 0, 0];
const PNG = '\x89PNG\r\n\x1a\n';
const CHUNK_HEAD = 8;

/** The EXIF of a photo, a TIFF file; undefined if there is none. */
export async function findExif(file: Blob): Promise<DataView | undefined> {
  const begin = new Uint8Array(await file.slice(0, SEARCHED).arrayBuffer());
  if (text(begin, 0, 8) === PNG) {
    return inPng(begin);
  }
  if (text(begin, 0, 4) === 'RIFF' && text(begin, 8, 12) === 'WEBP') {
    return inWebp(file);
  }
  return inJpeg(begin);
}

function inPng(file: Uint8Array): DataView | undefined {
  const view = viewOf(file);
  for (let at = PNG.length; at + CHUNK_HEAD <= file.length; ) {
    const length = view.getUint32(at);
    const content = at + CHUNK_HEAD;
    if (text(file, at + 4, at + 8) === 'eXIf' && content + length <= file.length) {
      return tiff(file.subarray(content, content + length));
    }
    // The checksum follows.
    at = content + length + 4;
  }
  return undefined;
}

/** Its EXIF comes after the pixels, so the file is read in pieces. */
async function inWebp(file: Blob): Promise<DataView | undefined> {
  const read = async (at: number, length: number) =>
    new Uint8Array(await file.slice(at, at + length).arrayBuffer());
  let at = 12;
  for (let chunk = 0; chunk < MOST_CHUNKS; chunk += 1) {
    const head = await read(at, CHUNK_HEAD);
    if (head.length < CHUNK_HEAD) {
      return undefined;
    }
    const length = viewOf(head).getUint32(4, true);
    if (text(head, 0, 4) === 'EXIF') {
      return tiff(await read(at + CHUNK_HEAD, Math.min(length, LONGEST)));
    }
    at += CHUNK_HEAD + length + (length % 2);
  }
  return undefined;
}

/** The content of the EXIF segment of a JPEG file. */
function inJpeg(file: Uint8Array): DataView | undefined {
  const view = viewOf(file);
  if (file.length < 4 || view.getUint16(0) !== 0xffd8) {
    return undefined;
  }
  for (let at = 2; at + 4 <= file.length && file[at] === 0xff; ) {
    const length = view.getUint16(at + 2);
    const content = at + 4 + SIGNATURE.length;
    const end = at + 2 + length;
    const isExif = SIGNATURE.every((byte, index) => file[at + 4 + index] === byte);
    if (file[at + 1] === 0xe1 && isExif) {
      const bytes = Math.min(end, file.length) - content;
      return tiff(file.subarray(content, content + bytes));
    }
    // After the start of the scan come the pixels.
    if (file[at + 1] === 0xda || length < 2) {
      return undefined;
    }
    at = end;
  }
  return undefined;
}

/** Some writers put the signature of JPEG files before it. */
function tiff(content: Uint8Array): DataView | undefined {
  const signed = SIGNATURE.every((byte, index) => content[index] === byte);
  const file = signed ? content.subarray(SIGNATURE.length) : content;
  return file.length >= 8 ? viewOf(file) : undefined;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function text(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}
