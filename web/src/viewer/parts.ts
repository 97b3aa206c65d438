/** The parts of a point cloud, each of which moves as a whole: its frames, or all of a result. */

import {
  type BufferGeometry,
  Group,
  Matrix4,
  type Points,
  Quaternion,
  type ShaderMaterial,
  Vector3,
} from 'three';
import { eased, isCalm } from './motion';

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

/** How long a part glides to its new place. */
const GLIDE_MS = 700;

interface Placed extends Part {
  /** Where it is, or glides to. */
  place: Matrix4;
  glide: Glide | undefined;
  /** Number of its first points that are shown. */
  count: number;
  /** Some of its points in its own coordinates. */
  sample: Vector3[];
}

/** A way from one place to another. */
interface Glide {
  from: Matrix4;
  begun: number | undefined;
}

/** The shown points. */
export class Parts {
  readonly group = new Group();
  private readonly parts = new Map<number, Placed>();

  /** @param calm whether parts are moved at once. */
  constructor(private readonly calm = isCalm) {}

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
    const { count } = position;
    this.parts.set(number, { ...part, count, sample, place, glide: undefined });
    points.matrixAutoUpdate = false;
    put(part, place);
    this.group.add(points);
  }

  geometry(number: number): BufferGeometry | undefined {
    return this.parts.get(number)?.points.geometry;
  }

  /** Moves a part to a corrected place. It glides there, so that eyes can follow. */
  move(number: number, place: Matrix4): void {
    const part = this.parts.get(number);
    if (!part || part.place.equals(place)) {
      return;
    }
    const shown = part.points.matrix.clone().multiply(part.grid.clone().invert());
    part.place = place;
    part.glide = this.calm() ? undefined : { from: shown, begun: undefined };
    put(part, part.glide ? shown : place);
  }

  /** Goes on with all moves. Returns whether a part is still on its way. */
  step(time: number): boolean {
    let moving = false;
    for (const part of this.parts.values()) {
      const { glide, place } = part;
      if (glide) {
        glide.begun ??= time;
        const share = (time - glide.begun) / GLIDE_MS;
        if (share >= 1) {
          part.glide = undefined;
          put(part, place);
        } else {
          moving = true;
          put(part, between(glide.from, place, eased(share)));
        }
      }
    }
    return moving;
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
    return all.flatMap(({ place, sample }) => {
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

function put({ points, grid }: Part, place: Matrix4): void {
  points.matrix.multiplyMatrices(place, grid);
  points.matrixWorldNeedsUpdate = true;
}

/** A place on the way from one to another, both similarities. */
function between(from: Matrix4, to: Matrix4, share: number): Matrix4 {
  const apart = (matrix: Matrix4) => {
    const [position, turn, scale] = [new Vector3(), new Quaternion(), new Vector3()];
    matrix.decompose(position, turn, scale);
    return { position, turn, scale };
  };
  const [one, other] = [apart(from), apart(to)];
  return new Matrix4().compose(
    one.position.lerp(other.position, share),
    one.turn.slerp(other.turn, share),
    one.scale.lerp(other.scale, share),
  );
}
