/** The live camera: every n-th frame becomes an image. */

import { grab, type Need, type Prepared } from './downscale';

/** The zero-padded number of a frame, for names that sort. */
function label(number: number): string {
  return `camera_${String(number).padStart(4, '0')}.jpg`;
}

export class Camera {
  private stream: MediaStream | undefined;
  /** Counts starts and stops, so that an outdated start is cancelled. */
  private attempts = 0;
  private seen = 0;
  private taken = 0;
  private grabbing = false;

  /** Take every n-th frame. */
  every = 15;
  need: Need | undefined;

  /**
   * @param video shows the preview.
   * @param mayTake whether there is room for another image.
   * @param take receives each image.
   * @param problem receives the reason if the camera stops by itself.
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
   * Starts the camera. Returns whether it is on: the user may have stopped it before answering the
   * browser's permission prompt.
   *
   * @throws Error with a message for the user if the camera is not available.
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

  /** Releases the device. */
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
    // Counts the camera's frames if the browser reports them, else those of the screen.
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
    throw new Error('browsers allow the camera only on localhost and https pages');
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: 'environment', width: { ideal: 1280 }, height: { ideal: 960 } },
    });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : '';
    throw new Error(EXPLANATIONS[name] ?? `the camera could not be started (${name || error})`);
  }
}

const EXPLANATIONS: Record<string, string> = {
  NotAllowedError: 'this page has no permission to use the camera; allow it in the browser',
  NotFoundError: 'no camera was found',
  NotReadableError: 'another program is using the camera',
};
