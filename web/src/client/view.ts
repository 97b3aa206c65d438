/** The view, its buttons and its tools. */

import type { Engine, Metadata } from 'pointstream/engine';
import { reason } from '../shared/api';
import { element } from '../shared/dom';
import { saveFile } from '../shared/save';
import { metresOf, type Picture } from '../viewer/cameras';
import { followColours, offerFullScreen } from '../viewer/surface';
import { type Shown, Viewer } from '../viewer/viewer';
import { Filter } from './filter';
import { controlView } from './keyboard';
import { Measure } from './measure';
import { type Photos, Through } from './through';

/** What the view needs of the page. */
export interface Surroundings {
  /** The name of saved files without an ending. */
  fileName(): string;
  photos: Photos;
  problem(message: string): void;
}

/** Creates the view; reports a problem and returns undefined without WebGL. */
export function makeView(page: Surroundings): View | undefined {
  try {
    return new View(new Viewer(element('view')), page);
  } catch (error) {
    page.problem(reason(error));
    return undefined;
  }
}

export class View {
  private readonly measure: Measure;
  private readonly filter: Filter;
  private readonly through: Through;

  constructor(
    private readonly viewer: Viewer,
    private readonly page: Surroundings,
  ) {
    this.measure = new Measure(viewer);
    this.filter = new Filter(viewer);
    this.through = new Through(viewer, () => !this.measure.isOn, page.photos);
    this.connect();
    controlView(viewer);
  }

  /** Shows a result. Returns the number of points, or undefined if a newer one came meanwhile. */
  async show(session: Engine, shown: Shown, picture: Picture): Promise<number | undefined> {
    const points = await this.viewer.show(shown, picture);
    if (points !== undefined && !session.signal.aborted) {
      this.offer(session, shown.metadata);
    }
    return points;
  }

  /** Indices of the images whose cameras are shown. */
  get indices(): number[] {
    return this.viewer.poses.map(({ index }) => index);
  }

  /** Looks through the camera of an image. */
  look(index: number): void {
    this.through.look(index);
  }

  showPictures(picture: Picture): void {
    this.viewer.showPictures(picture);
  }

  clear(): void {
    this.through.hide();
    this.filter.clear();
    this.measure.forget();
    this.viewer.clear();
  }

  private offer(session: Engine, metadata: Metadata): void {
    this.filter.offer(session, metadata);
    this.measure.show(session, metresOf(metadata));
  }

  private connect(): void {
    const { viewer } = this;
    const cameras = element<HTMLInputElement>('cameras');
    const pictures = element<HTMLInputElement>('pictures');
    const size = element<HTMLInputElement>('point-size');
    const leave = (act: () => void) => () => {
      this.through.hide();
      act();
    };
    element('fit').addEventListener(
      'click',
      leave(() => viewer.fit()),
    );
    element('reset').addEventListener(
      'click',
      leave(() => viewer.reset()),
    );
    element('capture').addEventListener('click', () => void this.capture());
    cameras.addEventListener('change', () => viewer.setCameras(cameras.checked));
    pictures.addEventListener('change', () => viewer.setPictures(pictures.checked));
    size.addEventListener('input', () => viewer.setPointSize(Number(size.value)));
    offerFullScreen(element('full-screen'), element('view'), (message) =>
      this.page.problem(message),
    );
    followColours(viewer);
  }

  private async capture(): Promise<void> {
    try {
      saveFile(await this.viewer.capture(), `${this.page.fileName()}.png`);
    } catch (error) {
      this.page.problem(`the picture could not be made: ${reason(error)}`);
    }
  }
}
