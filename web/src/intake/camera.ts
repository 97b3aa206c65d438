/** The live camera: every so many frames one becomes an image. */

import { grab, type Need, type Prepared } from './downscale';

/** The number of a frame in a list of names. */
function label(number: number): string {
  return `camera_${String(number).padStart(4, '0')}.jpg`;
}

export class Camera {
  private stream: MediaStream | undefined;
  /** Counts starts and stops, so that a start which was overtaken is given up. */
  private attempts = 0;
  private seen = 0;
  private taken = 0;
  private grabbing = false;

  /** One of so many frames is taken. */
  every = 15;
  need: Need | undefined;

  /**
   * @param video shows what the camera sees.
   * @param mayTake whether there is room for another image now.
   * @param take gets each image.
   * @param problem is told why it stopped by itself.
   */
  constructor(
    private readonly video: HTMLVideoElement,
    private readonly mayTake: () => boolean,
    private readonly take: (name: string, image: Prepared) => void,
    private readonly stopped: () => void,
    private readonly problem: (error: unknown) => void,
  ) {}

  get isOn(): boolean {
    return this.stream !== undefined;
  }

  /**
   * Returns whether it is on: it may have been stopped before the browser's question was answered.
   *
   * @throws Error with a sentence if there is no camera for this page.
   */
  async start(): Promise<boolean> {
    this.stop();
    const attempt = this.attempts;
    const stream = await ask();
    if (attempt === this.attempts) {
      this.video.srcObject = stream;
      try {
        await this.video.play();
      } catch (error) {
        if (attempt === this.attempts) {
          this.give(stream);
          throw new Error(`the camera's picture cannot be shown (${error})`);
        }
      }
    }
    if (attempt !== this.attempts) {
      this.give(stream);
      return false;
    }
    this.stream = stream;
    for (const track of stream.getTracks()) {
      track.addEventListener('ended', () => this.stop());
    }
    this.watch(stream);
    return true;
  }

  stop(): void {
    this.attempts += 1;
    if (this.stream) {
      this.give(this.stream);
      this.stream = undefined;
      this.stopped();
    }
  }

  /** Gives the device back. */
  private give(stream: MediaStream): void {
    for (const track of stream.getTracks()) {
      track.stop();
    }
    if (this.video.srcObject === stream) {
      this.video.srcObject = null;
    }
  }

  private watch(stream: MediaStream): void {
    const onFrame = () => {
      if (this.stream === stream) {
        void this.frame();
        next();
      }
    };
    // Counts the camera's frames where the browser tells of them, else those of the screen.
    const next = () =>
      'requestVideoFrameCallback' in this.video
        ? this.video.requestVideoFrameCallback(onFrame)
        : requestAnimationFrame(onFrame);
    next();
  }

  private async frame(): Promise<void> {
    this.seen += 1;
    if (this.seen % this.every !== 0 || this.grabbing || !this.mayTake()) {
      return;
    }
    this.grabbing = true;
    try {
      const image = await grab(this.video, this.need);
      this.taken += 1;
      this.take(label(this.taken), image);
    } catch (error) {
      this.stop();
      this.problem(error);
    } finally {
      this.grabbing = false;
    }
  }
}

async function ask(): Promise<MediaStream> {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error('browsers give the camera to pages of localhost and of https only');
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: 'environment', width: { ideal: 1280 }, height: { ideal: 960 } },
    });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : '';
    throw new Error(EXPLANATIONS[name] ?? `the camera does not start (${name || error})`);
  }
}

const EXPLANATIONS: Record<string, string> = {
  NotAllowedError: 'the browser was told not to give the camera to this page',
  NotFoundError: 'there is no camera',
  NotReadableError: 'another program uses the camera',
};
