/** The 3D view of a point cloud and its cameras, redrawn only on changes. */

import type { Append, Matrix, Metadata } from 'pointstream/engine';
import {
  Color,
  ColorManagement,
  LinearSRGBColorSpace,
  Matrix4,
  PerspectiveCamera,
  Scene,
  type ShaderMaterial,
  Sphere,
  Spherical,
  Vector3,
  WebGLRenderer,
} from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import { PointBudget } from './budget';
import { Cameras, matrix4, type Picture, type Pose, poses, posesOf } from './cameras';
import { extent, keepOnGpu, pointMaterial, readParts } from './cloud';
import { Followed } from './followed';
import { type Part, Parts } from './parts';

const FIELD_OF_VIEW = 50;
/** Maximum device pixel ratio; more costs time without visible benefit. */
const MOST_PIXELS = 2;
/** Diameter of a point of size 1, relative to the mean spacing of points that cover the scene. */
const POINT_SHARE = 1.3;
/** Depth of a frustum relative to the scene's radius. */
const FRUSTUM_SHARE = 0.09;
/** Initial viewing direction: slightly above and beside the first camera. */
const FIRST_DIRECTION = new Vector3(0.35, 0.3, 1).normalize();
/** Factor of the fitting distance: scenes rarely fill their bounding sphere. */
const FIT_MARGIN = 0.76;
/** The view is at rest after this time and this number of frames without movement. */
const REST_MS = 200;
const REST_FRAMES = 3;

// All colours are sRGB, like the images, and reach the screen unchanged.
ColorManagement.enabled = false;

/** A result, or an update that has only what is new. */
export interface Shown {
  glb: Blob;
  metadata: Metadata;
  /** Whether it completes the session, so that no update follows. */
  last: boolean;
}

/** A frame drawn while the view moved. */
interface Moving {
  time: number;
  drawn: number;
}

/** The view cannot be shown. */
export class NoWebGlError extends Error {}

