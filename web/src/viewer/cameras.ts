/** The cameras of a result: one frustum each, textured with its image. */

import type { FramePose, Matrix, Metadata } from 'pointstream/engine';
import { uniqueNames } from 'pointstream/engine';
import {
  BufferGeometry,
  CanvasTexture,
  Color,
  DoubleSide,
  Float32BufferAttribute,
  Group,
  LinearFilter,
  LineBasicMaterial,
  LineSegments,
  Matrix3,
  Matrix4,
  Mesh,
  MeshBasicMaterial,
  NoColorSpace,
  type PerspectiveCamera,
  Ray,
  Vector3,
} from 'three';

/** Looks up the thumbnail of an image by its index in the session or its name. */
export type Picture = (index: number, name: string) => HTMLCanvasElement | undefined;

/** Edges of a frustum: from the camera centre to the corners, and around the image. */
const EDGES = [0, 1, 0, 2, 0, 3, 0, 4, 1, 2, 2, 3, 3, 4, 4, 1];
const PICTURE_OPACITY = 0.85;

/** A camera in GLB coordinates. */
export interface Pose {
  /** The index of its image in the session. */
  index: number;
  name: string;
  center: Vector3;
  /** Rays through the image corners, at depth 1: top left, then clockwise. */
  corners: Vector3[];
}

/** The index in the session of each frame's image: images of an odd shape are no frames. */
function imageIndices({ num_frames, quality }: Metadata): number[] {
  const images = quality?.frames.map((image, index) => ({
    index,
    ran: image.known_share !== null,
  }));
  return (
    images?.filter((image) => image.ran).map((image) => image.index) ??
    Array.from({ length: num_frames }, (_, index) => index)
  );
}

/** The registered cameras. */
export function poses(metadata: Metadata): Pose[] {
  const { intrinsics, distortion, extrinsics, world_to_glb, processed_size, frames } = metadata;
  if (!intrinsics || !extrinsics || !world_to_glb || !processed_size) {
    return [];
  }
  const lost = new Set(metadata.unregistered_frames);
  const worldToGlb = matrix4(world_to_glb);
  const indices = imageIndices(metadata);
  // The same unique names as those of the image list.
  const images = metadata.quality?.frames.map((image) => image.name) ?? frames ?? [];
  const names = uniqueNames(images);
  const found: Pose[] = [];
  extrinsics.forEach((extrinsic, frame) => {
    const index = indices[frame] ?? frame;
    const name = names[index] ?? `image ${index + 1}`;
    const intrinsic = intrinsics[frame];
    if (!intrinsic || lost.has(frames?.[frame] ?? name)) {
      return;
    }
    const toGlb = matrix4(extrinsic).invert().premultiply(worldToGlb);
    const lens = { intrinsics: intrinsic, distortion: distortion?.[frame], size: processed_size };
    add(found, { index, name }, toGlb, lens);
  });
  return found;
}

/** The cameras of a cloud that grows by updates. `metadata` are those of the last one. */
export function posesOf(frames: Iterable<FramePose>, metadata: Metadata): Pose[] {
  const { processed_size: size, quality } = metadata;
  const names = uniqueNames(quality?.frames.map((image) => image.name) ?? []);
  const found: Pose[] = [];
  for (const { image: index, name, camera_to_glb, intrinsics, distortion } of frames) {
    if (size && camera_to_glb) {
      const image = { index, name: names[index] ?? name };
      add(found, image, matrix4(camera_to_glb), { intrinsics, distortion, size });
    }
  }
  return found;
}

interface Lens {
  intrinsics: Matrix;
  distortion: [number, number] | undefined;
  size: [number, number];
}

/** Adds the camera of an image, unless its numbers are impossible. */
function add(
  found: Pose[],
  image: Pick<Pose, 'index' | 'name'>,
  toGlb: Matrix4,
  { intrinsics, distortion, size: [width, height] }: Lens,
): void {
  const toRay = matrix3(intrinsics).invert();
  const center = new Vector3().setFromMatrixPosition(toGlb);
  // Pixel centres are integers, so the image extends half a pixel beyond them.
  const corners = [
    [-0.5, -0.5],
    [width - 0.5, -0.5],
    [width - 0.5, height - 0.5],
    [-0.5, height - 0.5],
  ].map(([u = 0, v = 0]) =>
    undistorted(new Vector3(u, v, 1).applyMatrix3(toRay), distortion)
      .applyMatrix4(toGlb)
      .sub(center),
  );
  // A similarity also scales the rays; normalise to depth 1 in GLB coordinates.
  const scale = toGlb.getMaxScaleOnAxis();
  for (const corner of corners) {
    corner.divideScalar(scale);
  }
  if ([center, ...corners].every((point) => point.toArray().every(Number.isFinite))) {
    found.push({ ...image, center, corners });
  }
}

/**
 * The ray at depth 1 that appears at `seen` through a lens with distortion, by fixed-point iteration.
 * `seen` itself where nothing appears.
 */
function undistorted(seen: Vector3, [k1, k2]: [number, number] = [0, 0]): Vector3 {
  let factor = 1;
  for (let turn = 0; turn < 30; turn += 1) {
    const squared = (seen.x ** 2 + seen.y ** 2) / factor ** 2;
    factor = 1 + squared * (k1 + squared * k2);
  }
  const ray = new Vector3(seen.x / factor, seen.y / factor, seen.z);
  return factor > 0 && ray.toArray().every(Number.isFinite) ? ray : seen;
}

