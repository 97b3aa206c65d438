/**
 * A point cloud in typed arrays, which updates make grow.
 *
 * Everything is in GLB coordinates: x right, y up, z backward as the session's first camera saw it.
 * The unit is arbitrary but the same in all results of the session. If `metadata.scale` is `metric`,
 * the scale of `metadata.world_to_glb` is units for each metre. Cameras have the axes of OpenCV: x
 * right, y down, z forward. Pixel (0, 0) is the centre of the top left pixel of the processed image.
 */

import type { Append, FramePose, Matrix } from './engine/messages.js';
import { GlbError, InvalidResponseError } from './errors.js';
import { Glb, joined, matrixOf, NOTHING, type Node, type Points } from './glb.js';
import { element, inverseOfPose, multiply, transform } from './matrix.js';

/** Between the axes of a glTF camera (x right, y up, z backward) and x right, y down, z forward. */
const FLIP: Matrix = [
  [1, 0, 0, 0],
  [0, -1, 0, 0],
  [0, 0, -1, 0],
  [0, 0, 0, 1],
];

/** Where an image was taken. */
export class Camera {
  constructor(
    /** The number of the image, the same in all results of a session. */
    readonly number: number,
    readonly name: string,
    /** 4x4, a rotation and a translation: from the camera to GLB coordinates. */
    readonly cameraToGlb: Matrix,
    /** 3x3, in pixels of the processed image. */
    readonly intrinsics: Matrix,
    /** Radial distortion, k1 and k2 of docs/formats.md. */
    readonly distortion: readonly [number, number],
  ) {}

  /** 4x4, a rotation and a translation: from GLB coordinates to the camera. */
  get extrinsics(): Matrix {
    return inverseOfPose(this.cameraToGlb);
  }

  /** Where the camera is. */
  get center(): [number, number, number] {
    const at = (row: number) => element(this.cameraToGlb, row, 3);
    return [at(0), at(1), at(2)];
  }

  /** The pixel and the depth of a position. Behind the camera there is no pixel: NaN. */
  project(x: number, y: number, z: number): { pixel: [number, number]; depth: number } {
    const { extrinsics, intrinsics } = this;
    const [right = 0, down = 0, depth = 0] = [0, 1, 2].map(
      (row) =>
        element(extrinsics, row, 0) * x +
        element(extrinsics, row, 1) * y +
        element(extrinsics, row, 2) * z +
        element(extrinsics, row, 3),
    );
    const [u, v] = depth > 0 ? [right / depth, down / depth] : [Number.NaN, Number.NaN];
    const [k1, k2] = this.distortion;
    const square = u * u + v * v;
    const bend = 1 + k1 * square + k2 * square * square;
    const pixel = (row: number) =>
      element(intrinsics, row, 0) * u * bend +
      element(intrinsics, row, 1) * v * bend +
      element(intrinsics, row, 2);
    return { pixel: [pixel(0), pixel(1)], depth };
  }
}

/** Points that came together: those of one image. They never change, but where they are may. */
export interface Chunk {
  points: Points;
  /** 4x4: from the coordinates of the points to GLB coordinates. */
  pointsToGlb: Matrix;
}

/** Points and cameras in one world. */
export class Cloud {
  private placed = new Map<number, Chunk>();
  private seen = new Map<number, Camera>();
  private updates: number | undefined;
  /** All points; kept, since joining copies each of them. */
  private all: Points | undefined;

  /**
   * The cloud of a whole result.
   *
   * @throws GlbError if the file is no GLB, or that of an update.
   */
  static fromGlb(data: Uint8Array): Cloud {
    const glb = new Glb(data);
    if (glb.nodes.some(({ extras }) => extras && 'frame' in extras)) {
      throw new GlbError('this is the GLB of an update: apply it to the cloud that it continues');
    }
    const cloud = new Cloud();
    for (const node of glb.nodes) {
      const points = glb.points(node);
      if (points) {
        // A quantised cloud has the transform from its integers to GLB coordinates in the node.
        cloud.placed.set(cloud.placed.size, { points, pointsToGlb: matrixOf(node) });
      }
      if (node.camera !== undefined) {
        const camera = cameraOfNode(node);
        cloud.seen.set(camera.number, camera);
      }
    }
    return cloud;
  }

