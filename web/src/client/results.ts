/** The newest result of a session: drawn, judged, logged and offered for saving. */

import type { Answer, Engine, Metadata, Other } from 'pointstream/engine';
import { reason } from '../shared/api';
import { element, setText } from '../shared/dom';
import { plural } from '../shared/format';
import type { Picture, Pose } from '../viewer/cameras';
import { describe } from './describe';
import { Downloads } from './downloads';
import type { Log } from './log';
import { countUsed, faults, isEmpty, showFailure, showQuality } from './quality';
import { StoredImages } from './stored';
import type { Thumbnails } from './thumbnails';
import { makeView, type View } from './view';

export class Results {
  private readonly downloads: Downloads;
  private readonly view: View | undefined;
  private readonly picture: Picture = (index, name) => this.thumbnails.picture(index, name);
  private readonly stored: StoredImages;
  /** The session of the newest result. */
  private session: Engine | undefined;

  constructor(
    private readonly log: Log,
    private readonly thumbnails: Thumbnails,
    fileName: () => string,
    private readonly problem: (message: string) => void,
  ) {
    this.downloads = new Downloads(fileName, problem);
    this.view = makeView({ fileName, photos: (pose) => this.photos(pose), problem });
    thumbnails.onLook = (index) => this.view?.look(index);
    this.stored = new StoredImages(thumbnails, () => this.view?.showPictures(this.picture));
  }

  /** Lists images that this page did not send. */
  list(session: Engine, images: Other[]): void {
    void this.stored.list(session, images);
  }

  /** Fetches a result that came before the page. */
  async fetch(session: Engine): Promise<void> {
    try {
      const { answer, glb } = await session.resource.result();
      // An answer that arrived over the socket in the meantime is newer.
      if (!session.signal.aborted && session.answers === 0) {
        this.show(session, answer, glb, session.isOver);
      }
    } catch (error) {
      if (!session.signal.aborted) {
        this.problem(`the result could not be fetched: ${reason(error)}`);
      }
    }
  }

  /** @param last whether this result completed the session. */
  show(session: Engine, answer: Answer, glb: Blob, last: boolean): void {
    const { metadata } = answer;
    this.session = session;
    if (isEmpty(metadata)) {
      // There is nothing to save.
      this.downloads.clear();
    } else {
      this.downloads.offer(session, metadata, metadata.append ? undefined : glb);
    }
    this.log.add(describe(answer, glb, last));
    for (const fault of faults(metadata)) {
      this.log.add(fault);
    }
    showQuality(metadata);
    this.thumbnails.judge(metadata.quality?.frames ?? []);
    void this.draw(session, glb, metadata, last);
    void this.stored.learn(session, metadata);
  }

  /** Says why a request gave nothing, unless an earlier result is shown. */
  fail(message: string): void {
    if (!this.session) {
      showFailure(message);
    }
  }

  /** The server no longer has the session: only what the page has can be saved. */
  gone(): void {
    this.downloads.keepOwn();
  }

  clear(): void {
    this.session = undefined;
    this.downloads.clear();
    this.view?.clear();
    setText(element('facts'), '');
    showQuality();
  }

  /** The photo of a camera: the thumbnail at first, if the photo must be fetched. */
  private async *photos({ index, name }: Pose): AsyncGenerator<Blob> {
    const own = this.thumbnails.photo(index, name);
    if (own) {
      yield own;
      return;
    }
    const small = await this.thumbnails.small(index, name);
    if (small) {
      yield small;
    }
    const stored = this.session && (await this.stored.photo(this.session, index));
    if (stored) {
      yield stored;
    }
  }

  private async draw(session: Engine, glb: Blob, metadata: Metadata, last: boolean): Promise<void> {
    try {
      const points = await this.view?.show(session, { glb, metadata, last }, this.picture);
      if (points !== undefined && !session.signal.aborted) {
        this.thumbnails.offerLooks(this.view?.indices ?? []);
        setText(element('facts'), isEmpty(metadata) ? '' : facts(points, metadata));
      }
    } catch (error) {
      if (!session.signal.aborted) {
        this.problem(`the point cloud cannot be shown: ${reason(error)}`);
      }
    }
  }
}

function facts(points: number, metadata: Metadata): string {
  const { verdict } = metadata.quality ?? {};
  const parts = [plural(points, 'point'), plural(countUsed(metadata), 'camera'), verdict];
  return parts.filter(Boolean).join(' · ');
}
