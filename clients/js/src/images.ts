/** Images to send: files or bytes, with their cameras if these are known. */

import type { KnownCamera } from './engine/uploads.js';

/** The bytes of an image file. A `Blob` is read only when it is sent. */
export type ImageBytes = Blob | Uint8Array | ArrayBuffer;

/** An image file with a name, and with its camera if it is known. */
export interface Image {
  data: ImageBytes;
  /** A label; by default the name of a `File`. The server names images without one. */
  name?: string | undefined;
  camera?: KnownCamera | undefined;
}

export type ImageSource = Image | ImageBytes;

/** What is sent of an image. */
export interface Sendable {
  data: Blob;
  name: string | undefined;
  camera: KnownCamera | undefined;
}

/** @throws TypeError if it is no image or its camera no camera. */
export function sendable(source: ImageSource): Sendable {
  const { data, name, camera } = isData(source) ? { data: source } : source;
  if (!isData(data)) {
    throw new TypeError('an image is a Blob, an ArrayBuffer, a Uint8Array, or { data, name }');
  }
  const blob = data instanceof Blob ? data : new Blob([data as BlobPart]);
  const ownName = 'name' in data && typeof data.name === 'string' ? data.name : undefined;
  if (camera) {
    checkMatrix('intrinsics', camera.intrinsics, 3);
    checkMatrix('extrinsics', camera.extrinsics, 4);
    checkDeviation('position_deviation', camera.position_deviation);
    checkDeviation('rotation_deviation', camera.rotation_deviation);
  }
  return { data: blob, name: name ?? ownName, camera: camera && cameraOf(camera) };
}

function isData(source: Image | ImageBytes): source is ImageBytes {
  return source instanceof Blob || source instanceof ArrayBuffer || source instanceof Uint8Array;
}

/** Without fields of the caller's own. */
function cameraOf(camera: KnownCamera): KnownCamera {
  const { intrinsics, extrinsics, position_deviation, rotation_deviation } = camera;
  // What is undefined has no place in a message.
  return { intrinsics, extrinsics, position_deviation, rotation_deviation };
}

function checkDeviation(name: string, deviation: number | undefined): void {
  if (deviation !== undefined && !(deviation > 0 && Number.isFinite(deviation))) {
    throw new TypeError(`${name} must be a finite number above 0`);
  }
}

function checkMatrix(name: string, rows: readonly (readonly number[])[], size: number): void {
  const whole = rows.length === size && rows.every((row) => row.length === size);
  if (!whole || !rows.flat().every(Number.isFinite)) {
    throw new TypeError(`${name} must be ${size} rows of ${size} finite numbers`);
  }
}
