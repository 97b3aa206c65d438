/** Images in the size that the server needs, and as files that it reads. */

/** What the server reads. */
const SERVED_TYPES = new Set(['image/jpeg', 'image/png', 'image/webp']);
/** Those of them that may be transparent. */
const ALPHA_TYPES = new Set(['image/png', 'image/webp']);
/**
 * Images are made no smaller than this many times what the model sees, so that the server's own
 * resampling and not the browser's decides about the pixels.
 */
export const MARGIN = 2;
const JPEG_QUALITY = 0.92;
const THUMBNAIL = 192;

export interface Size {
  width: number;
  height: number;
}

/** What `process_res` and its method need of an image. */
export interface Need {
  resolution: number;
  method: string;
}

/** The size in which to send an image; nothing if it is small enough as it is. */
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
  /** Whether the file is not the one that was given. */
  changed: boolean;
}

/**
 * Prepares a picture for sending; without a need it is sent in its own size. The browser decodes
 * and encodes beside the page, so that several can be prepared at once.
 *
 * One that is transparent anywhere is sent as it is: the server takes the colours that are stored
 * there, and a canvas has lost them.
 *
 * @throws Error if the browser cannot read it and the server could not either.
 */
export async function prepare(file: Blob, need: Need | undefined): Promise<Prepared> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
  } catch {
    throw new Error('this is no picture that the browser can read');
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
    const data = await encode(canvas);
    return { data, thumbnail, size: smaller ?? size, changed: true };
  } finally {
    bitmap.close();
  }
}

/** A frame of a video or a camera as a file. */
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

/** What the page shows. */
function draw(source: CanvasImageSource, size: Size): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = size.width;
  canvas.height = size.height;
  scale(canvas.getContext('2d'), source, size);
  return canvas;
}

/** What becomes a file. */
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
    throw new Error('the browser has no memory for the picture');
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
    throw new Error('the browser cannot write the picture');
  }
}
