/** Image sources: photos, video frames and camera frames. */

import type { Engine, Image } from 'pointstream/engine';
import { MARGIN, type Need, type Prepared, prepare } from '../intake/downscale';
import { type Chosen, folderFiles, kindsOf, sortFiles, watchDrops } from '../intake/files';
import { preparedFrames, serverFrames } from '../intake/server-video';
import { Film, type FrameChoice, frameNumber, spread, Unplayable } from '../intake/video';
import { reason } from '../shared/api';
import { element, setText } from '../shared/dom';
import { count, plural } from '../shared/format';
import { inParallel } from '../shared/parallel';
import { cameraControls } from './camera';
import { frameChoice, offerFrameChoice } from './frames';
import type { Reconstruction } from './reconstruction';
import { offerSample } from './sample';

/** Number of photos to prepare in parallel. */
const AT_ONCE = 3;
/** Digits of the number of a frame, if it is not known how many there are. */
const DIGITS = 3;

interface Photo {
  file: File;
  place: Image;
}

/** A video with reserved uploads for its frames. */
interface Reel {
  file: File;
  film: Film;
  choice: FrameChoice;
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
  offerFrameChoice();
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
    const reels = videos.map((file) => reel(session, file));
    await inParallel(pictures, AT_ONCE, (photo) => this.photo(session, photo));
    for (const reel of reels) {
      await this.frames(session, reel);
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

  /** The frames of a video. If the browser can extract none, they come from the server. */
  private async frames(session: Engine, reel: Reel): Promise<void> {
    const { film, file, choice, places } = reel;
    let why = 'the video has no more frames';
    try {
      if (isOpen(session)) {
        reserveRest(session, reel, frameNumber(await film.duration(), choice));
        this.reconstruction.note(`taking ${plural(places.length, 'frame')} of ${file.name}`);
        await this.add(session, places, film.frames(places.length, this.need(session)));
      }
    } catch (error) {
      why = reason(error);
      if (error instanceof Unplayable && waiting(places).length === places.length) {
        await this.serverFrames(session, reel, why);
        return;
      }
      this.refuse(session, file, places, why);
    } finally {
      film.close();
    }
    refuseWaiting(session, places, why);
    await this.sayWhatIsMissing(session, file, places);
  }

  private async serverFrames(session: Engine, reel: Reel, why: string): Promise<void> {
    const { file, choice, places } = reel;
    if (!isOpen(session)) {
      refuseWaiting(session, places, why);
      return;
    }
    if (!this.reconstruction.readsVideos) {
      const advice = 'and this server reads none; convert it to MP4 with H.264';
      this.refuse(session, file, places, `${why}, ${advice}`);
      return;
    }
    this.reconstruction.note(`${why}: sending ${file.name} to the server for its frames`);
    try {
      const frames = await serverFrames(session.server, file, choice);
      if (isOpen(session)) {
        reserveRest(session, reel, frames.length);
        const chosen = spread(frames, places.length);
        await this.add(session, places, preparedFrames(chosen, this.need(session)));
      }
      refuseWaiting(session, places, 'the video has no more frames');
      await this.sayWhatIsMissing(session, file, places);
    } catch (error) {
      this.refuse(session, file, places, reason(error));
    }
  }

  private async add(
    session: Engine,
    places: Image[],
    frames: AsyncGenerator<Prepared>,
  ): Promise<void> {
    if (places.length > 0 && waiting(places).length === 0) {
      return;
    }
    const rest = places.values();
    for await (const frame of frames) {
      const { value: place } = rest.next();
      if (place) {
        this.fill(session, place, frame);
      }
      if (session.signal.aborted || waiting(places).length === 0) {
        return;
      }
    }
  }

  /** Nothing more comes of a video. */
  private refuse(session: Engine, file: File, places: Image[], why: string): void {
    if (!session.signal.aborted) {
      this.reconstruction.problem(`${file.name}: ${why}`);
    }
    refuseWaiting(session, places, why);
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

  /** The server may not have answered to all of them yet. */
  private async sayWhatIsMissing(session: Engine, file: File, places: Image[]): Promise<void> {
    await session.uploads.settled(places);
    const refused = places.filter(({ state }) => state === 'refused').length;
    if (refused > 0 && refused < places.length && !session.signal.aborted) {
      this.reconstruction.problem(
        `${file.name}: ${plural(refused, 'frame')} of ${places.length} were not added`,
      );
    }
  }
}

function stemOf(name: string): string {
  return name.replace(/\.[^.]*$/, '');
}

/** Reserves uploads for the frames of a video, in order; one if their number is not known yet. */
function reel(session: Engine, file: File): Reel {
  const choice = frameChoice();
  const number = choice.perSecond ? 1 : choice.number;
  const digits = choice.perSecond ? DIGITS : String(number).length;
  const places = Array.from({ length: number }, (_, index) =>
    session.uploads.reserve(frameName(file, index, digits)),
  );
  return { file, film: new Film(file), choice, places };
}

/** Reserves the uploads that are missing to so many, as far as the session takes them. */
function reserveRest(session: Engine, { file, places }: Reel, number: number): void {
  const most = Math.min(number, places.length + session.uploads.room);
  while (places.length < most) {
    places.push(session.uploads.reserve(frameName(file, places.length, DIGITS)));
  }
}

function frameName(file: File, index: number, digits: number): string {
  return `${stemOf(file.name)}_${String(index + 1).padStart(digits, '0')}.jpg`;
}

/** Whether the page still works on the session, and that takes images. */
function isOpen(session: Engine): boolean {
  return !session.signal.aborted && !session.isOver;
}

function waiting(places: Image[]): Image[] {
  return places.filter(({ state }) => state === 'preparing');
}

function refuseWaiting(session: Engine, places: Image[], why: string): void {
  for (const place of waiting(places)) {
    session.uploads.refuse(place, why);
  }
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
