/** The parts of a point cloud, each of which moves as a whole: its frames, or all of a result. */

import {
  type BufferGeometry,
  Group,
  type Matrix4,
  type Points,
  type ShaderMaterial,
  Vector3,
} from 'three';

/** Points that measure the extent of the cloud. */
const SAMPLE = 20_000;
/** Points of a part that are kept for that, if there are many parts. */
const PART_SAMPLE = 500;

/** The number of the part that is a whole result; frames have larger ones. */
export const WHOLE = 0;

export type PartPoints = Points<BufferGeometry, ShaderMaterial>;

/** Points that move as a whole. */
export interface Part {
  points: PartPoints;
  /** From the stored numbers to the coordinates of the part: dequantizes positions. */
  grid: Matrix4;
}

interface Placed extends Part {
  /** Number of its first points that are shown. */
  count: number;
  /** Some of its points in its own coordinates. */
  sample: Vector3[];
}

/** The shown points. */
export class Parts {
  readonly group = new Group();
  private readonly parts = new Map<number, Placed>();

  /** Number of points. */
  get count(): number {
    let count = 0;
    for (const part of this.parts.values()) {
      count += part.count;
    }
    return count;
  }

  /** Adds a part under a number, with its place. */
  add(number: number, part: Part, place: Matrix4): void {
    const { points } = part;
    const position = points.geometry.getAttribute('position');
    const most = number === WHOLE ? SAMPLE : PART_SAMPLE;
    const step = Math.max(1, Math.floor(position.count / most));
    const sample: Vector3[] = [];
    for (let index = 0; index < position.count; index += step) {
      sample.push(new Vector3().fromBufferAttribute(position, index).applyMatrix4(part.grid));
    }
    this.parts.set(number, { ...part, count: position.count, sample });
    points.matrixAutoUpdate = false;
    this.move(number, place);
    this.group.add(points);
  }

  /** Places a part. */
  move(number: number, place: Matrix4): void {
    const part = this.parts.get(number);
    if (part) {
      part.points.matrix.multiplyMatrices(place, part.grid);
      part.points.matrixWorldNeedsUpdate = true;
    }
  }

  /** Shows only the first points of a part. */
  keep(number: number, count: number): void {
    const part = this.parts.get(number);
    if (part) {
      part.count = Math.min(part.count, count);
    }
  }

  /** Draws so many of the points, evenly over the parts. */
  draw(limit: number): void {
    const share = limit / Math.max(1, this.count);
    for (const { points, count } of this.parts.values()) {
      points.geometry.setDrawRange(0, share < 1 ? Math.ceil(count * share) : count);
    }
  }

  /** Some points of all parts, in GLB coordinates. */
  sample(): Vector3[] {
    const all = [...this.parts.values()];
    const total = all.reduce((sum, { sample }) => sum + sample.length, 0);
    const step = Math.max(1, Math.floor(total / SAMPLE));
    return all.flatMap(({ points, grid, sample }) => {
      const place = points.matrix.clone().multiply(grid.clone().invert());
      const some = sample.filter((_, index) => index % step === 0);
      return some.map((point) => point.clone().applyMatrix4(place));
    });
  }

  clear(): void {
    for (const { points } of this.parts.values()) {
      points.geometry.dispose();
    }
    this.parts.clear();
    this.group.clear();
  }
}
