/** Reads the points of a result for drawing. */

import {
  Box3,
  type BufferGeometry,
  InterleavedBufferAttribute,
  type Mesh,
  Points,
  ShaderMaterial,
  Sphere,
  Vector3,
} from 'three';
import { MeshoptDecoder } from 'three/addons/libs/meshopt_decoder.module.js';
import { type GLTF, GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';

import { shuffle } from './shuffle';

/** Number of points to sample for the extent. */
const SAMPLE = 20_000;
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

/** The points of a GLB in random order; empty if no pixel was confident enough. */
export async function readPoints(
  glb: Blob,
  material: ShaderMaterial,
): Promise<Points<BufferGeometry, ShaderMaterial> | undefined> {
  const loader = new GLTFLoader().setMeshoptDecoder(MeshoptDecoder);
  const { scene }: GLTF = await loader.parseAsync(await glb.arrayBuffer(), '');
  scene.updateMatrixWorld(true);
  let found: Points<BufferGeometry, ShaderMaterial> | undefined;
  scene.traverse((node) => {
    if (node instanceof Points && !found) {
      found = new Points(node.geometry as BufferGeometry, material);
      // The node's transform dequantizes positions.
      found.matrixAutoUpdate = false;
      found.matrix.copy(node.matrixWorld);
      // A single object, almost always visible: culling gains nothing.
      found.frustumCulled = false;
    } else if ('geometry' in node) {
      (node as Mesh).geometry.dispose();
    }
  });
  if (found) {
    await shuffle(found.geometry);
  }
  return found;
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
export function extent(points: Points, cameras: Vector3[]): Sphere {
  const position = points.geometry.getAttribute('position');
  const step = Math.max(1, Math.floor(position.count / SAMPLE));
  const axes: [number[], number[], number[]] = [[], [], []];
  const point = new Vector3();
  for (let index = 0; index < position.count; index += step) {
    point.fromBufferAttribute(position, index).applyMatrix4(points.matrix);
    axes[0].push(point.x);
    axes[1].push(point.y);
    axes[2].push(point.z);
  }
  const [x, y, z] = axes.map(middle) as [Range, Range, Range];
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
