/** The 3D view of a point cloud and its cameras, redrawn only on changes. */

import type { Append, Matrix, Metadata } from 'pointstream/engine';
import {
  Color,
  ColorManagement,
  LinearSRGBColorSpace,
  Matrix4,
  Scene,
  Sphere,
  Vector3,
  WebGLRenderer,
} from 'three';
import { Cameras, matrix4, type Picture, type Pose, poses, posesOf } from './cameras';
import { addConfidence, extent, extentBox, keepOnGpu, readParts } from './cloud';
import { Crop, type Part as CropPart } from './crop';
import { Followed } from './followed';
import { Motion } from './motion';
import { Pacing } from './pacing';
import { type Part, Parts, WHOLE } from './parts';
import { Picker } from './picking';
import { pointMaterial, pointUniforms } from './points';
import { Ruler } from './ruler';

/** Maximum device pixel ratio; more costs time without visible benefit. */
const MOST_PIXELS = 2;
/** Diameter of a point of size 1, relative to the mean spacing of points that cover the scene. */
const POINT_SHARE = 1.3;
/** Depth of a frustum relative to the scene's radius. */
const FRUSTUM_SHARE = 0.09;
/** The scene has grown if it reaches so far beyond what the view was framed for. */
const GROWN = 1.1;

// All colours are sRGB, like the images, and reach the screen unchanged.
ColorManagement.enabled = false;

/** A result, or an update that has only what is new. */
export interface Shown {
  glb: Blob;
  metadata: Metadata;
  /** Whether it completes the session, so that no update follows. */
  last: boolean;
}

/** The view cannot be shown. */
export class NoWebGlError extends Error {}

export class Viewer {
  readonly motion: Motion;
  readonly ruler = new Ruler();
  readonly cameras = new Cameras();
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly uniforms = pointUniforms();
  private readonly material = pointMaterial(this.uniforms);
  private readonly parts = new Parts();
  private readonly picker: Picker;
  /** The frames of the session's updates, also while a whole result is shown. */
  private readonly followed = new Followed();
  /** The scene's bounding sphere, and the one that the view was framed for, whose size is the unit. */
  private sphere = new Sphere(new Vector3(), 1);
  private framed: Sphere | undefined;
  private unit = 1;
  private pointSize = 2;
  private readonly crop = new Crop(this.uniforms);
  /** How certain the points of a whole result are, if that is known. */
  private confidence: Float32Array<ArrayBuffer> | undefined;
  private scheduled = false;
  private generation = 0;
  /** Counts the sessions that were shown. */
  private era = 0;
  /** Settled when all results so far are shown. */
  private applied: Promise<unknown> = Promise.resolve();
  /** The newest result, to rebuild the scene after a lost WebGL context. */
  private source: Shown | undefined;
  private picture: Picture = () => undefined;
  private placed: Pose[] = [];
  private readonly pacing = new Pacing();

  /** @throws NoWebGlError if the browser has no WebGL 2. */
  constructor(private readonly host: HTMLElement) {
    try {
      this.renderer = new WebGLRenderer({ antialias: true, powerPreference: 'high-performance' });
    } catch {
      throw new NoWebGlError('this browser has no WebGL 2, so the point cloud cannot be shown');
    }
    this.renderer.outputColorSpace = LinearSRGBColorSpace;
    const canvas = this.renderer.domElement;
    canvas.tabIndex = 0;
    canvas.setAttribute('role', 'img');
    host.prepend(canvas);
    this.motion = new Motion(canvas, () => this.draw());
    this.picker = new Picker(this.renderer, this.uniforms);
    this.scene.add(this.cameras.group, this.parts.group, this.ruler.group, this.crop.group);
    this.reset();
    new ResizeObserver(() => this.resize()).observe(host);
    canvas.addEventListener('webglcontextlost', () => this.parts.clear());
    canvas.addEventListener('webglcontextrestored', () => void this.restore());
  }

  get canvas(): HTMLCanvasElement {
    return this.renderer.domElement;
  }

  /**
   * Shows a result in place of the one before, or adds an update. Only the first one sets the view.
   * Returns the number of points, or undefined if a newer whole result arrived in the meantime.
   */
  show(shown: Shown, picture: Picture): Promise<number | undefined> {
    this.generation += 1;
    const { generation, era, applied } = this;
    const { append } = shown.metadata;
    const parts = this.read(shown.glb, append);
    // Updates build on each other, so each waits for the one before.
    const applying = Promise.allSettled([applied, parts]).then(async () => {
      const read = await parts;
      if (era !== this.era || (!append && generation !== this.generation)) {
        for (const { points } of read.values()) {
          points.geometry.dispose();
        }
        return undefined;
      }
      this.picture = picture;
      return this.apply(shown, read);
    });
    this.applied = applying.catch(() => undefined);
    return applying;
  }

