/** What the page shows of the session that it works on. */

import type { Need } from '../intake/downscale';
import type { Answer, Metadata } from '../protocol/messages';
import { type Link, type RequestKind, Session, type SessionEvents } from '../protocol/session';
import { reason, type Server } from '../shared/api';
import { element, setText } from '../shared/dom';
import { bytes, count, duration, plural } from '../shared/format';
import { Notice } from '../shared/notice';
import { initialServer, isServed, offerChoice } from './address';
import { Downloads } from './downloads';
import { ParameterForm } from './form';
import { Log } from './log';
import type { ServerInfo } from './parameters';
import { ProgressBar } from './progress';
import { Thumbnails } from './thumbnails';
import { makeView, type View } from './view';

const LINK_TEXTS: Record<Link, string> = {
  connecting: 'connecting',
  open: 'connected',
  lost: 'connection lost',
  ended: 'session ended',
};

export class Reconstruction {
  /** The session, if there is one. */
  current: Session | undefined;
  /** Told when parameters change. */
  onParameters: () => void = () => {};

  private server: Server = initialServer();
  private creating: Promise<Session | undefined> | undefined;
  private live = false;
  private dropped = false;
  private readonly log = new Log();
  private readonly notice = new Notice();
  private readonly progress = new ProgressBar();
  private readonly thumbnails = new Thumbnails();
  private readonly downloads = new Downloads();
  private readonly form = new ParameterForm(() => this.onParameters());
  private readonly view: View | undefined = makeView((message) => this.problem(message));

  /** Connects the page's buttons, and opens the session that the address names. */
  async start(): Promise<void> {
    offerChoice(this.server, (server) => {
      this.server = server;
      this.leave();
      void this.meet();
    });
    element('dashboard').hidden = !isServed();
    element('update').addEventListener('click', () => this.current?.ask('update'));
    element('finish').addEventListener('click', () => this.current?.ask('finish'));
    element('new').addEventListener('click', () => this.leave());
    element('retry').addEventListener('click', () => this.current?.retry());
    for (const input of document.querySelectorAll('[name="workflow"], #update-every')) {
      input.addEventListener('input', () => this.applyWorkflow());
    }
    const session = new URLSearchParams(location.search).get('session');
    if ((await this.meet()) && session) {
      await this.open(session);
    }
  }

  /** The session to add images to; made if there is none. Nothing if it cannot be. */
  async session(): Promise<Session | undefined> {
    if (this.current && !this.current.takesWork) {
      const over = this.current.isOver;
      this.problem(
        over ? 'this session has ended; begin a new one' : 'the session is being finished',
      );
      return undefined;
    }
    if (this.current) {
      return this.current;
    }
    this.creating ??= this.create().finally(() => {
      this.creating = undefined;
    });
    return this.creating;
  }

  /** What the session's resolution needs of an image. */
  need(): Need {
    return {
      resolution: Number(this.form.value('process_res')) || 504,
      method: this.form.value('process_res_method'),
    };
  }

  setPicture(name: string, picture: HTMLCanvasElement): void {
    this.thumbnails.setPicture(name, picture);
  }

  /** Whether the camera is on. */
  setLive(live: boolean): void {
    this.live = live;
    this.applyWorkflow();
  }

  note(message: string): void {
    this.log.add(message);
  }

  problem(message: string): void {
    this.log.add(message, true);
    this.notice.show(message);
  }

  /** Asks the server what it is. */
  private async meet(): Promise<boolean> {
    try {
      this.form.build(await this.server.get<ServerInfo>('/info'));
      this.log.add(`server ${this.server.base}`);
      this.notice.hide();
      return true;
    } catch (error) {
      this.problem(`${reason(error)}; is the server running?`);
      return false;
    }
  }

  private async create(): Promise<Session | undefined> {
    if (!this.form.isBuilt && !(await this.meet())) {
      return undefined;
    }
    const parameters = this.form.parameters();
    if (!parameters) {
      return undefined;
    }
    try {
      this.use(await Session.create(this.server, parameters, this.events()));
      return this.current;
    } catch (error) {
      this.problem(reason(error));
      return undefined;
    }
  }

  /** Goes on with a session that exists. */
  private async open(id: string): Promise<void> {
    try {
      const { session, info } = await Session.attach(this.server, id, this.events());
      this.use(session);
      this.form.fill({ ...info.config, max_images: info.max_images });
      this.log.add(`the session has ${plural(info.image_count, 'image')}`);
      if (info.has_result) {
        const path = `/ws/session/${session.id}/result`;
        const answer = await this.server.get<Answer>(path, { format: 'json' });
        this.result(answer, await this.server.getBytes(path, { format: 'glb' }));
      }
    } catch (error) {
      this.problem(reason(error));
      this.remember(undefined);
    }
  }

  private use(session: Session): void {
    this.current = session;
    this.remember(session.id);
    this.applyWorkflow();
    this.showActions();
    element('welcome').hidden = true;
    this.log.add(`session ${session.id}`);
  }

