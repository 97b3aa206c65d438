/** Image sources: photos, video frames and camera frames. */

import type { Engine, Image } from 'pointstream/engine';
import { MARGIN, type Need, type Prepared, prepare } from '../intake/downscale';
import { type Chosen, folderFiles, kindsOf, sortFiles, watchDrops } from '../intake/files';
import { videoFrames } from '../intake/video';
import { reason } from '../shared/api';
import { element, setText } from '../shared/dom';
import { count, plural } from '../shared/format';
import { inParallel } from '../shared/parallel';
import { cameraControls } from './camera';
import { wholeNumber } from './form';
import type { Reconstruction } from './reconstruction';
import { offerSample } from './sample';

/** Number of photos to prepare in parallel. */
const AT_ONCE = 3;

interface Photo {
  file: File;
  place: Image;
}

/** A video with reserved uploads for its frames. */
interface Film {
  file: File;
  places: Image[];
}

/** Connects the page's inputs with the reconstruction. */
export function connectIntake(reconstruction: Reconstruction): { stopCamera(): void } {
  const intake = new Intake(reconstruction);
  const take = (chosen: Chosen) => void intake.take(chosen);
  watchDrops(document.body, take);
  for (const id of ['photos', 'video', 'folder']) {
    const input = element<HTMLInputElement>(id);
    input.addEventListener('change', () => {
      const list = input.files ?? new DataTransfer().files;
      const chosen = id === 'folder' ? folderFiles(list) : { files: [...list], folder: '' };
      // Reset, so that the same file can be chosen again.
      input.value = '';
      take(chosen);
    });
  }
  element('choose-folder').addEventListener('click', () => element('folder').click());
  offerSample(
    () => reconstruction.server,
    (files, folder) => intake.take({ files, folder }),
    (message) => reconstruction.problem(message),
  );
  const camera = cameraControls(reconstruction, intake);
  showHint(reconstruction);
  return { stopCamera: () => camera.stop() };
}

/** Images being added to a session. Each stays with the session for which it was chosen. */
export class Intake {
  constructor(private readonly reconstruction: Reconstruction) {}

  /** The size a session needs; undefined if images are sent unchanged. */
  need(session: Engine | undefined): Need | undefined {
    const smaller = element<HTMLInputElement>('downscale').checked;
    return smaller ? this.reconstruction.need(session) : undefined;
  }

  /** Adds photos and videos. Reserves all uploads at once, so that finishing waits for them. */
  async take({ files, folder }: Chosen): Promise<void> {
    const { photos, videos, others } = sortFiles(files);
    this.sayWhatIsLeftOut(others);
    const wanted = photos.length + videos.length > 0;
    const session = wanted ? await this.reconstruction.session() : undefined;
    if (!session) {
      return;
    }
    this.reconstruction.suggest(
      folder || (photos.length === 0 ? stemOf(videos[0]?.name ?? '') : ''),
    );
    const pictures = photos.map((file) => ({ file, place: session.uploads.reserve(file.name) }));
    const films = videos.map((file) => film(session, file));
    await inParallel(pictures, AT_ONCE, (photo) => this.photo(session, photo));
    for (const film of films) {
      await this.frames(session, film);
    }
  }

  /** Hands a prepared image to its reserved upload. `original` is the photo that it was made of. */
  fill(session: Engine, place: Image, prepared: Prepared, original = prepared.data): void {
    const { data, thumbnail, size } = prepared;
    if (session.signal.aborted || place.state !== 'preparing') {
      return;
    }
    this.reconstruction.setPicture(place.name, thumbnail, original);
    const pixels = size.width * size.height;
    const { max_image_pixels = Number.POSITIVE_INFINITY } = session.limits;
    if (pixels > max_image_pixels) {
      const most = count(max_image_pixels);
      session.uploads.refuse(place, `it has ${count(pixels)} pixels, the server takes ${most}`);
    } else {
      session.uploads.ready(place, data);
    }
  }

  private async photo(session: Engine, { file, place }: Photo): Promise<void> {
    if (session.signal.aborted || place.state !== 'preparing') {
      return;
    }
    try {
      this.fill(session, place, await prepare(file, this.need(session)), file);
    } catch (error) {
      session.uploads.refuse(place, reason(error));
    }
  }

  private async frames(session: Engine, { file, places }: Film): Promise<void> {
    const waiting = () => places.filter(({ state }) => state === 'preparing');
    if (session.signal.aborted || waiting().length === 0) {
      return;
    }
    this.reconstruction.note(`taking ${plural(places.length, 'frame')} of ${file.name}`);
    const rest = places.values();
    let why = 'the video has no more frames';
    try {
      for await (const frame of videoFrames(file, places.length, this.need(session))) {
        const { value: place } = rest.next();
        if (place) {
          this.fill(session, place, frame);
        }
        if (session.signal.aborted) {
          return;
        }
        if (waiting().length === 0) {
          // The server may not have answered to all of them yet.
          void session.uploads.settled(places).then(() => {
            if (!session.signal.aborted) {
              this.sayWhatIsMissing(file, places);
            }
          });
          return;
        }
      }
    } catch (error) {
      why = reason(error);
      if (!session.signal.aborted) {
        this.reconstruction.problem(`${file.name}: ${why}`);
      }
    }
    for (const place of waiting()) {
      session.uploads.refuse(place, why);
    }
  }

  /** Files that are neither photos nor videos, beside the sources until the next choice. */
  private sayWhatIsLeftOut(others: File[]): void {
    const note = element('left-out');
    note.hidden = others.length === 0;
    if (!note.hidden) {
      const none = others.length === 1 ? 'is no photo or video' : 'are no photos or videos';
      const text = `${plural(others.length, 'file')} left out that ${none}: ${kindsOf(others)}`;
      setText(note, text);
      this.reconstruction.note(text);
    }
  }

  private sayWhatIsMissing(file: File, places: Image[]): void {
    const refused = places.filter(({ state }) => state === 'refused').length;
    if (refused > 0) {
      this.reconstruction.problem(
        `${file.name}: ${plural(refused, 'frame')} of ${places.length} were not added`,
      );
    }
  }
}

function stemOf(name: string): string {
  return name.replace(/\.[^.]*$/, '');
}

/** Reserves uploads for the frames of a video, in order. */
function film(session: Engine, file: File): Film {
  const number = wholeNumber('frames');
  const stem = stemOf(file.name);
  const digits = String(number).length;
  const name = (index: number) => `${stem}_${String(index + 1).padStart(digits, '0')}.jpg`;
  const places = Array.from({ length: number }, (_, index) => session.uploads.reserve(name(index)));
  return { file, places };
}

/** Shows the size to which images are scaled down. */
function showHint(reconstruction: Reconstruction): void {
  reconstruction.onParameters = () => {
    const { resolution, method } = reconstruction.need();
    const side = method.startsWith('lower') ? 'shorter' : 'longer';
    const pixels = MARGIN * resolution;
    setText(element('downscale-hint'), `${side} side of ${pixels} pixels, twice the resolution`);
  };
}