  private read(glb: Blob, append: Append | undefined): Promise<Map<number, Part>> {
    // The points of a map come in a random order, of which updates keep the first part.
    const mixed = !append || append.frames.every(({ chunk }) => chunk === null);
    return readParts(glb, this.material, mixed);
  }

  private async apply(shown: Shown, read: Map<number, Part>): Promise<number> {
    const { glb, metadata, last } = shown;
    const { append } = metadata;
    const continues = this.source?.metadata.append !== undefined;
    this.source = shown;
    this.confidence = undefined;
    this.uniforms.least.value = 0;
    if (append) {
      this.followed.apply(append, glb);
      if (append.reset) {
        this.parts.clear();
        this.add(read);
      } else if (continues) {
        this.add(read);
      } else {
        // A whole result was shown in between.
        await this.rebuild();
      }
    } else {
      this.parts.clear();
      this.add(read);
      if (last) {
        this.followed.clear();
      }
    }
    this.arrange(metadata);
    return this.count;
  }

  /** Adds parts, and brings all to their places. */
  private add(read: Map<number, Part>): void {
    const { poses, kept } = this.followed;
    const place = (rows: Matrix | null | undefined) => (rows ? matrix4(rows) : new Matrix4());
    for (const [number, part] of read) {
      this.parts.add(number, part, place(poses.get(number)?.points_to_glb));
      keepOnGpu(part.points.geometry);
    }
    const whole = read.get(WHOLE);
    if (whole && this.confidence) {
      void addConfidence(whole.points.geometry, this.confidence);
    }
    if (this.source?.metadata.append) {
      for (const [number, { points_to_glb }] of poses) {
        this.parts.move(number, place(points_to_glb));
      }
      for (const [number, count] of kept) {
        this.parts.keep(number, count);
      }
    }
  }

  /** Reads all frames of the updates again. */
  private async rebuild(): Promise<void> {
    this.parts.clear();
    for (const glb of this.followed.glbs) {
      this.add(await this.read(glb, this.source?.metadata.append));
    }
  }

  /** Measures the scene and draws its cameras. */
  private arrange(metadata: Metadata): void {
    const { append } = metadata;
    this.placed = append ? posesOf(this.followed.poses.values(), metadata) : poses(metadata);
    if (this.count > 0) {
      this.sphere = extent(
        this.parts.sample(),
        this.placed.map(({ center }) => center),
      );
    }
    if (this.count > 0) {
      this.frame();
    }
    this.cameras.show(this.placed, this.unit * FRUSTUM_SHARE, this.picture);
    this.setPointSize(this.pointSize);
    this.canvas.setAttribute('aria-label', `Point cloud of ${this.count} points`);
  }

  /** Frames the first scene, and one that has grown unless somebody has moved the view. */
  private frame(): void {
    const { framed, sphere } = this;
    const reach = framed && framed.center.distanceTo(sphere.center) + sphere.radius;
    if (framed && (this.motion.touched || (reach ?? 0) <= GROWN * framed.radius)) {
      return;
    }
    this.framed = sphere.clone();
    this.unit = sphere.radius || 1;
    if (framed) {
      this.motion.glide(sphere);
    } else {
      this.reset();
    }
  }

  /** Adds thumbnails that arrived after the cameras. */
  showPictures(picture: Picture): void {
    this.picture = picture;
    this.cameras.show(this.placed, this.unit * FRUSTUM_SHARE, picture);
    this.draw();
  }

  /** Empties the view. */
  clear(): void {
    this.generation += 1;
    this.era += 1;
    this.source = undefined;
    this.followed.clear();
    this.placed = [];
    this.parts.clear();
    this.cameras.clear();
    this.framed = undefined;
    this.sphere = new Sphere(new Vector3(), 1);
    this.ruler.clear();
    this.setCrop(undefined);
    this.reset();
  }

  /** Fits all points in the view, keeping its direction. */
  fit(): void {
    this.motion.fit(this.sphere);
  }

  /** Fits all points in the view from the initial direction. */
  reset(): void {
    this.motion.reset(this.sphere);
  }

  setPointSize(size: number): void {
    this.pointSize = size;
    this.uniforms.size.value = (size * this.unit * POINT_SHARE) / Math.sqrt(this.count || 1);
    this.uniforms.smallest.value = (0.6 + 0.4 * size) * this.renderer.getPixelRatio();
    this.draw();
  }

