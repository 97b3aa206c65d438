/**
 * What a photo's EXIF says about its camera, for the copy that is sent of it: a canvas writes none. The
 * server derives the focal length from it. Place, time and all else stay out of the copy,
 * and so does the orientation, because the copy is upright.
 */

import type { Size } from './downscale';
import { findExif, SIGNATURE } from './exif-place';

/** Longest value that is copied, in bytes. */
const LONGEST = 256;
/** Bytes of a value by its type. */
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];
const LONG = 4;

const MAKE = 0x010f;
const MODEL = 0x0110;
const CAMERA_DIRECTORY = 0x8769;
const FOCAL_LENGTH = 0x920a;
const WIDTH = 0xa002;
const HEIGHT = 0xa003;
const SENSOR_RESOLUTION = 0xa20e;
const SENSOR_UNIT = 0xa210;
const DIGITAL_ZOOM = 0xa404;
const FOCAL_LENGTH_35MM = 0xa405;
const LENS = 0xa434;

const MAKER_TAGS = [MAKE, MODEL];
const CAMERA_TAGS = [
  FOCAL_LENGTH,
  WIDTH,
  HEIGHT,
  SENSOR_RESOLUTION,
  SENSOR_UNIT,
  DIGITAL_ZOOM,
  FOCAL_LENGTH_35MM,
  LENS,
];

const ENTRY = 12;

interface Entry {
  tag: number;
  type: number;
  count: number;
  value: Uint8Array;
}

/** A copy, a JPEG file, with what `original` says about its camera; as it is if that is nothing. */
export async function withCamera(jpeg: Blob, original: Blob, size: Size): Promise<Blob> {
  const exif = cameraExif(await findExif(original), size);
  if (!exif) {
    return jpeg;
  }
  const head = new Uint8Array(4 + SIGNATURE.length);
  head.set([0xff, 0xe1, 0, 0, ...SIGNATURE]);
  new DataView(head.buffer).setUint16(2, 2 + SIGNATURE.length + exif.length);
  return new Blob([jpeg.slice(0, 2), head, exif, jpeg.slice(2)], { type: jpeg.type });
}

/**
 * The EXIF of a copy, a TIFF file; undefined if the original says nothing of its camera.
 *
 * @param tiff the EXIF of the original.
 * @param size of the original as it is shown, which counts if its EXIF names none.
 */
export function cameraExif(
  tiff: DataView | undefined,
  size: Size,
): Uint8Array<ArrayBuffer> | undefined {
  const little = tiff?.getUint16(0) === 0x4949;
  if (tiff?.getUint16(2, little) !== 42) {
    return undefined;
  }
  const top = entries(tiff, tiff.getUint32(4, little), little, [...MAKER_TAGS, CAMERA_DIRECTORY]);
  const pointer = top.find(({ tag }) => tag === CAMERA_DIRECTORY);
  const at = pointer && number(pointer.value, little);
  const camera = at ? entries(tiff, at, little, CAMERA_TAGS) : [];
  const maker = top.filter(({ tag }) => tag !== CAMERA_DIRECTORY);
  if (maker.length + camera.length === 0) {
    return undefined;
  }
  if (!camera.some(({ tag }) => tag === WIDTH || tag === HEIGHT)) {
    camera.push(long(WIDTH, size.width, little), long(HEIGHT, size.height, little));
  }
  return written(maker, camera, little);
}

/** The entries of a directory with these tags, each once, whose values are inside. */
function entries(tiff: DataView, at: number, little: boolean, tags: number[]): Entry[] {
  const found = new Map<number, Entry>();
  const count = at + 2 <= tiff.byteLength ? tiff.getUint16(at, little) : 0;
  for (let index = 0; index < count; index += 1) {
    const place = at + 2 + ENTRY * index;
    if (place + ENTRY > tiff.byteLength) {
      break;
    }
    const tag = tiff.getUint16(place, little);
    const type = tiff.getUint16(place + 2, little);
    const count = tiff.getUint32(place + 4, little);
    const bytes = count * (TYPE_BYTES[type] ?? 0);
    const begin = bytes <= 4 ? place + 8 : tiff.getUint32(place + 8, little);
    const fits = bytes > 0 && bytes <= LONGEST && begin + bytes <= tiff.byteLength;
    if (fits && tags.includes(tag) && !found.has(tag)) {
      const value = new Uint8Array(tiff.buffer, tiff.byteOffset + begin, bytes);
      found.set(tag, { tag, type, count, value });
    }
  }
  return [...found.values()];
}

function number(value: Uint8Array, little: boolean): number | undefined {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  return value.length === 4 ? view.getUint32(0, little) : undefined;
}

function long(tag: number, number: number, little: boolean): Entry {
  const value = new Uint8Array(4);
  new DataView(value.buffer).setUint32(0, number, little);
  return { tag, type: LONG, count: 1, value };
}

/** A TIFF file with two directories, the second of which the first points to. */
function written(maker: Entry[], camera: Entry[], little: boolean): Uint8Array<ArrayBuffer> {
  const directory = (count: number) => 2 + ENTRY * count + 4;
  const first = 8;
  const second = first + directory(maker.length + 1);
  let free = second + directory(camera.length);
  const outside = [...maker, ...camera].reduce((sum, { value }) => sum + even(value.length), 0);
  const bytes = new Uint8Array(free + outside);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, little ? 0x4949 : 0x4d4d);
  view.setUint16(2, 42, little);
  view.setUint32(4, first, little);
  const write = (at: number, list: Entry[]) => {
    view.setUint16(at, list.length, little);
    const inOrder = [...list].sort((one, other) => one.tag - other.tag);
    inOrder.forEach(({ tag, type, count, value }, index) => {
      const place = at + 2 + ENTRY * index;
      view.setUint16(place, tag, little);
      view.setUint16(place + 2, type, little);
      view.setUint32(place + 4, count, little);
      if (value.length <= 4) {
        bytes.set(value, place + 8);
      } else {
        view.setUint32(place + 8, free, little);
        bytes.set(value, free);
        free += even(value.length);
      }
    });
  };
  write(first, [...maker, long(CAMERA_DIRECTORY, second, little)]);
  write(second, camera);
  return bytes.slice(0, free);
}

/** Values begin at even places. */
function even(length: number): number {
  return length + (length % 2);
}
