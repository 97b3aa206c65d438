/** Shuffles points, so that any first part of them is a random sample. */

import { type BufferGeometry, InterleavedBufferAttribute } from 'three';

/** Number of points to process before yielding to the page. */
const SLICE = 1_000_000;
/** A fixed seed, so that the order is reproducible. */
const SEED = 0x9e3779b9;

/** The values of one attribute, or of several interleaved ones, with a fixed number per point. */
interface Column {
  words: Uint32Array | Uint8Array;
  stride: number;
}

/** Reorders all attributes of a geometry in the same way. */
export async function shuffle(geometry: BufferGeometry): Promise<void> {
  const columns = columnsOf(geometry);
  const random = generator(SEED);
  for (let last = (geometry.getAttribute('position')?.count ?? 0) - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    for (const { words, stride } of columns) {
      swap(words, last * stride, other * stride, stride);
    }
    if (last % SLICE === 0) {
      await new Promise((resolve) => setTimeout(resolve));
    }
  }
}

function columnsOf(geometry: BufferGeometry): Column[] {
  const columns = new Map<object, Column>();
  for (const attribute of Object.values(geometry.attributes)) {
    const packed = attribute instanceof InterleavedBufferAttribute;
    const { array } = packed ? attribute.data : attribute;
    const stride = packed ? attribute.data.stride : attribute.itemSize;
    const bytes = stride * array.BYTES_PER_ELEMENT;
    const inWords = bytes % 4 === 0 && array.byteOffset % 4 === 0 && array.byteLength % 4 === 0;
    const { buffer, byteOffset, byteLength } = array;
    columns.set(array, {
      words: inWords
        ? new Uint32Array(buffer, byteOffset, byteLength / 4)
        : new Uint8Array(buffer, byteOffset, byteLength),
      stride: inWords ? bytes / 4 : bytes,
    });
  }
  return [...columns.values()];
}

function swap(words: Uint32Array | Uint8Array, one: number, other: number, length: number): void {
  for (let index = 0; index < length; index += 1) {
    const word = words[one + index] as number;
    words[one + index] = words[other + index] as number;
    words[other + index] = word;
  }
}

/** A xorshift generator of pseudo-random numbers in [0, 1). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
