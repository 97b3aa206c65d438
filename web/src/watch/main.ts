/** Shows a session to somebody who watches it: each result as it comes. */

import { type Answer, type Seen, SessionResource, Watcher } from 'pointstream/engine';
import { reason, Server } from '../shared/api';
import { element, setText } from '../shared/dom';
import { plural } from '../shared/format';
import { saveFile } from '../shared/save';
import { connectTools } from '../viewer/surface';
import { Viewer } from '../viewer/viewer';
import { Pictures } from './pictures';

/** The page connects again for as long as it is open. */
const RETRY = { attempts: Number.POSITIVE_INFINITY, first: 0.5, longest: 15 };

class Watch {
  private readonly resource: SessionResource;
  private readonly pictures: Pictures;
  /** Number of the result that is shown, or being fetched. */
  private shown: number | undefined;
  private seen: Seen | undefined;
  private fetching = false;
  private glb: Blob | undefined;

  constructor(
    private readonly viewer: Viewer,
    server: Server,
    session: string,
  ) {
    this.resource = new SessionResource(server, session);
    this.pictures = new Pictures(this.resource, viewer);
    const watcher = new Watcher(server, session, RETRY, {
      onChange: (seen) => this.changed(seen),
      onDrop: () => tell('lost', 'connection lost, trying again'),
      onEnd: (error) => tell('ended', error.message),
    });
    element('save').addEventListener('click', () => this.save());
    globalThis.addEventListener('pagehide', () => watcher.close());
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
    try {
      while (this.seen?.number !== undefined && this.seen.number !== this.shown) {
        this.shown = this.seen.number;
        const { answer, glb } = await this.resource.result();
        this.glb = glb;
        element('save').hidden = false;
        await this.show(answer, glb);
      }
    } catch (error) {
      // The next change tries again.
      this.shown = undefined;
      setText(element('facts'), `The point cloud cannot be fetched: ${reason(error)}`);
    } finally {
      this.fetching = false;
    }
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
    const server = Server.ofPage();
    const token = location.hash.slice(1);
    if (token) {
      server.tokens.keep(session, token);
    }
    const viewer = new Viewer(element('view'));
    connectTools(viewer, (message) => setText(element('facts'), message));
    new Watch(viewer, server, session);
  } catch (error) {
    tell('ended', reason(error));
  }
}

start();
