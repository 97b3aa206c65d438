/** Frames of a video that the browser cannot play, extracted by the server. */

import type { Server } from 'pointstream/engine';
import { type Need, type Prepared, prepare } from './downscale';
import type { FrameChoice } from './video';

/** Longest time in milliseconds until the server has read a video. */
const READING_MS = 1_800_000;

/** Sends the video; the frames come when the server has read all of it. */
export async function serverFrames(
  server: Server,
  file: File,
  { number, perSecond }: FrameChoice,
): Promise<Blob[]> {
  const query = perSecond ? { per_second: number } : { count: number };
  const answer = await server.send('POST', '/videos/frames', {
    query,
    file,
    silence: READING_MS,
  });
  const form = await new Response(answer.blob).formData();
  return form.getAll('images').filter((frame) => frame instanceof Blob);
}

export async function* preparedFrames(
  frames: Blob[],
  need: Need | undefined,
): AsyncGenerator<Prepared> {
  for (const frame of frames) {
    yield await prepare(frame, need);
  }
}