/** The drawn cameras. */
export class Cameras {
  readonly group = new Group();
  private pictures: Mesh<BufferGeometry, MeshBasicMaterial>[] = [];
  private withPictures = true;
  private poses: Pose[] = [];
  private depth = 1;

  /** Replaces the cameras. `depth` is the depth of the frustums. */
  show(poses: Pose[], depth: number, picture: Picture): void {
    this.clear();
    this.poses = poses;
    this.depth = depth;
    if (poses.length > 0) {
      this.group.add(frustums(poses, depth));
    }
    for (const pose of poses) {
      const canvas = picture(pose.index, pose.name);
      if (canvas) {
        this.pictures.push(pictureMesh(pose, depth, canvas));
      }
    }
    this.setPictures(this.withPictures);
  }

  /** The camera whose image is at a place of the view, from -1 to 1; the nearest, if it is shown. */
  at(across: number, up: number, view: PerspectiveCamera): Pose | undefined {
    if (!this.group.visible) {
      return undefined;
    }
    const seen = new Vector3(across, up, 0.5).unproject(view);
    const ray = new Ray(view.position.clone(), seen.sub(view.position).normalize());
    let nearest: Pose | undefined;
    let shortest = Number.POSITIVE_INFINITY;
    for (const pose of this.poses) {
      const [a, b, c, d] = corners(pose, this.depth) as [Vector3, Vector3, Vector3, Vector3];
      const hit =
        ray.intersectTriangle(a, b, c, false, new Vector3()) ??
        ray.intersectTriangle(a, c, d, false, new Vector3());
      const distance = hit?.distanceTo(ray.origin) ?? Number.POSITIVE_INFINITY;
      if (distance < shortest) {
        shortest = distance;
        nearest = pose;
      }
    }
    return nearest;
  }

  setPictures(visible: boolean): void {
    this.withPictures = visible;
    for (const mesh of this.pictures) {
      if (visible) {
        this.group.add(mesh);
      } else {
        this.group.remove(mesh);
        // Free the GPU memory; the texture is uploaded again when shown.
        mesh.material.map?.dispose();
      }
    }
  }

  clear(): void {
    this.poses = [];
    for (const mesh of this.pictures) {
      mesh.material.map?.dispose();
      mesh.material.dispose();
      mesh.geometry.dispose();
    }
    this.pictures = [];
    for (const child of this.group.children) {
      if (child instanceof LineSegments) {
        child.geometry.dispose();
        child.material.dispose();
      }
    }
    this.group.clear();
  }
}

function frustums(poses: Pose[], depth: number): LineSegments {
  const positions: number[] = [];
  const colors: number[] = [];
  poses.forEach((pose, index) => {
    const vertices = [pose.center, ...corners(pose, depth)];
    const color = new Color().setHSL((index + 0.5) / poses.length, 0.8, 0.55);
    for (const vertex of EDGES) {
      positions.push(...(vertices[vertex]?.toArray() ?? []));
      colors.push(...color.toArray());
    }
  });
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new Float32BufferAttribute(positions, 3));
  geometry.setAttribute('color', new Float32BufferAttribute(colors, 3));
  const lines = new LineSegments(geometry, new LineBasicMaterial({ vertexColors: true }));
  lines.frustumCulled = false;
  return lines;
}

function corners({ center, corners }: Pose, depth: number): Vector3[] {
  return corners.map((corner) => corner.clone().multiplyScalar(depth).add(center));
}

function pictureMesh(pose: Pose, depth: number, canvas: HTMLCanvasElement) {
  const [topLeft, topRight, bottomRight, bottomLeft] = corners(pose, depth) as [
    Vector3,
    Vector3,
    Vector3,
    Vector3,
  ];
  const geometry = new BufferGeometry();
  const vertices = [topLeft, bottomLeft, bottomRight, topLeft, bottomRight, topRight];
  const position = vertices.flatMap((vertex) => vertex.toArray());
  geometry.setAttribute('position', new Float32BufferAttribute(position, 3));
  // The model's input is the centre of the thumbnail, cropped to the frustum's aspect ratio.
  const aspect = topLeft.distanceTo(topRight) / topLeft.distanceTo(bottomLeft);
  const own = canvas.width / canvas.height;
  const u = Math.min(1, aspect / own) / 2;
  const v = Math.min(1, own / aspect) / 2;
  const [left, right, bottom, top] = [0.5 - u, 0.5 + u, 0.5 - v, 0.5 + v];
  const uv = [left, top, left, bottom, right, bottom, left, top, right, bottom, right, top];
  geometry.setAttribute('uv', new Float32BufferAttribute(uv, 2));
  const map = new CanvasTexture(canvas);
  map.colorSpace = NoColorSpace;
  map.generateMipmaps = false;
  map.minFilter = LinearFilter;
  const material = new MeshBasicMaterial({
    map,
    side: DoubleSide,
    transparent: true,
    opacity: PICTURE_OPACITY,
    depthWrite: false,
  });
  return new Mesh(geometry, material);
}

/** Metres per unit of the scene, if its model knows them. */
export function metresOf({ scale, world_to_glb }: Metadata): number | undefined {
  const factor = world_to_glb && matrix4(world_to_glb).getMaxScaleOnAxis();
  return scale === 'metric' && factor ? 1 / factor : undefined;
}

export function matrix4(rows: Matrix): Matrix4 {
  return new Matrix4().fromArray(rows.flat()).transpose();
}

function matrix3(rows: Matrix): Matrix3 {
  return new Matrix3().fromArray(rows.flat()).transpose();
}
