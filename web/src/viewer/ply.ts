/** Reads how certain points are from a PLY file of the server. */

const BYTES: Record<string, number> = {
  char: 1,
  uchar: 1,
  short: 2,
  ushort: 2,
  int: 4,
  uint: 4,
  float: 4,
  double: 8,
};
const END = 'end_header\n';
/** The header is much shorter. */
const LONGEST_HEADER = 4096;

/**
 * The confidences of all points.
 *
 * @throws Error if the file is not as docs/formats.md has it.
 */
export function plyConfidence(file: ArrayBuffer): Float32Array<ArrayBuffer> {
  const begin = new Uint8Array(file, 0, Math.min(LONGEST_HEADER, file.byteLength));
  const text = String.fromCharCode(...begin);
  const body = text.indexOf(END) + END.length;
  const count = Number(/element vertex (\d+)/.exec(text)?.[1]);
  let stride = 0;
  let offset = -1;
  for (const [, type = '', name] of text.slice(0, body).matchAll(/property (\w+) (\w+)/g)) {
    if (name === 'confidence' && type === 'float') {
      offset = stride;
    }
    stride += BYTES[type] ?? Number.NaN;
  }
  const whole = file.byteLength >= body + stride * count;
  if (!text.includes('binary_little_endian') || offset < 0 || !whole) {
    throw new Error('this is not a PLY file of the server');
  }
  const view = new DataView(file, body);
  const values = new Float32Array(count);
  for (let index = 0; index < count; index += 1) {
    values[index] = view.getFloat32(index * stride + offset, true);
  }
  return values;
}