  /** Leaves the session, which lives on at the server until it expires. */
  private leave(): void {
    this.current?.close();
    this.current = undefined;
    this.remember(undefined);
    this.thumbnails.clear();
    this.downloads.clear();
    this.progress.hide();
    this.notice.hide();
    this.view?.clear();
    setText(element('facts'), '');
    element('welcome').hidden = false;
    element('retry').hidden = true;
    const link = element('link');
    link.dataset.link = 'none';
    setText(link, 'no session');
    this.showActions();
  }

  /** The page's address names the session, so that reloading comes back to it. */
  private remember(session: string | undefined): void {
    const url = new URL(location.href);
    if (session) {
      url.searchParams.set('session', session);
    } else {
      url.searchParams.delete('session');
    }
    history.replaceState(null, '', url);
  }

  private events(): SessionEvents {
    return {
      onLink: (link, detail) => this.showLink(link, detail),
      onImage: (image) => {
        this.thumbnails.show(image);
        if (image.state === 'refused') {
          this.log.add(`${image.name} was refused: ${image.reason}`, true);
        }
        this.showActions();
      },
      onRequest: (kind) => this.asked(kind),
      onProgress: (progress) => this.progress.step(progress),
      onAnswer: (answer, glb) => {
        this.progress.done();
        this.result(answer, glb);
      },
      onFailure: (message) => {
        this.progress.fail(message);
        this.log.add(message, true);
      },
      onNote: (message) => this.log.add(message, true),
      onChange: () => this.showActions(),
    };
  }

  private asked(kind: RequestKind): void {
    this.progress.begin();
    this.log.add(kind === 'finish' ? 'asked to finish' : 'asked for an update');
  }

  private result(answer: Answer, glb: ArrayBuffer): void {
    const { metadata } = answer;
    if (this.current) {
      this.downloads.offer(this.current.server, this.current.id, glb);
    }
    this.log.add(describe(answer, glb));
    const lost = metadata.unregistered_frames ?? [];
    if (lost.length > 0) {
      this.log.add(`do not fit the others: ${lost.join(', ')}`);
    }
    void this.draw(glb, metadata);
  }

  private async draw(glb: ArrayBuffer, metadata: Metadata): Promise<void> {
    try {
      const picture = (name: string) => this.thumbnails.picture(name);
      const points = await this.view?.show(glb, metadata, picture);
      if (points !== undefined) {
        const cameras = metadata.num_frames - (metadata.unregistered_frames?.length ?? 0);
        setText(element('facts'), `${count(points)} points · ${plural(cameras, 'camera')}`);
      }
    } catch (error) {
      this.problem(`the point cloud cannot be shown: ${reason(error)}`);
    }
  }

  private showLink(link: Link, detail: string): void {
    const pill = element('link');
    pill.dataset.link = link;
    setText(pill, detail && link === 'lost' ? `${LINK_TEXTS[link]}, ${detail}` : LINK_TEXTS[link]);
    element('retry').hidden = link !== 'lost';
    if (link === 'lost' || link === 'ended') {
      this.log.add(`${LINK_TEXTS[link]}: ${detail}`, true);
    } else if (this.dropped && link === 'open') {
      this.log.add(detail);
      this.notice.show('Connected again. The session goes on where it was.');
    }
    this.dropped = link === 'lost' || (this.dropped && link === 'connecting');
    if (link === 'ended') {
      this.progress.hide();
      this.notice.show(`The session has ended: ${detail}.`);
    }
    this.showActions();
  }

  private showActions(): void {
    const session = this.current;
    const images = session
      ? session.uploads.foreign + session.uploads.in('queued', 'sent', 'acknowledged').length
      : 0;
    const ready = Boolean(session?.takesWork) && images > 0;
    element<HTMLButtonElement>('update').disabled = !ready || Boolean(session?.busy);
    element<HTMLButtonElement>('finish').disabled = !ready;
    const over = Boolean(session?.isOver);
    element('update').hidden = over;
    element('finish').hidden = over;
    element('new').hidden = !session;
    element('new').classList.toggle('primary', over);
  }

  private applyWorkflow(): void {
    const input = element<HTMLInputElement>('update-every');
    const grow = element<HTMLInputElement>('workflow-grow').checked;
    if (this.current) {
      this.current.live = this.live;
      this.current.updateEvery = grow ? Math.max(1, Math.round(Number(input.value)) || 1) : 0;
      this.current.settingsChanged();
    }
  }
}

function describe({ type, image_count, metadata }: Answer, glb: ArrayBuffer): string {
  const parts = [
    type === 'delta' ? 'update' : 'final result',
    plural(image_count, 'image'),
    plural(metadata.num_points ?? 0, 'point'),
    bytes(glb.byteLength),
  ];
  if (metadata.timings?.total !== undefined) {
    parts.push(duration(metadata.timings.total));
  }
  if (metadata.aligned === false) {
    parts.push('not aligned with the results before');
  }
  return parts.join(', ');
}
