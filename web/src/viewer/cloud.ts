/** Reads the points of a result for drawing. */

import {
  Box3,
  BufferAttribute,
  BufferGeometry,
  InterleavedBufferAttribute,
  Matrix4,
  type Mesh,
  type Object3D,
  Points,
  type ShaderMaterial,
  Sphere,
  Vector3,
} from 'three';
import { MeshoptDecoder } from 'three/addons/libs/meshopt_decoder.module.js';
import { type GLTF, GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';

import { type Part, type PartPoints, WHOLE } from './parts';
import { shuffle } from './shuffle';

/** Share of points on each side to ignore as outliers in the extent. */
const OUTLIERS = 0.02;

/**
 * The points of a GLB: of each frame by its number, or of the whole result. With `mixed` they are
 * brought to a random order. Frames without points are missing.
 */
export async function readParts(
  glb: Blob,
  material: ShaderMaterial,
  mixed: boolean,
): Promise<Map<number, Part>> {
  const loader = new GLTFLoader().setMeshoptDecoder(MeshoptDecoder);
  const { scene }: GLTF = await loader.parseAsync(await glb.arrayBuffer(), '');
  const found = new Map<number, Part>();
  scene.traverse((node) => {
    if (node instanceof Points) {
      const points = new Points(node.geometry as BufferGeometry, material);
      // Almost always visible: culling gains nothing.
      points.frustumCulled = false;
      found.set(...partOf(node, points));
    } else if ('geometry' in node) {
      (node as Mesh).geometry.dispose();
    }
  });
  if (mixed) {
    for (const { points } of found.values()) {
      await shuffle(points.geometry);
    }
  }
  return found;
}

/**
 * Adds how certain each point is to a whole result. The values are in the order of the file; the points
 * were mixed, and the values are mixed in the same way.
 */
export async function addConfidence(
  geometry: BufferGeometry,
  values: Float32Array<ArrayBuffer>,
): Promise<void> {
  const mixed = new BufferGeometry();
  // The order depends on the number of points alone.
  mixed.setAttribute('position', new BufferAttribute(values.slice(), 1));
  await shuffle(mixed);
  geometry.setAttribute('confidence', mixed.getAttribute('position'));
  keepOnGpu(geometry);
}

/** The number of a node's part, and the part. Frames are placed by the metadata, not by their node. */
function partOf(node: Object3D, points: PartPoints): [number, Part] {
  const own = frameOf(node);
  if (own !== undefined) {
    return [own, { points, grid: new Matrix4() }];
  }
  // The transform of a node that is no frame dequantizes positions.
  node.updateMatrix();
  const outer = node.parent ? frameOf(node.parent) : undefined;
  return [outer ?? WHOLE, { points, grid: node.matrix.clone() }];
}

function frameOf(node: Object3D): number | undefined {
  const { frame } = node.userData;
  return typeof frame === 'number' ? frame : undefined;
}

/** Drops the CPU copy of the points after their upload to the GPU. */
export function keepOnGpu({ attributes }: BufferGeometry): void {
  for (const attribute of Object.values(attributes)) {
    const held: { array: unknown; onUploadCallback: () => void } =
      attribute instanceof InterleavedBufferAttribute ? attribute.data : attribute;
    held.onUploadCallback = () => {
      held.array = null;
    };
  }
}

/** The bounding sphere of most points and all cameras. */
export function extent(points: Vector3[], cameras: Vector3[]): Sphere {
  const box = extentBox(points);
  for (const camera of cameras) {
    box.expandByPoint(camera);
  }
  return box.getBoundingSphere(new Sphere());
}

/** The box around most points; outliers do not affect it. */
export function extentBox(points: Vector3[]): Box3 {
  const axis = (of: (point: Vector3) => number) => middle(points.map(of));
  const [x, y, z] = [axis((point) => point.x), axis((point) => point.y), axis((point) => point.z)];
  return new Box3(new Vector3(x[0], y[0], z[0]), new Vector3(x[1], y[1], z[1]));
}

type Range = [number, number];

function middle(values: number[]): Range {
  const sorted = values.sort((a, b) => a - b);
  const cut = Math.floor(sorted.length * OUTLIERS);
  return [sorted[cut] ?? 0, sorted[sorted.length - 1 - cut] ?? 0];
}