  /**
   * Applies an update, `metadata.append` and its GLB: whole, or not at all.
   *
   * @throws GlbError, InvalidResponseError if they do not fit.
   */
  apply(append: Append, data: Uint8Array): void {
    const glb = new Glb(data);
    const fresh = new Map(
      glb.nodes.flatMap((node) => {
        const frame = node.extras?.frame;
        return typeof frame === 'number' ? [[frame, glb.points(node)] as const] : [];
      }),
    );
    const placed = new Map(append.reset ? [] : this.placed);
    const seen = new Map(append.reset ? [] : this.seen);
    const known = (frame: number): Chunk => {
      const chunk = placed.get(frame);
      if (!chunk) {
        throw new InvalidResponseError(`an update is about frame ${frame}, which is not there`);
      }
      return chunk;
    };
    for (const { frame, points } of append.kept) {
      const { points: all, pointsToGlb } = known(frame);
      placed.set(frame, { points: first(all, points), pointsToGlb });
    }
    for (const pose of append.corrections) {
      placed.set(pose.frame, { ...known(pose.frame), pointsToGlb: place(pose) });
      seen.set(pose.frame, cameraOf(pose));
    }
    for (const pose of append.frames) {
      placed.set(pose.frame, {
        points: fresh.get(pose.frame) ?? NOTHING,
        pointsToGlb: place(pose),
      });
      seen.set(pose.frame, cameraOf(pose));
    }
    this.placed = placed;
    this.seen = seen;
    this.updates = append.number;
    this.all = undefined;
  }

  /** The number of the newest update that is in here. */
  get number(): number | undefined {
    return this.updates;
  }

  /** Points by the numbers of their images. A whole result has one chunk, number 0. */
  get chunks(): ReadonlyMap<number, Chunk> {
    return this.placed;
  }

  /** Positions and colours in GLB coordinates. */
  get points(): Points {
    if (!this.all) {
      const order = [...this.placed].sort(([one], [other]) => one - other);
      this.all = joined(
        order.map(([, { points, pointsToGlb }]) => ({
          positions: transform(points.positions, pointsToGlb),
          colors: points.colors,
        })),
      );
    }
    return this.all;
  }

  /** All points in GLB coordinates, three numbers for each. */
  get positions(): Float32Array<ArrayBuffer> {
    return this.points.positions;
  }

  /** Red, green and blue of all points, sRGB. */
  get colors(): Uint8Array<ArrayBuffer> {
    return this.points.colors;
  }

  /** The cameras of the placed images, by their numbers. */
  get cameras(): Camera[] {
    return [...this.seen.values()].sort((one, other) => one.number - other.number);
  }

  /** The number of points. */
  get size(): number {
    let count = 0;
    for (const { points } of this.placed.values()) {
      count += points.colors.length / 3;
    }
    return count;
  }
}

function first({ positions, colors }: Points, count: number): Points {
  return { positions: positions.slice(0, 3 * count), colors: colors.slice(0, 3 * count) };
}

function place({ points_to_glb, frame }: FramePose): Matrix {
  return given(points_to_glb, frame);
}

function cameraOf({ frame, name, camera_to_glb, intrinsics, distortion }: FramePose): Camera {
  return new Camera(frame, name, given(camera_to_glb, frame), intrinsics, distortion);
}

function given(matrix: Matrix | null, frame: number): Matrix {
  if (!matrix) {
    throw new InvalidResponseError(`an update does not say where frame ${frame} is`);
  }
  return matrix;
}

function cameraOfNode(node: Node): Camera {
  const { id, intrinsics, distortion } = node.extras ?? {};
  if (typeof id !== 'number' || !Array.isArray(intrinsics)) {
    throw new GlbError('a camera of the GLB is damaged');
  }
  const [k1 = 0, k2 = 0] = Array.isArray(distortion) ? distortion : [];
  const pose = multiply(matrixOf(node), FLIP);
  return new Camera(id, node.name ?? '', pose, intrinsics, [k1, k2]);
}
