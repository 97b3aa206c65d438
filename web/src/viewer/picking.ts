/** Finds the point below a place of the screen: from its depth, which the GPU draws. */

import {
  Color,
  type Object3D,
  type PerspectiveCamera,
  Scene,
  Vector3,
  type WebGLRenderer,
  WebGLRenderTarget,
} from 'three';

import { depthMaterial, depthOf, type PointUniforms } from './points';

/** Pixels around the place in which a point counts. */
const REACH = 7;
const SIDE = 2 * REACH + 1;

export class Picker {
  private readonly target = new WebGLRenderTarget(SIDE, SIDE);
  private readonly scene = new Scene();

  constructor(
    private readonly renderer: WebGLRenderer,
    uniforms: PointUniforms,
  ) {
    this.scene.overrideMaterial = depthMaterial(uniforms);
    // Depth 1: nothing.
    this.scene.background = new Color(1, 1, 1);
  }

  /**
   * The point nearest to a place of the canvas, in its CSS pixels; undefined where there is none.
   *
   * @param points what is drawn; it is borrowed for a moment.
   */
  pick(points: Object3D, camera: PerspectiveCamera, x: number, y: number): Vector3 | undefined {
    const { clientWidth: width, clientHeight: height } = this.renderer.domElement;
    const [left, top] = [Math.round(x) - REACH, Math.round(y) - REACH];
    const { parent } = points;
    const pixels = new Uint8Array(4 * SIDE * SIDE);
    this.scene.add(points);
    camera.setViewOffset(width, height, left, top, SIDE, SIDE);
    try {
      this.renderer.setRenderTarget(this.target);
      this.renderer.render(this.scene, camera);
      this.renderer.readRenderTargetPixels(this.target, 0, 0, SIDE, SIDE, pixels);
    } finally {
      this.renderer.setRenderTarget(null);
      camera.clearViewOffset();
      parent?.add(points);
    }
    const found = nearest(pixels);
    if (!found) {
      return undefined;
    }
    const [column, row, depth] = found;
    const across = (2 * (left + column + 0.5)) / width - 1;
    const up = 1 - (2 * (top + SIDE - row - 0.5)) / height;
    return new Vector3(across, up, 2 * depth - 1).unproject(camera);
  }
}

/** Column, row from below, and depth of the drawn pixel nearest to the middle. */
function nearest(pixels: Uint8Array): [number, number, number] | undefined {
  let best: [number, number, number] | undefined;
  let shortest = Number.POSITIVE_INFINITY;
  for (let index = 0; index < SIDE * SIDE; index += 1) {
    const depth = depthOf(pixels.subarray(4 * index, 4 * index + 4));
    const [column, row] = [index % SIDE, Math.floor(index / SIDE)];
    const distance = (column - REACH) ** 2 + (row - REACH) ** 2;
    if (depth < 1 && distance < shortest) {
      shortest = distance;
      best = [column, row, depth];
    }
  }
  return best;
}
