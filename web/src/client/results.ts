/** The newest result of a session: drawn, judged, logged and offered for saving. */

import type { Answer, Engine, Metadata, Other } from 'pointstream/engine';
import { reason } from '../shared/api';
import { element, setText } from '../shared/dom';
import { count, plural } from '../shared/format';
import type { Picture } from '../viewer/cameras';
import { describe } from './describe';
import { Downloads } from './downloads';
import type { Log } from './log';
import { countUsed, faults, showQuality } from './quality';
import { StoredImages } from './stored';
import type { Thumbnails } from './thumbnails';
import { makeView, type View } from './view';

export class Results {
  private readonly downloads = new Downloads((why) => this.problem(why));
  private readonly view: View | undefined = makeView((message) => this.problem(message));
  private readonly picture: Picture = (index, name) => this.thumbnails.picture(index, name);
  private readonly stored: StoredImages;

  constructor(
    private readonly log: Log,
    private readonly thumbnails: Thumbnails,
    private readonly problem: (message: string) => void,
  ) {
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
    this.downloads.offer(session, metadata.append ? undefined : glb);
    this.log.add(describe(answer, glb, last));
    for (const fault of faults(metadata)) {
      this.log.add(fault);
    }
    showQuality(metadata.quality);
    void this.draw(session, glb, metadata, last);
    void this.stored.learn(session, metadata);
  }

  clear(): void {
    this.downloads.clear();
    this.view?.clear();
    setText(element('facts'), '');
    showQuality();
  }

  private async draw(session: Engine, glb: Blob, metadata: Metadata, last: boolean): Promise<void> {
    try {
      const points = await this.view?.show({ glb, metadata, last }, this.picture);
      if (points !== undefined && !session.signal.aborted) {
        const facts = [`${count(points)} points`, plural(countUsed(metadata), 'camera')];
        if (metadata.quality) {
          facts.push(metadata.quality.verdict);
        }
        setText(element('facts'), facts.join(' · '));
      }
    } catch (error) {
      if (!session.signal.aborted) {
        this.problem(`the point cloud cannot be shown: ${reason(error)}`);
      }
    }
  }
}
