// GLB files without EXT_meshopt_compression, for readers that do not know it.

import { MeshoptDecoder } from 'three/examples/jsm/libs/meshopt_decoder.module.js';

export const MESHOPT = 'EXT_meshopt_compression';

const MAGIC = 0x46546c67;
const JSON_CHUNK = 0x4e4f534a;
const BINARY_CHUNK = 0x004e4942;
const HEADER_BYTES = 12;
const CHUNK_HEADER_BYTES = 8;

const padded = (bytes) => Math.ceil(bytes / 4) * 4;

/** The JSON and the binary chunk of a GLB. */
export function parseGlb(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts = {};
  let place = HEADER_BYTES;
  while (place < bytes.length) {
    const length = view.getUint32(place, true);
    const kind = view.getUint32(place + 4, true);
    place += CHUNK_HEADER_BYTES;
    parts[kind] = bytes.subarray(place, place + length);
    place += length;
  }
  const json = JSON.parse(new TextDecoder().decode(parts[JSON_CHUNK]));
  return { json, binary: parts[BINARY_CHUNK] ?? new Uint8Array() };
}

function writeGlb(json, binary) {
  const text = new TextEncoder().encode(JSON.stringify(json));
  const chunks = [[JSON_CHUNK, text, 0x20], [BINARY_CHUNK, binary, 0]];
  const sizes = chunks.map(([, content]) => CHUNK_HEADER_BYTES + padded(content.length));
  const file = new Uint8Array(HEADER_BYTES + sizes[0] + sizes[1]);
  const view = new DataView(file.buffer);
  [MAGIC, 2, file.length].forEach((word, index) => view.setUint32(4 * index, word, true));
  let place = HEADER_BYTES;
  for (const [kind, content, filler] of chunks) {
    const length = padded(content.length);
    view.setUint32(place, length, true);
    view.setUint32(place + 4, kind, true);
    place += CHUNK_HEADER_BYTES;
    file.fill(filler, place, place + length);
    file.set(content, place);
    place += length;
  }
  return file;
}

/** The content of a buffer view, decoded if it is compressed. */
function content(view, binary) {
  const compression = view.extensions?.[MESHOPT];
  const { buffer, byteOffset = 0, byteLength } = compression ?? view;
  if (buffer !== 0) {
    throw new Error(`a buffer view has its content in buffer ${buffer}`);
  }
  const stored = binary.subarray(byteOffset, byteOffset + byteLength);
  if (!compression) {
    return stored;
  }
  const { count, byteStride, mode, filter } = compression;
  if (count * byteStride !== view.byteLength) {
    throw new Error('the length of a buffer view differs from that of its content');
  }
  const decoded = new Uint8Array(count * byteStride);
  MeshoptDecoder.decodeGltfBuffer(decoded, count, byteStride, stored, mode, filter);
  return decoded;
}

/** The same file with decoded buffer views; the rest of its JSON does not change. */
export async function decompress(bytes) {
  await MeshoptDecoder.ready;
  const { json, binary } = parseGlb(bytes);
  const contents = json.bufferViews.map((view) => content(view, binary));
  const whole = new Uint8Array(contents.reduce((sum, part) => sum + padded(part.length), 0));
  let place = 0;
  json.bufferViews.forEach((view, index) => {
    whole.set(contents[index], place);
    delete view.extensions?.[MESHOPT];
    if (Object.keys(view.extensions ?? {}).length === 0) {
      delete view.extensions;
    }
    Object.assign(view, { buffer: 0, byteOffset: place });
    place += padded(contents[index].length);
  });
  json.buffers = [{ byteLength: whole.length }];
  for (const list of ['extensionsUsed', 'extensionsRequired']) {
    json[list] = json[list].filter((extension) => extension !== MESHOPT);
  }
  return writeGlb(json, whole);
}
