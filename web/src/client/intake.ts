/** What the page takes in: photos, frames of a video, frames of the camera. */

import { Camera } from '../intake/camera';
import { MARGIN, type Need, type Prepared, prepare } from '../intake/downscale';
import { sortFiles, watchDrops } from '../intake/files';
import { videoFrames } from '../intake/video';
import { reason } from '../shared/api';
import { element, setText } from '../shared/dom';
import { plural } from '../shared/format';
import type { Reconstruction } from './reconstruction';

/** Images that may wait to be sent before the camera skips a turn. */
const CAMERA_QUEUE = 3;

/** Connects the page's inputs with the reconstruction. */
export function connectIntake(reconstruction: Reconstruction): { stopCamera(): void } {
  const need = (): Need | undefined =>
    element<HTMLInputElement>('downscale').checked ? reconstruction.need() : undefined;

  const photos = async (files: File[]) => {
    const session = files.length > 0 ? await reconstruction.session() : undefined;
    const places = files.map((file) => session?.uploads.reserve(file.name));
    for (const [index, file] of files.entries()) {
      const place = places[index];
      if (!session || place?.state !== 'preparing') {
        continue;
      }
      try {
        const prepared = await prepare(file, need());
        reconstruction.setPicture(place.name, prepared.thumbnail);
        session.uploads.ready(place, prepared.data);
      } catch (error) {
        session.uploads.refuse(place, reason(error));
      }
    }
  };

  const frames = async (file: File) => {
    const number = wholeNumber('frames');
    const session = await reconstruction.session();
    if (!session) {
      return;
    }
    reconstruction.note(`taking ${plural(number, 'frame')} of ${file.name}`);
    const stem = file.name.replace(/\.[^.]*$/, '');
    const digits = String(number).length;
    let taken = 0;
    try {
      for await (const frame of videoFrames(file, number, need())) {
        taken += 1;
        add(`${stem}_${String(taken).padStart(digits, '0')}.jpg`, frame);
      }
    } catch (error) {
      reconstruction.problem(`${file.name}: ${reason(error)}`);
    }
  };

  /** An image that is ready at once. */
  const add = (name: string, { data, thumbnail }: Prepared) => {
    const session = reconstruction.current;
    if (session?.takesWork) {
      const place = session.uploads.reserve(name);
      reconstruction.setPicture(place.name, thumbnail);
      session.uploads.ready(place, data);
    }
  };

  const take = async (files: File[]) => {
    const { photos: pictures, videos } = sortFiles(files);
    await photos(pictures);
    for (const video of videos) {
      await frames(video);
    }
  };

  watchDrops(document.body, (files) => void take(files));
  for (const id of ['photos', 'video']) {
    const input = element<HTMLInputElement>(id);
    input.addEventListener('change', () => {
      const files = [...(input.files ?? [])];
      // So that the same file can be picked again.
      input.value = '';
      void take(files);
    });
  }
  const camera = cameraControls(reconstruction, need, add);
  showHint(reconstruction);
  return { stopCamera: () => camera.stop() };
}

function cameraControls(
  reconstruction: Reconstruction,
  need: () => Need | undefined,
  add: (name: string, image: Prepared) => void,
): Camera {
  const button = element<HTMLButtonElement>('camera');
  const preview = element<HTMLVideoElement>('preview');
  const every = element<HTMLInputElement>('every-frame');
  const show = () => {
    preview.hidden = !camera.isOn;
    setText(button, camera.isOn ? 'Stop the camera' : 'Start the camera');
    reconstruction.setLive(camera.isOn);
  };
  const room = () => {
    const session = reconstruction.current;
    if (!session?.takesWork) {
      camera.stop();
      return false;
    }
    return session.uploads.in('queued', 'sent').length < CAMERA_QUEUE;
  };
  const camera = new Camera(preview, room, add, show);
  const settings = () => {
    camera.every = wholeNumber('every-frame');
    camera.need = need();
  };
  every.addEventListener('input', settings);
  element('downscale').addEventListener('change', settings);
  button.addEventListener('click', async () => {
    if (camera.isOn) {
      camera.stop();
      return;
    }
    button.disabled = true;
    try {
      if (await reconstruction.session()) {
        settings();
        await camera.start();
        show();
      }
    } catch (error) {
      reconstruction.problem(reason(error));
    } finally {
      button.disabled = false;
    }
  });
  return camera;
}

/** Says what "smaller" means at the moment. */
function showHint(reconstruction: Reconstruction): void {
  reconstruction.onParameters = () => {
    const { resolution, method } = reconstruction.need();
    const side = method.startsWith('lower') ? 'shorter' : 'longer';
    const pixels = MARGIN * resolution;
    setText(element('downscale-hint'), `${side} side of ${pixels} pixels, twice the resolution`);
  };
}

/** The number in an input, within its range. */
function wholeNumber(id: string): number {
  const input = element<HTMLInputElement>(id);
  const number = Math.round(Number(input.value)) || Number(input.defaultValue);
  return Math.min(Math.max(number, Number(input.min)), Number(input.max));
}
