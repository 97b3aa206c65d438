/** Extracts frames of a video file in the browser. */

import { grab, type Need, type Prepared } from './downscale';

/** Timeout of seeking a frame, in milliseconds. */
const SEEK_MS = 20_000;

/** `number` times in seconds, each in the middle of an equal part of the video. */
export function frameTimes(seconds: number, number: number): number[] {
  return Array.from({ length: number }, (_, index) => ((index + 0.5) * seconds) / number);
}

/**
 * Evenly spaced frames. They are yielded one by one, so that the first are uploaded while later
 * ones are still being extracted.
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

/** The duration in seconds. Streamed recordings have none until the player seeks to the end. */
async function duration(video: HTMLVideoElement): Promise<number> {
  if (!Number.isFinite(video.duration)) {
    video.currentTime = Number.MAX_SAFE_INTEGER;
    await event(video, 'seeked');
  }
  if (!Number.isFinite(video.duration)) {
    throw new Error('the duration of the video is unknown');
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
    const late = settle(() =>
      reject(new Error('the browser did not find a frame of this video in time')),
    );
    const timer = setTimeout(late, SEEK_MS);
    video.addEventListener(name, done);
    video.addEventListener('error', failed);
  });
}