export class Viewer {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.01, 1000);
  private readonly controls: OrbitControls;
  private readonly material: ShaderMaterial = pointMaterial();
  private readonly cameras = new Cameras();
  private readonly parts = new Parts();
  /** The frames of the session's updates, also while a whole result is shown. */
  private readonly followed = new Followed();
  /** The scene's bounding sphere. The first result fixes sizes, so that they do not jump. */
  private sphere = new Sphere(new Vector3(), 1);
  private unit = 1;
  private framed = false;
  private pointSize = 2;
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
  private readonly budget = new PointBudget();
  /** Whether a pointer or the wheel is moving the view. */
  private held = false;
  /** Whether the view moved since the last frame, and the last frame with a movement. */
  private moved = false;
  private movedAt = Number.NEGATIVE_INFINITY;
  private stillFrames = REST_FRAMES;
  private previous: Moving | undefined;

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
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.zoomToCursor = true;
    this.controls.addEventListener('start', () => {
      this.held = true;
    });
    this.controls.addEventListener('end', () => {
      this.held = false;
    });
    this.controls.addEventListener('change', () => {
      if (this.held) {
        this.moved = true;
      }
      this.draw();
    });
    this.scene.add(this.cameras.group, this.parts.group);
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
    if (!this.framed && this.count > 0) {
      this.framed = true;
      this.unit = this.sphere.radius || 1;
      this.reset();
    }
    this.cameras.show(this.placed, this.unit * FRUSTUM_SHARE, this.picture);
    this.setPointSize(this.pointSize);
    this.canvas.setAttribute('aria-label', `Point cloud of ${this.count} points`);
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
    this.framed = false;
    this.sphere = new Sphere(new Vector3(), 1);
    this.reset();
  }

  /** Fits all points in the view, keeping its direction. */
  fit(): void {
    const direction = this.camera.position.clone().sub(this.controls.target).normalize();
    this.look(direction);
  }

  /** Fits all points in the view from the initial direction. */
  reset(): void {
    this.look(FIRST_DIRECTION);
  }

  setPointSize(size: number): void {
    this.pointSize = size;
    const { uniforms } = this.material;
    if (uniforms.size && uniforms.smallest) {
      uniforms.size.value = (size * this.unit * POINT_SHARE) / Math.sqrt(this.count || 1);
      uniforms.smallest.value = (0.6 + 0.4 * size) * this.renderer.getPixelRatio();
    }
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

  /** Orbits around the target, in radians. */
  orbit(right: number, up: number): void {
    this.moved = true;
    const offset = this.camera.position.clone().sub(this.controls.target);
    const around = new Spherical().setFromVector3(offset);
    around.theta -= right;
    around.phi -= up;
    offset.setFromSpherical(around.makeSafe());
    this.camera.position.copy(this.controls.target).add(offset);
    this.turned();
  }

  /** Pans the view, in shares of its height. */
  pan(right: number, up: number): void {
    this.moved = true;
    const distance = this.camera.position.distanceTo(this.controls.target);
    const height = 2 * distance * Math.tan(((FIELD_OF_VIEW / 2) * Math.PI) / 180);
    const step = new Vector3(right * height, up * height, 0).applyQuaternion(
      this.camera.quaternion,
    );
    this.camera.position.add(step);
    this.controls.target.add(step);
    this.turned();
  }

  /** Moves towards the target (factor below 1) or away from it. */
  zoom(factor: number): void {
    this.moved = true;
    const { target } = this.controls;
    this.camera.position.sub(target).multiplyScalar(factor).add(target);
    this.turned();
  }

  private turned(): void {
    this.camera.lookAt(this.controls.target);
    this.controls.update();
    this.draw();
  }

  private look(direction: Vector3): void {
    const half = ((FIELD_OF_VIEW / 2) * Math.PI) / 180;
    const narrow = Math.min(half, Math.atan(Math.tan(half) * this.camera.aspect));
    const distance = (FIT_MARGIN * (this.sphere.radius || 1)) / Math.sin(narrow);
    this.controls.target.copy(this.sphere.center);
    this.camera.position.copy(this.sphere.center).addScaledVector(direction, distance);
    this.turned();
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
      this.camera.aspect = width / height;
      this.camera.updateProjectionMatrix();
      this.renderer.setPixelRatio(Math.min(devicePixelRatio, MOST_PIXELS));
      this.renderer.setSize(width, height);
      const { uniforms } = this.material;
      if (uniforms.pixels) {
        // Half the height in pixels corresponds to 1 in the projection.
        uniforms.pixels.value = (height * this.renderer.getPixelRatio()) / 2;
      }
      this.setPointSize(this.pointSize);
    }
  }

  /** Schedules a redraw with the next animation frame. */
  private draw(): void {
    if (!this.scheduled) {
      this.scheduled = true;
      requestAnimationFrame((time) => this.render(time));
    }
  }

  private render(time: number): void {
    this.scheduled = false;
    const drawn = this.choosePoints(time);
    this.parts.draw(drawn);
    const distance = this.camera.position.distanceTo(this.sphere.center);
    this.camera.near = Math.max(distance - 20 * this.unit, distance * 1e-3, this.unit * 1e-3);
    this.camera.far = distance + 50 * this.unit;
    this.camera.updateProjectionMatrix();
    this.renderer.render(this.scene, this.camera);
    this.report(drawn);
  }

  /**
   * Draws a limited number of points while the view moves, and all of them at rest. While it moves,
   * frames follow one another, so the time between frames is the frame time.
   */
  private choosePoints(time: number): number {
    this.stillFrames += 1;
    if (this.moved) {
      this.moved = false;
      this.movedAt = time;
      this.stillFrames = 0;
    }
    if (time - this.movedAt > REST_MS && this.stillFrames >= REST_FRAMES) {
      this.previous = undefined;
      return this.count;
    }
    if (this.previous) {
      this.budget.measure(time - this.previous.time, this.previous.drawn);
    }
    const drawn = this.budget.of(this.count);
    this.previous = { time, drawn };
    this.draw();
    return drawn;
  }

  /** Publishes the view and the GPU's contents as attributes, for the tests. */
  private report(drawn: number): void {
    const { memory } = this.renderer.info;
    const view = [...this.camera.position.toArray(), ...this.controls.target.toArray()];
    this.canvas.dataset.view = view.map((value) => value.toFixed(4)).join(' ');
    this.canvas.dataset.points = String(this.count);
    this.canvas.dataset.drawn = String(drawn);
    this.canvas.dataset.geometries = String(memory.geometries);
    this.canvas.dataset.textures = String(memory.textures);
  }
}
