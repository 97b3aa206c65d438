/** Extracts frames of a video file in the browser. */

import { grab, type Need, type Prepared } from './downscale';
import { sharpness } from './sharpness';

/** Timeout of seeking a frame, in milliseconds. */
const SEEK_MS = 20_000;
/** Shortest distance in seconds of frames that are compared: closer ones may be the same. */
const CLOSEST = 0.05;
/** How much sharper than the middle one a frame must be to take its place. */
const CLEARLY = 1.2;

/** The frames that are wanted of a video: so many in all, or in each second. */
export interface FrameChoice {
  number: number;
  perSecond: boolean;
}

/** The browser cannot play the video. */
export class Unplayable extends Error {}

/** `number` times in seconds, each in the middle of an equal part of the video. */
export function frameTimes(seconds: number, number: number): number[] {
  return Array.from({ length: number }, (_, index) => ((index + 0.5) * seconds) / number);
}

/** How many frames that are. */
export function frameNumber(seconds: number, { number, perSecond }: FrameChoice): number {
  return perSecond ? Math.max(1, Math.round(number * seconds)) : number;
}

/** `number` of these, evenly spread; all if there are fewer. */
export function spread<T>(all: readonly T[], number: number): T[] {
  const part = (index: number) => Math.floor((index * number) / all.length);
  return number < all.length ? all.filter((_, index) => part(index + 1) > part(index)) : [...all];
}

/**
 * A video that is played without being seen.
 *
 * Its methods throw `Unplayable` if the browser cannot play the file.
 */
export class Film {
  private readonly video = document.createElement('video');
  private readonly url: string;
  private opening: Promise<number> | undefined;

  constructor(file: File) {
    this.url = URL.createObjectURL(file);
    this.video.muted = true;
    this.video.playsInline = true;
    this.video.preload = 'auto';
  }

  /** The duration in seconds. */
  duration(): Promise<number> {
    this.opening ??= this.open();
    return this.opening;
  }

  private async open(): Promise<number> {
    const { video } = this;
    video.src = this.url;
    await this.event('loadeddata');
    // Streamed recordings have no duration until the player seeks to the end.
    if (!Number.isFinite(video.duration)) {
      await this.seek(Number.MAX_SAFE_INTEGER);
    }
    if (!Number.isFinite(video.duration)) {
      throw new Unplayable('the duration of the video is unknown');
    }
    if (video.videoWidth === 0) {
      throw new Unplayable('the browser sees no picture in this video');
    }
    return video.duration;
  }

  /**
   * The sharpest frame near the middle of each of `number` equal parts. They are yielded one by one,
   * so that the first are uploaded while later ones are still being extracted.
   */
  async *frames(number: number, need: Need | undefined): AsyncGenerator<Prepared> {
    const seconds = await this.duration();
    // Within the middle half, so that frames of neighbours do not meet.
    const apart = seconds / number / 6;
    for (const middle of frameTimes(seconds, number)) {
      const others = apart < CLOSEST ? [] : [middle - apart, middle + apart];
      await this.seekSharpest(middle, others);
      yield await grab(this.video, need);
    }
  }

  close(): void {
    this.video.removeAttribute('src');
    this.video.load();
    URL.revokeObjectURL(this.url);
  }

  private async seekSharpest(middle: number, others: number[]): Promise<void> {
    let best = { time: middle, value: 0 };
    for (const time of others) {
      await this.seek(time);
      const value = this.sharpness();
      if (value > best.value) {
        best = { time, value };
      }
    }
    await this.seek(middle);
    if (others.length > 0 && best.value > CLEARLY * this.sharpness()) {
      await this.seek(best.time);
    }
  }

  private sharpness(): number {
    const { video } = this;
    return sharpness(video, { width: video.videoWidth, height: video.videoHeight });
  }

  private async seek(time: number): Promise<void> {
    this.video.currentTime = time;
    await this.event('seeked');
  }

  private event(name: string): Promise<void> {
    const { video } = this;
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void) => () => {
        clearTimeout(timer);
        video.removeEventListener(name, done);
        video.removeEventListener('error', failed);
        outcome();
      };
      const done = settle(resolve);
      const failed = settle(() => reject(new Unplayable('the browser cannot play this video')));
      const late = settle(() =>
        reject(new Unplayable('the browser did not find a frame of this video in time')),
      );
      const timer = setTimeout(late, SEEK_MS);
      video.addEventListener(name, done);
      video.addEventListener('error', failed);
    });
  }
}
