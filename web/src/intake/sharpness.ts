/** How sharp a picture is, to choose among frames of a video. */

import type { Size } from './downscale';

/** Longer side in pixels of the copy that is measured. */
const MEASURED = 480;

/**
 * The variance of the Laplacian of the luminance of a small copy: large if there are sharp edges
 * (Pech-Pacheco et al. 2000). Comparable for pictures of the same thing.
 */
export function sharpness(source: CanvasImageSource, { width, height }: Size): number {
  const scale = Math.min(1, MEASURED / Math.max(width, height));
  const size = {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  };
  const canvas = new OffscreenCanvas(size.width, size.height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) {
    throw new Error('the browser has not enough memory for the image');
  }
  context.drawImage(source, 0, 0, size.width, size.height);
  return laplacianVariance(context.getImageData(0, 0, size.width, size.height).data, size);
}

/** The same of RGBA pixels. */
export function laplacianVariance(rgba: Uint8ClampedArray, { width, height }: Size): number {
  const grey = Float32Array.from({ length: width * height }, (_, pixel) => {
    const at = (channel: number) => rgba[4 * pixel + channel] ?? 0;
    return 0.299 * at(0) + 0.587 * at(1) + 0.114 * at(2);
  });
  const at = (pixel: number) => grey[pixel] ?? 0;
  let [count, sum, squares] = [0, 0, 0];
  for (let y = 1; y < height - 1; y += 1) {
    for (let x = 1; x < width - 1; x += 1) {
      const pixel = y * width + x;
      const around = at(pixel - 1) + at(pixel + 1) + at(pixel - width) + at(pixel + width);
      const value = around - 4 * at(pixel);
      count += 1;
      sum += value;
      squares += value * value;
    }
  }
  return count === 0 ? 0 : squares / count - (sum / count) ** 2;
}
