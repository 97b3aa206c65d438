/** Reads the points of a result for drawing. */

import {
  Box3,
  type BufferGeometry,
  InterleavedBufferAttribute,
  Matrix4,
  type Mesh,
  type Object3D,
  Points,
  ShaderMaterial,
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
 * Draws points as discs with a size in world units, at least about one pixel. Colours are the sRGB
 * bytes of the images and reach the screen unchanged.
 */
export function pointMaterial(): ShaderMaterial {
  return new ShaderMaterial({
    uniforms: { size: { value: 0 }, smallest: { value: 1 }, pixels: { value: 1 } },
    vertexShader: `
      uniform float size;
      uniform float smallest;
      uniform float pixels;
      attribute vec4 color;
      varying vec3 shade;
      void main() {
        shade = color.rgb;
        vec4 seen = modelViewMatrix * vec4(position, 1.0);
        gl_Position = projectionMatrix * seen;
        gl_PointSize = max(smallest, size * pixels * projectionMatrix[1][1] / gl_Position.w);
      }`,
    fragmentShader: `
      varying vec3 shade;
      void main() {
        vec2 offset = gl_PointCoord - 0.5;
        if (dot(offset, offset) > 0.25) discard;
        gl_FragColor = vec4(shade, 1.0);
      }`,
  });
}

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

/** The bounding sphere of most points and all cameras; outliers do not affect it. */
export function extent(points: Vector3[], cameras: Vector3[]): Sphere {
  const axis = (of: (point: Vector3) => number) => middle(points.map(of));
  const [x, y, z] = [axis((point) => point.x), axis((point) => point.y), axis((point) => point.z)];
  const box = new Box3(new Vector3(x[0], y[0], z[0]), new Vector3(x[1], y[1], z[1]));
  for (const camera of cameras) {
    box.expandByPoint(camera);
  }
  return box.getBoundingSphere(new Sphere());
}

type Range = [number, number];

function middle(values: number[]): Range {
  const sorted = values.sort((a, b) => a - b);
  const cut = Math.floor(sorted.length * OUTLIERS);
  return [sorted[cut] ?? 0, sorted[sorted.length - 1 - cut] ?? 0];
}
