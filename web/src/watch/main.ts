/** Shows a session to somebody who watches it: each result as it comes. */

import {
  type Answer,
  GivenTokens,
  type Seen,
  Server,
  SessionResource,
  Watcher,
} from 'pointstream/engine';
import { RETRY, reason } from '../shared/api';
import { Backoff } from '../shared/backoff';
import { element, setText } from '../shared/dom';
import { plural } from '../shared/format';
import { saveFile } from '../shared/save';
import { connectTools } from '../viewer/surface';
import { Viewer } from '../viewer/viewer';
import { Pictures } from './pictures';

/** Pauses between attempts to fetch a result, in milliseconds. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30_000;

class Watch {
  private readonly resource: SessionResource;
  private readonly pictures: Pictures;
  /** Number of the result that is shown. */
  private shown = 0;
  private seen: Seen | undefined;
  private fetching = false;
  private ended = false;
  private readonly backoff = new Backoff(FIRST_PAUSE, LONGEST_PAUSE);
  private glb: Blob | undefined;

  constructor(
    private readonly viewer: Viewer,
    server: Server,
    session: string,
  ) {
    this.resource = new SessionResource(server, session);
    this.pictures = new Pictures(this.resource, viewer);
    new Watcher(server, session, RETRY, {
      onChange: (seen) => this.changed(seen),
      onDrop: ({ reason }) => tell('lost', `${plain(reason)}, trying again`),
      onEnd: (error) => {
        this.ended = true;
        tell('ended', error.message);
      },
    });
    element('save').addEventListener('click', () => this.save());
  }

  private changed(seen: Seen): void {
    this.seen = seen;
    tell('open', state(seen));
    if (seen.number === undefined) {
      setText(element('facts'), `${plural(seen.imageCount, 'photo')}, and no point cloud yet`);
    }
    void this.fetch();
  }

  /** Fetches the newest result, one after another: those in between are left out. */
  private async fetch(): Promise<void> {
    if (this.fetching) {
      return;
    }
    this.fetching = true;
    while (!this.ended && this.newest > this.shown) {
      const wanted = this.newest;
      try {
        const { answer, glb } = await this.resource.result();
        this.backoff.reset();
        this.shown = answer.number ?? wanted;
        this.glb = glb;
        element('save').hidden = false;
        await this.show(answer, glb);
      } catch (error) {
        setText(element('facts'), `The point cloud cannot be fetched: ${reason(error)}`);
        await new Promise((resolve) => setTimeout(resolve, this.backoff.next()));
      }
    }
    this.fetching = false;
  }

  /** Number of the newest result, as far as is known. */
  private get newest(): number {
    return this.seen?.number ?? 0;
  }

  private async show({ metadata }: Answer, glb: Blob): Promise<void> {
    const last = this.seen?.status === 'completed';
    const points = await this.viewer.show({ glb, metadata, last }, this.pictures.picture);
    const cameras = plural(this.viewer.poses.length, 'camera');
    setText(element('facts'), `${plural(points ?? 0, 'point')}, ${cameras}`);
    void this.pictures.fetch(this.viewer.poses.map(({ index }) => index));
  }

  private save(): void {
    if (this.glb) {
      saveFile(this.glb, 'pointstream.glb');
    }
  }
}

/** Why a connection was lost, without the code of the error. */
function plain(reason: string): string {
  return reason.replace(/^[a-z_]+: /, '') || 'connection lost';
}

function state({ status }: Seen): string {
  return status === 'completed' ? 'finished' : 'live';
}

function tell(link: string, text: string): void {
  const pill = element('link');
  pill.dataset.link = link;
  setText(pill, text);
}

function start(): void {
  const session = new URLSearchParams(location.search).get('session');
  if (!session) {
    tell('ended', 'the address names no session');
    return;
  }
  try {
    // Kept nowhere: the page of who uses the session may be in this tab, too.
    const token = location.hash.slice(1) || undefined;
    const tokens = () => new GivenTokens(token);
    const server = new Server(new URL('.', location.href).href, { tokens });
    const viewer = new Viewer(element('view'));
    connectTools(viewer, (message) => setText(element('facts'), message));
    new Watch(viewer, server, session);
  } catch (error) {
    tell('ended', reason(error));
  }
}

start();
