/** Frames of a video file, taken in the browser. */

import { grab, type Need, type Prepared } from './downscale';

/** How long the browser may take to find a frame. */
const SEEK_MS = 20_000;

/** `number` points in time, each in the middle of an equal part of the video. */
export function frameTimes(seconds: number, number: number): number[] {
  return Array.from({ length: number }, (_, index) => ((index + 0.5) * seconds) / number);
}

/**
 * Frames at even distances. They come one by one, so that the first are on their way while the
 * last are sought.
 *
 * @throws Error if the browser cannot play the file.
 */
export async function* videoFrames(
  file: File,
  number: number,
  need: Need | undefined,
): AsyncGenerator<Prepared> {
  const video = document.createElement('video');
  const url = URL.createObjectURL(file);
  try {
    video.muted = true;
    video.playsInline = true;
    video.preload = 'auto';
    video.src = url;
    await event(video, 'loadeddata');
    const seconds = await duration(video);
    for (const time of frameTimes(seconds, number)) {
      video.currentTime = time;
      await event(video, 'seeked');
      yield await grab(video, need);
    }
  } finally {
    video.removeAttribute('src');
    video.load();
    URL.revokeObjectURL(url);
  }
}

/** A recording that was written as a stream does not say how long it is until its end is sought. */
async function duration(video: HTMLVideoElement): Promise<number> {
  if (!Number.isFinite(video.duration)) {
    video.currentTime = Number.MAX_SAFE_INTEGER;
    await event(video, 'seeked');
  }
  if (!Number.isFinite(video.duration)) {
    throw new Error('the video does not say how long it is');
  }
  return video.duration;
}

function event(video: HTMLVideoElement, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (outcome: () => void) => () => {
      clearTimeout(timer);
      video.removeEventListener(name, done);
      video.removeEventListener('error', failed);
      outcome();
    };
    const done = settle(resolve);
    const failed = settle(() => reject(new Error('the browser cannot play this video')));
    const late = settle(() => reject(new Error('the browser does not find a frame of this video')));
    const timer = setTimeout(late, SEEK_MS);
    video.addEventListener(name, done);
    video.addEventListener('error', failed);
  });
}
