/** The 3D view of a point cloud and its cameras, redrawn only on changes. */

import {
  type BufferGeometry,
  Color,
  ColorManagement,
  LinearSRGBColorSpace,
  PerspectiveCamera,
  type Points,
  Scene,
  type ShaderMaterial,
  Sphere,
  Spherical,
  Vector3,
  WebGLRenderer,
} from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';

import type { Metadata } from '../protocol/messages';
import { PointBudget } from './budget';
import { Cameras, type Picture, type Pose, poses } from './cameras';
import { extent, keepOnGpu, pointMaterial, readPoints } from './cloud';

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

/** The source of the shown result, to rebuild it after a lost WebGL context. */
interface Source {
  glb: Blob;
  metadata: Metadata;
  picture: Picture;
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
  private points: Points<BufferGeometry, ShaderMaterial> | undefined;
  /** The scene's bounding sphere. The first result fixes sizes, so that they do not jump. */
  private sphere = new Sphere(new Vector3(), 1);
  private unit = 1;
  private framed = false;
  private pointSize = 2;
  private scheduled = false;
  private generation = 0;
  private source: Source | undefined;
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
    this.scene.add(this.cameras.group);
    this.reset();
    new ResizeObserver(() => this.resize()).observe(host);
    canvas.addEventListener('webglcontextlost', () => this.removePoints());
    canvas.addEventListener('webglcontextrestored', () => void this.restore());
  }

  get canvas(): HTMLCanvasElement {
    return this.renderer.domElement;
  }

  /**
   * Replaces the cloud and its cameras. Only the first result sets the view. Returns the number of
   * points, or undefined if a newer result arrived in the meantime.
   */
  async show(glb: Blob, metadata: Metadata, picture: Picture): Promise<number | undefined> {
    this.generation += 1;
    const { generation } = this;
    const points = await readPoints(glb, this.material);
    if (generation !== this.generation) {
      points?.geometry.dispose();
      return undefined;
    }
    this.source = { glb, metadata, picture };
    this.removePoints();
    this.placed = poses(metadata);
    if (points) {
      this.points = points;
      this.scene.add(points);
      this.sphere = extent(
        points,
        this.placed.map(({ center }) => center),
      );
      keepOnGpu(points.geometry);
    }
    if (!this.framed && points) {
      this.framed = true;
      this.unit = this.sphere.radius || 1;
      this.reset();
    }
    this.cameras.show(this.placed, this.unit * FRUSTUM_SHARE, picture);
    this.setPointSize(this.pointSize);
    this.canvas.setAttribute('aria-label', `Point cloud of ${this.count} points`);
    return this.count;
  }

  /** Adds thumbnails that arrived after the cameras. */
  showPictures(picture: Picture): void {
    this.cameras.show(this.placed, this.unit * FRUSTUM_SHARE, picture);
    this.draw();
  }

  /** Empties the view. */
  clear(): void {
    this.generation += 1;
    this.source = undefined;
    this.placed = [];
    this.removePoints();
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
    return this.points?.geometry.getAttribute('position').count ?? 0;
  }

  /** Rebuilds the scene after a lost WebGL context. */
  private async restore(): Promise<void> {
    const { source } = this;
    if (source) {
      await this.show(source.glb, source.metadata, source.picture);
    }
    this.draw();
  }

  private removePoints(): void {
    if (this.points) {
      this.scene.remove(this.points);
      this.points.geometry.dispose();
      this.points = undefined;
    }
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
    this.points?.geometry.setDrawRange(0, drawn);
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
