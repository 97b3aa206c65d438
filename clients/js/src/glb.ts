/**
 * Reads the GLB files that the server writes.
 *
 * General glTF libraries draw, and drop what we need, the `extras` with the exact cameras.
 * docs/formats.md describes the files.
 */

import type { Matrix } from './engine/messages.js';
import { GlbError } from './errors.js';
import { IDENTITY, multiply, transform } from './matrix.js';

const MAGIC = 0x46546c67;
const JSON_CHUNK = 0x4e4f534a;
const BINARY_CHUNK = 0x004e4942;
const HEADER = 12;
const CHUNK_HEADER = 8;
const POINTS = 0;
const WIDTHS: Record<string, number> = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4 };

/** Points with their colours: three numbers for each. */
export interface Points {
  positions: Float32Array<ArrayBuffer>;
  /** sRGB. */
  colors: Uint8Array<ArrayBuffer>;
}

export const NOTHING: Points = { positions: new Float32Array(), colors: new Uint8Array() };

/** A node of a GLB, as far as this package reads it. */
export interface Node {
  name?: string;
  mesh?: number;
  camera?: number;
  children?: number[];
  matrix?: number[];
  translation?: number[];
  rotation?: number[];
  scale?: number[];
  extras?: Record<string, unknown>;
}

interface Accessor {
  bufferView: number;
  byteOffset?: number;
  componentType: number;
  count: number;
  type: string;
}

interface View {
  byteOffset?: number;
  byteStride?: number;
  extensions?: Record<string, unknown>;
}

interface Document {
  nodes?: Node[];
  meshes?: { primitives: { mode?: number; attributes: Record<string, number> }[] }[];
  accessors?: Accessor[];
  bufferViews?: View[];
}

type Read = (view: DataView, offset: number) => number;

/** The types of components, by their numbers in glTF: bytes, and how to read one. */
const COMPONENTS: Record<number, readonly [number, Read]> = {
  5120: [1, (view, offset) => view.getInt8(offset)],
  5121: [1, (view, offset) => view.getUint8(offset)],
  5122: [2, (view, offset) => view.getInt16(offset, true)],
  5123: [2, (view, offset) => view.getUint16(offset, true)],
  5126: [4, (view, offset) => view.getFloat32(offset, true)],
};

/** A parsed file. */
export class Glb {
  readonly nodes: Node[];
  private readonly document: Document;
  private readonly binary: DataView;

  /** @throws GlbError if it is none. */
  constructor(data: Uint8Array) {
    [this.document, this.binary] = chunks(data);
    this.nodes = this.document.nodes ?? [];
  }

  /** The points of a node and of its children, in the coordinates of the node; undefined if none. */
  points(node: Node): Points | undefined {
    const parts = [this.mesh(node)];
    for (const index of node.children ?? []) {
      const child = this.at(this.nodes, index);
      const found = this.mesh(child);
      parts.push(found && { ...found, positions: transform(found.positions, matrixOf(child)) });
    }
    const found = parts.filter((part) => part !== undefined);
    return found.length > 0 ? joined(found) : undefined;
  }

  private mesh({ mesh }: Node): Points | undefined {
    if (mesh === undefined) {
      return undefined;
    }
    const { primitives } = this.at(this.document.meshes, mesh);
    const cloud = primitives.find(({ mode }) => mode === POINTS);
    if (!cloud) {
      return undefined;
    }
    const { POSITION, COLOR_0 } = cloud.attributes;
    return {
      positions: this.read(POSITION, (count) => new Float32Array(count)),
      colors: this.read(COLOR_0, (count) => new Uint8Array(count)),
    };
  }

