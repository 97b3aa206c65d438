/** A distance between two points, drawn above everything. */

import {
  BufferGeometry,
  Float32BufferAttribute,
  Group,
  Line,
  LineBasicMaterial,
  Points,
  PointsMaterial,
  type Vector3,
} from 'three';

const COLOR = '#e11d48';
const DOT = 9;

export class Ruler {
  readonly group = new Group();
  private ends: Vector3[] = [];

  /** Sets an end: the second one completes the distance, a third one begins another. */
  add(point: Vector3): void {
    this.ends = this.ends.length > 1 ? [point] : [...this.ends, point];
    this.show();
  }

  clear(): void {
    this.ends = [];
    this.show();
  }

  get count(): number {
    return this.ends.length;
  }

  /** In the unit of the scene; undefined without two ends. */
  get length(): number | undefined {
    const [one, other] = this.ends;
    return one && other?.distanceTo(one);
  }

  private show(): void {
    for (const child of this.group.children as (Line | Points)[]) {
      child.geometry.dispose();
      (child.material as LineBasicMaterial).dispose();
    }
    this.group.clear();
    if (this.ends.length === 0) {
      return;
    }
    const geometry = new BufferGeometry();
    const places = this.ends.flatMap((end) => end.toArray());
    geometry.setAttribute('position', new Float32BufferAttribute(places, 3));
    const look = { color: COLOR, depthTest: false, transparent: true };
    const dots = new PointsMaterial({ ...look, size: DOT, sizeAttenuation: false });
    this.group.add(new Points(geometry, dots), new Line(geometry, new LineBasicMaterial(look)));
    for (const child of this.group.children) {
      child.renderOrder = 1;
      child.frustumCulled = false;
    }
  }
}
