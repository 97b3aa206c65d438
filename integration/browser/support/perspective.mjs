// Where points of the scene are on the screen, from the view that the page publishes.

const ANGLE = (50 / 2) * (Math.PI / 180);
/** The page fits a sphere with this share of its radius. */
const FIT = 0.76;

const minus = (a, b) => a.map((value, axis) => value - b[axis]);
const dot = (a, b) => a.reduce((sum, value, axis) => sum + value * b[axis], 0);
const cross = ([a, b, c], [d, e, f]) => [b * f - c * e, c * d - a * f, a * e - b * d];
const unit = (a) => a.map((value) => value / Math.hypot(...a));

/** The view of a canvas: its place, its target, and `project` from the scene to the page. */
export async function perspective(canvas) {
  const numbers = (await canvas.getAttribute('data-view')).split(' ').map(Number);
  const [position, target] = [numbers.slice(0, 3), numbers.slice(3)];
  const box = await canvas.boundingBox();
  const ahead = unit(minus(target, position));
  const right = unit(cross(ahead, [0, 1, 0]));
  const up = cross(right, ahead);
  const half = Math.tan(ANGLE);
  const aspect = box.width / box.height;
  const project = (point) => {
    const seen = minus(point, position);
    const depth = dot(seen, ahead);
    const across = dot(seen, right) / (depth * half * aspect);
    const high = dot(seen, up) / (depth * half);
    return {
      x: box.x + ((1 + across) / 2) * box.width,
      y: box.y + ((1 - high) / 2) * box.height,
    };
  };
  const narrow = Math.min(ANGLE, Math.atan(half * aspect));
  /** The radius of the scene, if the view fits it. */
  const radius = (Math.hypot(...minus(target, position)) * Math.sin(narrow)) / FIT;
  return { position, target, radius, project };
}
