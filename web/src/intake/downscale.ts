/** Images in the size that the server needs, and as files that it reads. */

/** What the server reads. */
const SERVED_TYPES = new Set(['image/jpeg', 'image/png', 'image/webp']);
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
 * Prepares a picture for sending; without a need it is sent in its own size.
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
    const data = await encode(draw(bitmap, smaller ?? size));
    return { data, thumbnail, size: smaller ?? size, changed: true };
  } finally {
    bitmap.close();
  }
}

/** A frame of a video or a camera as a file. */
export async function grab(video: HTMLVideoElement, need: Need | undefined): Promise<Prepared> {
  const size = { width: video.videoWidth, height: video.videoHeight };
  const target = (need && sendSize(size, need)) ?? size;
  const frame = draw(video, target);
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

function draw(source: CanvasImageSource, { width, height }: Size): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  if (!context) {
    throw new Error('the browser has no memory for the picture');
  }
  context.imageSmoothingQuality = 'high';
  context.drawImage(source, 0, 0, width, height);
  return canvas;
}

function encode(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) => {
    const done = (blob: Blob | null) =>
      blob ? resolve(blob) : reject(new Error('the browser cannot write the picture'));
    canvas.toBlob(done, 'image/jpeg', JPEG_QUALITY);
  });
}
