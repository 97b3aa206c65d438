/** The camera's panel. */

import type { Engine } from 'pointstream/engine';
import { Camera } from '../intake/camera';
import { reason } from '../shared/api';
import { element, setText } from '../shared/dom';
import { wholeNumber } from './form';
import type { Intake } from './intake';
import type { Reconstruction } from './reconstruction';

/** Waiting images above which the camera skips frames. */
const QUEUE = 3;

/** Connects the panel; images go to the session in which the camera was started. */
export function cameraControls(reconstruction: Reconstruction, intake: Intake): Camera {
  const button = element<HTMLButtonElement>('camera');
  const preview = element<HTMLVideoElement>('preview');
  let session: Engine | undefined;
  const show = () => {
    preview.hidden = !camera.isOn;
    setText(button, camera.isOn ? 'Stop the camera' : 'Start the camera');
    reconstruction.setLive(camera.isOn);
  };
  const hasRoom = () => {
    if (session?.takesWork && session.uploads.full) {
      reconstruction.problem('the session takes no more images, so the camera was stopped');
      camera.stop();
      return false;
    }
    if (!session?.takesWork) {
      camera.stop();
      return false;
    }
    return session.uploads.in('queued', 'sent').length < QUEUE;
  };
  const camera = new Camera(
    preview,
    hasRoom,
    (name, image) => {
      if (session?.takesWork) {
        intake.fill(session, session.uploads.reserve(name), image);
      }
    },
    show,
    (error) => reconstruction.problem(reason(error)),
  );
  const settings = () => {
    camera.every = wholeNumber('every-frame');
    camera.need = intake.need(session);
  };
  const start = async () => {
    session = await reconstruction.session();
    // The user may have switched to another panel in the meantime.
    if (session && element('panel-camera').hidden === false) {
      settings();
      session.signal.addEventListener('abort', () => camera.stop());
      if (await camera.start()) {
        show();
      }
    }
  };
  element('every-frame').addEventListener('input', settings);
  element('downscale').addEventListener('change', settings);
  button.addEventListener('click', async () => {
    if (camera.isOn) {
      camera.stop();
      return;
    }
    button.disabled = true;
    try {
      await start();
    } catch (error) {
      reconstruction.problem(reason(error));
    } finally {
      button.disabled = false;
    }
  });
  return camera;
}
