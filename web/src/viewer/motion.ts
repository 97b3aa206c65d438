/** Where the view looks from: moved by pointers, keys and buttons, and by flights to a place. */

import { PerspectiveCamera, type Sphere, Spherical, Vector3 } from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';

const FIELD_OF_VIEW = 50;
/** Initial viewing direction: slightly above and beside the first camera. */
const FIRST_DIRECTION = new Vector3(0.35, 0.3, 1).normalize();
/** Factor of the fitting distance: scenes rarely fill their bounding sphere. */
const FIT_MARGIN = 0.76;
const FLIGHT_MS = 500;
const UP = new Vector3(0, 1, 0);

/** A place to look from. */
export interface Place {
  position: Vector3;
  target: Vector3;
  up: Vector3;
  /** Vertical field of view in degrees. */
  angle: number;
}

interface Flight {
  from: Place;
  to: Place;
  begun: number | undefined;
}

/** Whether people want things to move as little as possible. */
export function isCalm(): boolean {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}

/** From 0 to 1, slowly at both ends. */
export function eased(share: number): number {
  const inside = Math.min(Math.max(share, 0), 1);
  return inside * inside * (3 - 2 * inside);
}

export class Motion {
  readonly camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.01, 1000);
  readonly controls: OrbitControls;
  /** Whether somebody has moved the view since it was framed. */
  touched = false;
  /** Whether the view moved since this was last set. */
  moved = false;
  /** Called when somebody moves the view. */
  onTouch: () => void = () => {};
  private held = false;
  private flight: Flight | undefined;

  /** @param changed called when the view must be drawn again. */
  constructor(
    canvas: HTMLCanvasElement,
    private readonly changed: () => void,
  ) {
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.zoomToCursor = true;
    this.controls.addEventListener('start', () => {
      this.held = true;
      this.flight = undefined;
    });
    this.controls.addEventListener('end', () => {
      this.held = false;
    });
    this.controls.addEventListener('change', () => {
      if (this.held) {
        this.touch();
      }
      this.changed();
    });
  }

  /** Fits a sphere in the view, keeping its direction. */
  fit(sphere: Sphere): void {
    const direction = this.camera.position.clone().sub(this.controls.target).normalize();
    this.go(this.around(sphere, direction));
    this.touched = false;
  }

  /** Fits a sphere in the view from the initial direction. */
  reset(sphere: Sphere): void {
    this.go(this.around(sphere, FIRST_DIRECTION));
    this.touched = false;
  }

  /** The same as `fit`, but gliding. */
  glide(sphere: Sphere): void {
    const direction = this.camera.position.clone().sub(this.controls.target).normalize();
    this.fly(this.around(sphere, direction));
  }

  /** Flies to a place; goes there at once if people want little motion. */
  fly(to: Place): void {
    if (isCalm()) {
      this.go(to);
      return;
    }
    const { position, up, fov: angle } = this.camera;
    const target = this.controls.target.clone();
    const from = { position: position.clone(), target, up: up.clone(), angle };
    this.flight = { from, to, begun: undefined };
    this.changed();
  }

  /** Goes on with a flight. Returns whether there is one. */
  step(time: number): boolean {
    const { flight } = this;
    if (!flight) {
      return false;
    }
    flight.begun ??= time;
    const share = (time - flight.begun) / FLIGHT_MS;
    const { from, to } = flight;
    const part = eased(share);
    this.set({
      position: from.position.clone().lerp(to.position, part),
      target: from.target.clone().lerp(to.target, part),
      up: from.up.clone().lerp(to.up, part).normalize(),
      angle: from.angle + part * (to.angle - from.angle),
    });
    this.moved = true;
    if (share >= 1) {
      this.flight = undefined;
    }
    return this.flight !== undefined;
  }

  /** Orbits around the target, in radians. */
  orbit(right: number, up: number): void {
    this.touch();
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
    this.touch();
    const distance = this.camera.position.distanceTo(this.controls.target);
    const height = 2 * distance * Math.tan(((this.camera.fov / 2) * Math.PI) / 180);
    const step = new Vector3(right * height, up * height, 0).applyQuaternion(
      this.camera.quaternion,
    );
    this.camera.position.add(step);
    this.controls.target.add(step);
    this.turned();
  }

  /** Moves towards the target (factor below 1) or away from it. */
  zoom(factor: number): void {
    this.touch();
    const { target } = this.controls;
    this.camera.position.sub(target).multiplyScalar(factor).add(target);
    this.turned();
  }

  private touch(): void {
    this.touched = true;
    this.moved = true;
    this.flight = undefined;
    this.camera.up.copy(UP);
    this.onTouch();
  }

  private go(place: Place): void {
    this.flight = undefined;
    this.set(place);
    this.changed();
  }

  private set({ position, target, up, angle }: Place): void {
    this.camera.up.copy(up);
    this.camera.position.copy(position);
    this.controls.target.copy(target);
    if (this.camera.fov !== angle) {
      this.camera.fov = angle;
      this.camera.updateProjectionMatrix();
    }
    this.turned();
  }

  private turned(): void {
    this.camera.lookAt(this.controls.target);
    this.controls.update();
    this.changed();
  }

  /** The place from which a sphere fills the view. */
  private around(sphere: Sphere, direction: Vector3): Place {
    const half = ((FIELD_OF_VIEW / 2) * Math.PI) / 180;
    const narrow = Math.min(half, Math.atan(Math.tan(half) * this.camera.aspect));
    const distance = (FIT_MARGIN * (sphere.radius || 1)) / Math.sin(narrow);
    const target = sphere.center.clone();
    const position = target.clone().addScaledVector(direction, distance);
    return { position, target, up: UP, angle: FIELD_OF_VIEW };
  }
}
