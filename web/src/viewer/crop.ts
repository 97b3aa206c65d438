/** A box outside of which points are hidden. */

import { type Box3, Box3Helper, Color, Group, Vector3 } from 'three';

import { limit, type PointUniforms } from './points';

/** Room around the points in the box of the whole scene. */
const ROOM = 0.05;
const COLOR = '#d97706';

/** A part of the scene's box: from 0 to 1 on each axis. */
export interface Part {
  low: Vector3;
  high: Vector3;
}

export class Crop {
  readonly group = new Group();
  private shown: Box3Helper | undefined;

  constructor(private readonly uniforms: PointUniforms) {}

  /** Limits the points to a part of a box; undefined for all. */
  set(part: Part | undefined, whole: Box3): void {
    if (this.shown) {
      this.group.clear();
      this.shown.dispose();
      this.shown = undefined;
    }
    if (!part) {
      limit(this.uniforms);
      return;
    }
    const size = whole.getSize(new Vector3());
    whole.expandByVector(size.multiplyScalar(ROOM));
    whole.getSize(size);
    const at = (share: Vector3) => whole.min.clone().add(share.clone().multiply(size));
    const box = whole.clone().set(at(part.low), at(part.high));
    limit(this.uniforms, box);
    this.shown = new Box3Helper(box, new Color(COLOR));
    this.group.add(this.shown);
  }
}