  setCameras(visible: boolean): void {
    this.cameras.group.visible = visible;
    this.draw();
  }

  setPictures(visible: boolean): void {
    this.cameras.setPictures(visible);
    this.draw();
  }

  setBackground(color: string): void {
    this.scene.background = new Color(color);
    this.draw();
  }

  /** How certain each point of the shown whole result is, in the order of its files. */
  async setConfidence(values: Float32Array<ArrayBuffer>): Promise<void> {
    const geometry = this.parts.geometry(WHOLE);
    if (geometry?.getAttribute('position').count === values.length) {
      this.confidence = values;
      await addConfidence(geometry, values);
    }
  }

  /** Hides points that are less certain. */
  setLeast(confidence: number): void {
    this.uniforms.least.value = confidence;
    this.draw();
  }

  /** Limits the points to a part of the scene's box; undefined for all. */
  setCrop(part: CropPart | undefined): void {
    this.crop.set(part, extentBox(this.parts.sample()));
    this.draw();
  }

  /** The point at a place of the canvas, if there is one. */
  pick(x: number, y: number): Vector3 | undefined {
    this.parts.draw(this.count);
    return this.picker.pick(this.parts.group, this.motion.camera, x, y);
  }

  /** The camera at a place of the canvas, if cameras are shown and one is there. */
  cameraAt(x: number, y: number): Pose | undefined {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const [across, up] = [(2 * x) / width - 1, 1 - (2 * y) / height];
    return this.cameras.at(across, up, this.motion.camera);
  }

  /** The shown cameras. */
  get poses(): Pose[] {
    return this.placed;
  }

  /** How far the middle of the scene is before a camera. */
  depthFrom({ center }: Pose): number {
    return Math.max(center.distanceTo(this.sphere.center), 0.1 * this.unit);
  }

  /** The view as a PNG file. */
  async capture(): Promise<Blob> {
    // The canvas has its pixels until the browser has shown them.
    this.parts.draw(this.count);
    this.renderer.render(this.scene, this.motion.camera);
    return new Promise((done, fail) => {
      this.canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error('no memory for it'))));
    });
  }

  private get count(): number {
    return this.parts.count;
  }

  /** Rebuilds the scene after a lost WebGL context. */
  private async restore(): Promise<void> {
    const { era, applied } = this;
    await applied;
    const { source } = this;
    if (source && era === this.era) {
      if (source.metadata.append) {
        await this.rebuild();
      } else {
        this.parts.clear();
        this.add(await this.read(source.glb, undefined));
      }
      this.arrange(source.metadata);
    }
    this.draw();
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (width > 0 && height > 0) {
      this.motion.camera.aspect = width / height;
      this.motion.camera.updateProjectionMatrix();
      this.renderer.setPixelRatio(Math.min(devicePixelRatio, MOST_PIXELS));
      this.renderer.setSize(width, height);
      // Half the height in pixels corresponds to 1 in the projection.
      this.uniforms.pixels.value = (height * this.renderer.getPixelRatio()) / 2;
      this.setPointSize(this.pointSize);
    }
  }

  /** Schedules a redraw with the next animation frame. */
  draw(): void {
    if (!this.scheduled) {
      this.scheduled = true;
      requestAnimationFrame((time) => this.render(time));
    }
  }

  private render(time: number): void {
    this.scheduled = false;
    const flying = this.motion.step(time);
    const gliding = this.parts.step(time);
    const { camera, moved } = this.motion;
    this.motion.moved = false;
    const { drawn, again } = this.pacing.choose(time, moved || gliding, this.count);
    if (again || flying || gliding) {
      this.draw();
    }
    this.parts.draw(drawn);
    const distance = camera.position.distanceTo(this.sphere.center);
    camera.near = Math.max(distance - 20 * this.unit, distance * 1e-3, this.unit * 1e-3);
    camera.far = distance + 50 * this.unit;
    camera.updateProjectionMatrix();
    this.renderer.render(this.scene, camera);
    this.report(drawn, flying || gliding);
  }

  /** Publishes the view and the GPU's contents as attributes, for the tests. */
  private report(drawn: number, gliding: boolean): void {
    const { memory } = this.renderer.info;
    const { camera, controls } = this.motion;
    const view = [...camera.position.toArray(), ...controls.target.toArray()];
    this.canvas.dataset.gliding = String(gliding);
    this.canvas.dataset.view = view.map((value) => value.toFixed(4)).join(' ');
    this.canvas.dataset.points = String(this.count);
    this.canvas.dataset.drawn = String(drawn);
    this.canvas.dataset.geometries = String(memory.geometries);
    this.canvas.dataset.textures = String(memory.textures);
  }
}
