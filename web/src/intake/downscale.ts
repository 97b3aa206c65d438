/** Converts images to the size and file type that the server needs. */

import { withCamera } from './exif';
import { isHeic } from './heic';

/** File types that the server accepts. */
const SERVED_TYPES = new Set(['image/jpeg', 'image/png', 'image/webp']);
/** Accepted file types with an alpha channel. */
const ALPHA_TYPES = new Set(['image/png', 'image/webp']);
/**
 * Minimum size of sent images relative to the model's input, so that the pixels depend on the
 * server's resampling and not on the browser's.
 */
export const MARGIN = 2;
const JPEG_QUALITY = 0.92;
const THUMBNAIL = 192;

export interface Size {
  width: number;
  height: number;
}

/** The image size needed by `process_res` and `process_res_method`. */
export interface Need {
  resolution: number;
  method: string;
}

/** The size at which to send an image; undefined if it is small enough. */
export function sendSize({ width, height }: Size, { resolution, method }: Need): Size | undefined {
  const side = method.startsWith('lower') ? Math.min(width, height) : Math.max(width, height);
  const scale = (MARGIN * resolution) / side;
  if (scale >= 1) {
    return undefined;
  }
  const scaled = (length: number) => Math.max(1, Math.round(length * scale));
  return { width: scaled(width), height: scaled(height) };
}

export interface Prepared {
  data: Blob;
  thumbnail: HTMLCanvasElement;
  size: Size;
  /** Whether the file differs from the original. */
  changed: boolean;
}

/**
 * Prepares an image for sending; without `need` it keeps its size. The browser decodes and encodes
 * in the background, so several images can be prepared in parallel.
 *
 * A smaller copy is upright and says of its camera what the original says. Images with transparent
 * pixels are sent unchanged: the server uses the stored colours of those
 * pixels, which a canvas would lose. So are HEIC photos that the browser cannot read.
 *
 * @throws Error if neither the browser nor the server can read the image.
 */
export async function prepare(file: Blob, need: Need | undefined): Promise<Prepared> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
  } catch {
    if (await isHeic(file)) {
      // Its size is not known here; the server checks it.
      return {
        data: file,
        thumbnail: named('HEIC'),
        size: { width: 0, height: 0 },
        changed: false,
      };
    }
    throw new Error('the browser cannot read this file as an image');
  }
  try {
    const size = { width: bitmap.width, height: bitmap.height };
    const thumbnail = draw(bitmap, fit(size, THUMBNAIL));
    const smaller = need && sendSize(size, need);
    if (!smaller && SERVED_TYPES.has(file.type)) {
      return { data: file, thumbnail, size, changed: false };
    }
    const canvas = paint(bitmap, smaller ?? size);
    if (ALPHA_TYPES.has(file.type) && isTransparent(canvas)) {
      return { data: file, thumbnail, size, changed: false };
    }
    const data = await withCamera(await encode(canvas), file, size);
    return { data, thumbnail, size: smaller ?? size, changed: true };
  } finally {
    bitmap.close();
  }
}

/** Encodes the current frame of a video or a camera as a file. */
export async function grab(video: HTMLVideoElement, need: Need | undefined): Promise<Prepared> {
  const size = { width: video.videoWidth, height: video.videoHeight };
  const target = (need && sendSize(size, need)) ?? size;
  const frame = paint(video, target);
  const thumbnail = draw(frame, fit(target, THUMBNAIL));
  return { data: await encode(frame), thumbnail, size: target, changed: true };
}

function fit({ width, height }: Size, longest: number): Size {
  const scale = Math.min(1, longest / Math.max(width, height));
  return {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  };
}

/** Draws the thumbnail. */
function draw(source: CanvasImageSource, size: Size): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = size.width;
  canvas.height = size.height;
  scale(canvas.getContext('2d'), source, size);
  return canvas;
}

/** A word in place of a picture that the browser cannot show. */
function named(word: string): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = THUMBNAIL;
  canvas.height = (THUMBNAIL * 3) / 4;
  const context = canvas.getContext('2d');
  if (context) {
    context.fillStyle = '#888';
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = '#fff';
    context.font = `${THUMBNAIL / 5}px sans-serif`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.fillText(word, canvas.width / 2, canvas.height / 2);
  }
  return canvas;
}

/** Draws the image to encode. */
function paint(source: CanvasImageSource, size: Size): OffscreenCanvas {
  const canvas = new OffscreenCanvas(size.width, size.height);
  scale(canvas.getContext('2d'), source, size);
  return canvas;
}

function scale(
  context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null,
  source: CanvasImageSource,
  { width, height }: Size,
): void {
  if (!context) {
    throw new Error('the browser has not enough memory for the image');
  }
  context.imageSmoothingQuality = 'high';
  context.drawImage(source, 0, 0, width, height);
}

function isTransparent(canvas: OffscreenCanvas): boolean {
  const data = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data;
  for (let index = 3; data && index < data.length; index += 4) {
    if (data[index] !== 255) {
      return true;
    }
  }
  return false;
}

async function encode(canvas: OffscreenCanvas): Promise<Blob> {
  try {
    return await canvas.convertToBlob({ type: 'image/jpeg', quality: JPEG_QUALITY });
  } catch {
    throw new Error('the browser cannot encode the image');
  }
}