  /** The first three components of each element. */
  private read<T extends Float32Array | Uint8Array>(
    index: number | undefined,
    make: (count: number) => T,
  ): T {
    const { accessors, bufferViews } = this.document;
    const accessor = this.at(accessors, index);
    const view = this.at(bufferViews, accessor.bufferView);
    if (view.extensions && 'EXT_meshopt_compression' in view.extensions) {
      throw new GlbError(
        'the points are compressed with meshopt, which this package does not read; create the ' +
          "session with glb_compression 'none' or 'quantized', or fetch another format",
      );
    }
    const component = COMPONENTS[accessor.componentType];
    const width = WIDTHS[accessor.type] ?? 0;
    if (!component || width < 3) {
      throw new GlbError('the GLB is damaged: an accessor is of an unknown type');
    }
    const [size, get] = component;
    const begin = (view.byteOffset ?? 0) + (accessor.byteOffset ?? 0);
    const stride = view.byteStride || size * width;
    const end = begin + stride * (accessor.count - 1) + size * width;
    if (accessor.count > 0 && end > this.binary.byteLength) {
      throw new GlbError('the GLB is damaged: an accessor is longer than its data');
    }
    const values = make(3 * accessor.count);
    for (let element = 0; element < accessor.count; element += 1) {
      for (let axis = 0; axis < 3; axis += 1) {
        values[3 * element + axis] = get(this.binary, begin + stride * element + size * axis);
      }
    }
    return values;
  }

  private at<T>(list: readonly T[] | undefined, index: number | undefined): T {
    const found = index === undefined ? undefined : list?.[index];
    if (found === undefined) {
      throw new GlbError('the GLB is damaged: it refers to something that it does not have');
    }
    return found;
  }
}

/** All points of several clouds. */
export function joined(parts: readonly Points[]): Points {
  const count = parts.reduce((sum, { colors }) => sum + colors.length, 0);
  const positions = new Float32Array(count);
  const colors = new Uint8Array(count);
  let begin = 0;
  for (const part of parts) {
    positions.set(part.positions, begin);
    colors.set(part.colors, begin);
    begin += part.colors.length;
  }
  return { positions, colors };
}

/** The transform of a node to its parent, 4x4. */
export function matrixOf({ matrix, translation, rotation, scale }: Node): Matrix {
  if (matrix) {
    // glTF writes columns.
    return [0, 1, 2, 3].map((row) => [0, 1, 2, 3].map((column) => matrix[4 * column + row] ?? 0));
  }
  const [x = 0, y = 0, z = 0, w = 1] = rotation ?? [];
  const [sx = 1, sy = 1, sz = 1] = scale ?? [];
  const [tx = 0, ty = 0, tz = 0] = translation ?? [];
  const turn = [
    [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), tx],
    [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), ty],
    [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), tz],
    [0, 0, 0, 1],
  ];
  const stretch = IDENTITY.map((row, index) =>
    row.map((one) => one * ([sx, sy, sz, 1][index] ?? 1)),
  );
  return multiply(turn, stretch);
}

function chunks(data: Uint8Array): [Document, DataView] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const whole =
    view.byteLength >= HEADER + CHUNK_HEADER &&
    view.getUint32(0, true) === MAGIC &&
    view.getUint32(4, true) === 2 &&
    view.getUint32(8, true) === view.byteLength;
  if (!whole || view.getUint32(16, true) !== JSON_CHUNK) {
    throw new GlbError('this is not a whole GLB of version 2');
  }
  const size = view.getUint32(12, true);
  const begin = HEADER + CHUNK_HEADER;
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder().decode(data.subarray(begin, begin + size)));
  } catch {
    document = undefined;
  }
  if (typeof document !== 'object' || document === null) {
    throw new GlbError('this is not a GLB: its JSON cannot be read');
  }
  const next = begin + size;
  if (next === view.byteLength) {
    return [document, new DataView(new ArrayBuffer(0))];
  }
  if (
    next + CHUNK_HEADER > view.byteLength ||
    view.getUint32(next + 4, true) !== BINARY_CHUNK ||
    next + CHUNK_HEADER + view.getUint32(next, true) > view.byteLength
  ) {
    throw new GlbError('this is not a GLB: its second chunk is not whole binary data');
  }
  const length = view.getUint32(next, true);
  return [document, new DataView(data.buffer, data.byteOffset + next + CHUNK_HEADER, length)];
}
