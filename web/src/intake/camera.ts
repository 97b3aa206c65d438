/** The live camera: every so many frames one becomes an image. */

import { grab, type Need, type Prepared } from './downscale';

/** The number of a frame in a list of names. */
function label(number: number): string {
  return `camera_${String(number).padStart(4, '0')}.jpg`;
}

export class Camera {
  private stream: MediaStream | undefined;
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
   */
  constructor(
    private readonly video: HTMLVideoElement,
    private readonly mayTake: () => boolean,
    private readonly take: (name: string, image: Prepared) => void,
    private readonly stopped: () => void,
  ) {}

  get isOn(): boolean {
    return this.stream !== undefined;
  }

  /** @throws Error with a sentence if there is no camera for this page. */
  async start(): Promise<void> {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error('browsers give the camera to pages of localhost and of https only');
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: 'environment', width: { ideal: 1280 }, height: { ideal: 960 } },
      });
    } catch (error) {
      const name = error instanceof DOMException ? error.name : '';
      throw new Error(EXPLANATIONS[name] ?? `the camera does not start (${name || error})`);
    }
    for (const track of this.stream.getTracks()) {
      track.addEventListener('ended', () => this.stop());
    }
    this.video.srcObject = this.stream;
    await this.video.play();
    this.watch(this.stream);
  }

  stop(): void {
    for (const track of this.stream?.getTracks() ?? []) {
      track.stop();
    }
    if (this.stream) {
      this.stream = undefined;
      this.video.srcObject = null;
      this.stopped();
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
    } finally {
      this.grabbing = false;
    }
  }
}

const EXPLANATIONS: Record<string, string> = {
  NotAllowedError: 'the browser was told not to give the camera to this page',
  NotFoundError: 'there is no camera',
  NotReadableError: 'another program uses the camera',
};
