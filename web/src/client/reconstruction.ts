/** The page's current session: connects its events with the view, the log and the buttons. */

import {
  attachSession,
  createSession,
  type Engine,
  type EngineEvents,
  type Found,
  type Limits,
  type Link,
  type RequestKind,
  ServerError,
} from 'pointstream/engine';
import type { Need } from '../intake/downscale';
import { RETRY, reason, type Server } from '../shared/api';
import { Backoff } from '../shared/backoff';
import { element } from '../shared/dom';
import { plural } from '../shared/format';
import { Notice } from '../shared/notice';
import { Once } from '../shared/once';
import { SignIn } from '../shared/sign-in';
import { showActions } from './actions';
import { initialServer, isServed, namedSession, nameSession, offerChoice } from './address';
import { ParameterForm } from './form';
import { Log } from './log';
import { Operations } from './operations';
import type { ServerInfo } from './parameters';
import { ProgressBar } from './progress';
import { Results } from './results';
import { Sessions } from './sessions';
import { Share } from './share';
import { LinkStatus, showStatus } from './status';
import { Thumbnails } from './thumbnails';
import { Updates } from './updates';

/** Pauses between attempts to open the session named in the address. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;

export class Reconstruction {
  /** The current session, if any. */
  current: Engine | undefined;
  /** Called when parameters change. */
  onParameters: () => void = () => {};

  server: Server = initialServer();
  /** Whether the server extracts frames of videos. */
  readsVideos = false;
  private limits: Limits = {};
  /** Aborted when the page leaves the current session. */
  private turn = new AbortController();
  /** The session named in the address, until it is open. */
  private asked: string | undefined;
  private readonly backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly creating = new Once<Engine | undefined>();
  private readonly arriving = new Once<void>();
  private live = false;
  private readonly log = new Log();
  private readonly notice = new Notice();
  private readonly status = new LinkStatus(this.log, this.notice);
  private readonly progress = new ProgressBar();
  private readonly thumbnails = new Thumbnails();
  private readonly form = new ParameterForm(() => this.onParameters());
  private readonly operations = new Operations(this, this.form, this.log);
  private readonly sessions = new Sessions((id) => void this.operations.open(id));
  private readonly results = new Results(
    this.log,
    this.thumbnails,
    () => this.sessions.fileName,
    (why) => this.problem(why),
  );

  /** Connects the page's buttons and opens the session named in the address. */
  async start(): Promise<void> {
    offerChoice(this.server, (server) => {
      // If the session could not be opened, try it at the new server.
      const { asked } = this;
      this.server = server;
      this.leave();
      this.await(asked);
      void this.arrive();
    });
    new SignIn(
      () => this.server.credentials,
      () => void this.arrive(),
    );
    new Share(
      () => this.current,
      (why) => this.problem(why),
    );
    element('dashboard').hidden = !isServed();
    this.operations.connect();
    element('retry').addEventListener('click', () => this.retry());
    globalThis.addEventListener('online', () => {
      if (this.asked) {
        void this.arrive();
      }
    });
    for (const input of document.querySelectorAll('[name="workflow"], #update-every')) {
      input.addEventListener('input', () => this.applyWorkflow());
    }
    this.asked = namedSession();
    await this.arrive();
  }

  /** The session to add images to; creates one if needed. Undefined if that fails. */
  async session(): Promise<Engine | undefined> {
    if (this.asked) {
      await this.arrive();
    }
    if (this.current?.isOver) {
      // The server keeps it: the images begin a new one.
      this.log.add('these images begin a new session');
      this.leave();
    } else if (this.current && !this.current.takesWork) {
      this.problem(
        'the final result is being made; add images when it is there, or press “Cancel”',
      );
      return undefined;
    }
    if (this.current || this.asked) {
      // Create no other session while the one named in the address is not open yet.
      return this.current;
    }
    return this.creating.do(() => this.create());
  }

  /** The image size needed by a session's resolution, or by that of the next session. */
  need(session: Engine | undefined = this.current): Need {
    const value = (name: string) => session?.config?.[name] ?? this.form.value(name);
    return {
      resolution: Number(value('process_res')) || 504,
      method: String(value('process_res_method')),
    };
  }

  /** Shows an image, and keeps its photo for the view. */
  setPicture(name: string, picture: HTMLCanvasElement, photo: Blob): void {
    this.thumbnails.setPicture(name, picture);
    this.thumbnails.setPhoto(name, photo);
  }

  /** Sets whether the camera is on. */
  setLive(live: boolean): void {
    this.live = live;
    this.applyWorkflow();
  }

  deleted({ server, id }: Engine): void {
    this.sessions.forget(server, id);
  }

  /** Names the session after a folder or a video, unless it has a name. */
  suggest(name: string): void {
    this.sessions.suggest(name);
  }

  note(message: string): void {
    this.log.add(message);
  }

  problem(message: string): void {
    this.log.add(message, true);
    this.notice.show(message);
  }

  /** Reads the server's limits and opens the session named in the address. */
  private arrive(): Promise<void> {
    clearTimeout(this.timer);
    return this.arriving.do(() => this.meetAndOpen());
  }

  private async meetAndOpen(): Promise<void> {
    const { signal } = this.turn;
    if ((await this.meet()) && this.asked && !signal.aborted) {
      await this.open(this.asked);
    }
    if (this.asked && !signal.aborted) {
      clearTimeout(this.timer);
      showStatus('lost', 'session not opened yet');
      this.showActions();
      this.timer = setTimeout(() => void this.arrive(), this.backoff.next());
    }
  }

  private retry(): void {
    if (this.current) {
      this.current.retry();
    } else if (this.asked) {
      void this.arrive();
    }
  }

  private async meet(): Promise<boolean> {
    const { server } = this;
    try {
      const info = await server.get<ServerInfo>('/info');
      if (server !== this.server) {
        return false;
      }
      this.limits = info.limits;
      this.readsVideos = info.inputs?.videos === true;
      if (!this.current) {
        this.form.build(info);
      }
      this.log.add(`server ${server.base}`);
      void this.sessions.check(server);
      this.notice.hide();
      return true;
    } catch (error) {
      if (server === this.server) {
        this.problem(reason(error));
      }
      return false;
    }
  }

  private async create(): Promise<Engine | undefined> {
    const { signal } = this.turn;
    if (!this.form.isBuilt && !(await this.meet())) {
      return undefined;
    }
    const parameters = this.form.parameters();
    if (!parameters || signal.aborted) {
      return undefined;
    }
    const { limits } = this;
    try {
      const session = await createSession(this.server, parameters, this.events(), {
        limits,
        signal,
        retry: RETRY,
      });
      this.use(session);
      // What nobody chose may be less than the usual: a token can have limits of its own.
      this.form.fill(session.config ?? {});
      return session;
    } catch (error) {
      if (!signal.aborted) {
        this.problem(reason(error));
      }
      return undefined;
    }
  }

  /** Attaches to an existing session. */
  private async open(id: string): Promise<void> {
    const { limits } = this;
    const { signal } = this.turn;
    try {
      const found = await attachSession(this.server, id, this.events(), {
        limits,
        signal,
        retry: RETRY,
      });
      this.asked = undefined;
      this.backoff.reset();
      this.opened(found);
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      this.problem(reason(error));
      if (error instanceof ServerError && error.status === 404) {
        this.sessions.forget(this.server, id);
        this.await(undefined);
        this.status.reset();
        this.showActions();
      }
    }
  }

  private opened({ session, info, images }: Found): void {
    this.use(session);
    this.form.fill({ ...info.config, max_images: info.max_images });
    this.log.add(`the session has ${plural(info.image_count, 'image')}`);
    if (session.busy) {
      this.progress.begin();
    }
    if (images) {
      this.results.list(session, images);
    }
    if (info.has_result) {
      void this.results.fetch(session);
    } else if (info.error_message) {
      this.results.fail(info.error_message);
    }
  }

  private use(session: Engine): void {
    this.current = session;
    nameSession(session.id);
    this.sessions.use(session);
    this.applyWorkflow();
    this.showActions();
    element('welcome').hidden = true;
    this.log.add(`session ${session.id}`);
    this.onParameters();
  }

  /** Leaves the session for another one. */
  async go(id: string): Promise<void> {
    this.leave();
    this.await(id);
    await this.arrive();
  }

  /** Leaves the session; the server keeps it until it expires. */
  leave(): void {
    this.turn.abort();
    this.turn = new AbortController();
    this.creating.forget();
    this.arriving.forget();
    clearTimeout(this.timer);
    this.current?.close();
    this.current = undefined;
    this.sessions.leave();
    this.await(undefined);
    this.thumbnails.clear();
    this.results.clear();
    this.progress.hide();
    this.notice.hide();
    element('welcome').hidden = false;
    this.status.reset();
    this.showActions();
    this.onParameters();
  }

  /** Sets the session to open. */
  private await(session: string | undefined): void {
    this.asked = session;
    nameSession(session);
  }

  private events(): EngineEvents {
    const updates = new Updates();
    return {
      onLink: (link) => this.showLink(link),
      onImage: (image) => {
        this.thumbnails.show(image);
        if (image.state === 'refused') {
          this.log.add(`${image.name} was refused: ${image.reason}`, true);
        }
        this.showActions();
      },
      onRequest: ({ kind }) => this.requested(kind),
      onProgress: (progress) => this.progress.step(progress),
      onAnswer: (answer, glb, last) => {
        this.progress.done();
        if (this.current && !this.current.isKnown(answer)) {
          const file = new Blob([glb], { type: 'model/gltf-binary' });
          const metadata = updates.whole(answer.metadata);
          this.results.show(this.current, { ...answer, metadata }, file, last);
        }
      },
      onPoses: () => {},
      onFailure: (error, request) => this.failed(error, request.cancelled),
      onNote: ({ message }) => this.log.add(message, true),
      onChange: () => this.showActions(),
    };
  }

  private requested(kind: RequestKind): void {
    this.progress.begin();
    this.log.add(kind === 'finish' ? 'asked to finish' : 'asked for an update');
  }

  private failed(error: Error, cancelled: boolean): void {
    const { message } = error;
    const code = error instanceof ServerError ? error.code : undefined;
    if (cancelled || code === 'cancelled') {
      this.progress.hide();
      this.log.add('the request was taken back');
    } else if (!this.current?.isGone) {
      // What ended with the session needs no word of its own.
      this.progress.fail(message);
      this.results.fail(message);
      this.log.add(message, true);
    }
  }

  private showLink(link: Link): void {
    this.status.show(link);
    if (link.state === 'ended') {
      this.progress.hide();
      this.results.gone();
      this.sessions.gone(link.error);
    }
    this.showActions();
  }

  private showActions(): void {
    showActions(this.current, Boolean(this.current ?? this.asked));
    this.progress.follow(this.current);
    this.sessions.note(this.thumbnails.first());
  }

  private applyWorkflow(): void {
    const input = element<HTMLInputElement>('update-every');
    const grow = element<HTMLInputElement>('workflow-grow').checked;
    const every = grow ? Math.max(1, Math.round(Number(input.value)) || 1) : 0;
    this.current?.updateEvery(every, grow, this.live);
  }
}
