/** How points are drawn: as discs, within a box, and only if they are certain enough. */

import { NoBlending, ShaderMaterial, Vector3 } from 'three';

/** Farther than any scene: no limit. */
const FAR = 1e30;

/** Sets the place and the size of a point; those that are not wanted are moved out of the view. */
const PLACE = `
  uniform float size;
  uniform float smallest;
  uniform float pixels;
  uniform float least;
  uniform vec3 low;
  uniform vec3 high;
  attribute float confidence;
  void place() {
    vec4 inside = modelMatrix * vec4(position, 1.0);
    vec4 seen = viewMatrix * inside;
    gl_Position = projectionMatrix * seen;
    gl_PointSize = max(smallest, size * pixels * projectionMatrix[1][1] / gl_Position.w);
    bool outside = any(lessThan(inside.xyz, low)) || any(greaterThan(inside.xyz, high));
    if (outside || confidence < least) {
      gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
    }
  }`;
const DISC = `
  void disc() {
    vec2 offset = gl_PointCoord - 0.5;
    if (dot(offset, offset) > 0.25) discard;
  }`;

/** What the materials of points have in common. */
export function pointUniforms() {
  return {
    size: { value: 0 },
    smallest: { value: 1 },
    pixels: { value: 1 },
    /** The lowest confidence that is drawn. Points without one have 0. */
    least: { value: 0 },
    low: { value: new Vector3(-FAR, -FAR, -FAR) },
    high: { value: new Vector3(FAR, FAR, FAR) },
  };
}
export type PointUniforms = ReturnType<typeof pointUniforms>;

/**
 * Draws points as discs with a size in world units, at least about one pixel. Colours are the sRGB
 * bytes of the images and reach the screen unchanged.
 */
export function pointMaterial(uniforms: PointUniforms): ShaderMaterial {
  return new ShaderMaterial({
    uniforms,
    vertexShader: `
      attribute vec4 color;
      varying vec3 shade;
      ${PLACE}
      void main() {
        shade = color.rgb;
        place();
      }`,
    fragmentShader: `
      varying vec3 shade;
      ${DISC}
      void main() {
        disc();
        gl_FragColor = vec4(shade, 1.0);
      }`,
  });
}

/** Draws the depth of the same points, as `depthOf` reads it. */
export function depthMaterial(uniforms: PointUniforms): ShaderMaterial {
  return new ShaderMaterial({
    uniforms,
    blending: NoBlending,
    vertexShader: `
      ${PLACE}
      void main() {
        place();
      }`,
    fragmentShader: `
      ${DISC}
      void main() {
        disc();
        vec4 parts = fract(gl_FragCoord.z * vec4(1.0, 255.0, 65025.0, 16581375.0));
        parts -= parts.yzww * vec4(vec3(1.0 / 255.0), 0.0);
        gl_FragColor = parts;
      }`,
  });
}

/** The depth of a pixel, from 0 to 1; 1 where there is nothing. */
export function depthOf(rgba: Uint8Array): number {
  const [one = 255, two = 0, three = 0, four = 0] = rgba;
  return (one + two / 255 + three / 65025 + four / 16581375) / 255;
}

/** Limits the drawn points to a box; undefined for no limit. */
export function limit(uniforms: PointUniforms, box?: { min: Vector3; max: Vector3 }): void {
  uniforms.low.value.copy(box?.min ?? new Vector3(-FAR, -FAR, -FAR));
  uniforms.high.value.copy(box?.max ?? new Vector3(FAR, FAR, FAR));
}
