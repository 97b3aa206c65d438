/** Looks through a camera of the scene, with its photo in front. */

import { Vector3 } from 'three';
import { element, setText } from '../shared/dom';
import type { Pose } from '../viewer/cameras';
import { watchClicks } from '../viewer/clicks';
import type { Place } from '../viewer/motion';
import type { Viewer } from '../viewer/viewer';

/** Room around the photo, as a factor of its size. */
const MARGIN = 1.15;

/** The photo of a camera as files, each better than the one before. */
export type Photos = (pose: Pose) => AsyncIterable<Blob>;

export class Through {
  private readonly box = element('through');
  private readonly image = element<HTMLImageElement>('through-photo');
  private readonly opacity = element<HTMLInputElement>('through-opacity');
  private pose: Pose | undefined;
  private url = '';
  /** Where the view was before. */
  private before: Place | undefined;

  /**
   * @param isFree whether a click is meant for the cameras.
   * @param photos finds the photo of a camera.
   */
  constructor(
    private readonly viewer: Viewer,
    isFree: () => boolean,
    private readonly photos: Photos,
  ) {
    watchClicks(viewer.canvas, (x, y) => {
      const pose = isFree() && !this.pose ? viewer.cameraAt(x, y) : undefined;
      if (pose) {
        this.open(pose);
      }
    });
    viewer.motion.onTouch = () => this.hide();
    const on = (id: string, act: () => void) => element(id).addEventListener('click', act);
    on('through-close', () => this.close());
    on('through-before', () => this.step(-1));
    on('through-next', () => this.step(1));
    this.opacity.addEventListener('input', () => this.fade());
    new ResizeObserver(() => this.arrange()).observe(viewer.canvas);
    document.addEventListener('keydown', ({ key }) => {
      if (key === 'Escape' && this.pose) {
        this.close();
      }
    });
  }

  /** Looks through the camera of an image. */
  look(index: number): void {
    const pose = this.viewer.poses.find((pose) => pose.index === index);
    if (pose) {
      this.open(pose);
    }
  }

  /** Ends it where the view is. */
  hide(): void {
    if (this.pose) {
      this.pose = undefined;
      this.box.hidden = true;
      this.release();
      this.viewer.setCameras(element<HTMLInputElement>('cameras').checked);
    }
  }

  private open(pose: Pose): void {
    const { motion } = this.viewer;
    if (!this.pose) {
      const { position, up, fov: angle } = motion.camera;
      const target = motion.controls.target.clone();
      this.before = { position: position.clone(), target, up: up.clone(), angle };
    }
    this.pose = pose;
    this.viewer.setCameras(false);
    setText(element('through-name'), pose.name);
    this.image.alt = pose.name;
    this.box.hidden = false;
    this.arrange();
    this.fade();
    void this.fill(pose);
    // A scene that grows does not take the view away.
    motion.touched = true;
    motion.fly(this.viewFrom(pose));
  }

  private close(): void {
    this.hide();
    if (this.before) {
      this.viewer.motion.fly(this.before);
    }
    this.viewer.canvas.focus();
  }

  private step(change: number): void {
    const { poses } = this.viewer;
    const place = poses.findIndex(({ index }) => index === this.pose?.index);
    const next = poses[(place + change + poses.length) % poses.length];
    if (next) {
      this.open(next);
    }
  }

  private async fill(pose: Pose): Promise<void> {
    this.release();
    for await (const file of this.photos(pose)) {
      if (pose !== this.pose) {
        return;
      }
      const url = URL.createObjectURL(file);
      if ((await canShow(url)) && pose === this.pose) {
        this.release();
        this.url = url;
        this.image.src = url;
      } else {
        URL.revokeObjectURL(url);
      }
    }
  }

  private release(): void {
    URL.revokeObjectURL(this.url);
    this.url = '';
    this.image.removeAttribute('src');
  }

  private fade(): void {
    this.image.style.opacity = String(Number(this.opacity.value) / 100);
  }

  /** Puts the photo where the view shows what it shows. */
  private arrange(): void {
    if (this.pose) {
      const { wide, high } = lensOf(this.pose);
      const { clientWidth, clientHeight } = this.viewer.canvas;
      const half = this.halfView(wide, high);
      const height = (clientHeight * high) / half;
      this.image.style.height = `${height}px`;
      this.image.style.width = `${(height * wide) / high}px`;
      this.image.style.left = `${(clientWidth - (height * wide) / high) / 2}px`;
      this.image.style.top = `${(clientHeight - height) / 2}px`;
    }
  }

  private halfView(wide: number, high: number): number {
    const { clientWidth, clientHeight } = this.viewer.canvas;
    return MARGIN * Math.max(high, wide / (clientWidth / Math.max(1, clientHeight)));
  }

  private viewFrom(pose: Pose): Place {
    const { direction, up, wide, high } = lensOf(pose);
    const target = pose.center.clone().addScaledVector(direction, this.viewer.depthFrom(pose));
    const angle = (2 * Math.atan(this.halfView(wide, high)) * 180) / Math.PI;
    return { position: pose.center.clone(), target, up, angle };
  }
}

/** Where a camera looks, and half of its image's width and height at depth 1. */
function lensOf({ corners }: Pose): {
  direction: Vector3;
  up: Vector3;
  wide: number;
  high: number;
} {
  const [a, b, c, d] = corners as [Vector3, Vector3, Vector3, Vector3];
  const middle = (...points: Vector3[]) =>
    points
      .reduce((sum, point) => sum.add(point), new Vector3())
      .divideScalar(Math.max(1, points.length));
  const ahead = middle(a, b, c, d);
  const depth = ahead.length() || 1;
  return {
    direction: ahead.clone().divideScalar(depth),
    up: middle(a, b).sub(middle(c, d)).normalize(),
    wide: middle(b, c).distanceTo(middle(a, d)) / 2 / depth,
    high: middle(a, b).distanceTo(middle(c, d)) / 2 / depth,
  };
}

/** Whether the browser can show an image: not all can show HEIC. */
async function canShow(url: string): Promise<boolean> {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
    return true;
  } catch {
    return false;
  }
}
