/** What the page has of a point cloud that grows by updates. */

import type { Append, FramePose } from 'pointstream/engine';

export class Followed {
  /** The files since the last reset, with the points of the frames. */
  glbs: Blob[] = [];
  /** Where each frame is, by its number. */
  readonly poses = new Map<number, FramePose>();
  /** How many of its first points a frame keeps; missing if it keeps all. */
  readonly kept = new Map<number, number>();

  apply(append: Append, glb: Blob): void {
    if (append.reset) {
      this.clear();
    }
    for (const { frame, points } of append.kept) {
      this.kept.set(frame, points);
    }
    for (const pose of [...append.corrections, ...append.frames]) {
      this.poses.set(pose.frame, pose);
    }
    if (append.frames.length > 0) {
      this.glbs.push(glb);
    }
  }

  clear(): void {
    this.glbs = [];
    this.poses.clear();
    this.kept.clear();
  }
}
