/** One reconstruction: its images, its requests and their answers over connections that may drop. */

import { reason, type Server } from '../shared/api';
import { fromBase64, toBase64 } from './base64';
import { Connection } from './connection';
import { decodeFrame, encodeFrame } from './frames';
import {
  type Answer,
  type Created,
  type Progress,
  parseMessage,
  type ServerMessage,
  type SessionInfo,
} from './messages';
import { type Image, Uploads } from './uploads';

export type Link = 'connecting' | 'open' | 'lost' | 'ended';
export type RequestKind = 'update' | 'finish';

export interface SessionEvents {
  onLink(link: Link, detail: string): void;
  onImage(image: Image): void;
  onRequest(kind: RequestKind): void;
  onProgress(progress: Progress): void;
  onAnswer(answer: Answer, glb: ArrayBuffer): void;
  /** A request failed. */
  onFailure(message: string): void;
  onNote(message: string): void;
  /** What may be asked changed. */
  onChange(): void;
}

/** Fewer images than this give nothing to triangulate, so no update is asked by itself. */
const FEWEST_IMAGES = 2;
/** Pause between two looks at whether the server still stores images of a lost connection. */
const SETTLE_MS = 400;

export class Session {
  readonly uploads: Uploads;
  /** Ask for an update after so many images; 0 asks for none. */
  updateEvery = 0;
  /** Whether images come without end, so that an empty queue means nothing. */
  live = false;

  private readonly connection: Connection;
  private pending: RequestKind | undefined;
  /** Asked for, but not sent yet: images come first. */
  private wanted: RequestKind | undefined;
  private sinceRequest = 0;
  private greeted = false;
  /** Whether the server speaks binary messages; those that only know JSON are served as well. */
  private binary = false;
  private settling = false;
  /** Counts connections and drops, so that what was begun on an earlier one is given up. */
  private epoch = 0;
  private sending = false;
  private lastError = '';
  /** Resolved by the next pong after a reconnection. */
  private pong: (() => void) | undefined;
  private answersSinceGreeting = 0;
  private state: 'open' | 'completed' | 'ended' = 'open';

  static async create(server: Server, parameters: Record<string, string>, events: SessionEvents) {
    const created = await server.post<Created>('/ws/session/create', parameters);
    return new Session(server, created.session_id, false, events);
  }

  /** Attaches to a session that exists. */
  static async attach(server: Server, id: string, events: SessionEvents) {
    const info = await server.get<SessionInfo>(`/ws/session/${encodeURIComponent(id)}`);
    const session = new Session(server, info.session_id, true, events);
    session.uploads.foreign = info.image_count;
    if (info.status === 'completed') {
      session.state = 'completed';
    } else if (info.status === 'processing' && !info.connections) {
      // Nobody else waits for it, so its answer comes here.
      session.pending = 'update';
    }
    return { session, info };
  }

  private constructor(
    readonly server: Server,
    readonly id: string,
    resume: boolean,
    private readonly events: SessionEvents,
  ) {
    this.uploads = new Uploads((image) => this.imageChanged(image));
    this.connection = new Connection(server, id, resume, {
      onOpen: (again) => this.opened(again),
      onData: (data) => this.received(data),
      onDrop: (pause) => this.dropped(pause),
      onEnd: (why) => this.end(this.greeted ? why : this.lastError || why),
      onRoom: () => void this.pump(),
    });
    events.onLink('connecting', '');
  }

  /** Whether it takes images and requests. */
  get takesWork(): boolean {
    return this.state === 'open' && this.wanted !== 'finish' && this.pending !== 'finish';
  }

  get busy(): boolean {
    return this.pending !== undefined || this.wanted !== undefined;
  }

  get isOver(): boolean {
    return this.state !== 'open';
  }

  /** Asks for a point cloud of all images so far. */
  ask(kind: RequestKind): void {
    if (this.wanted !== 'finish') {
      this.wanted = kind;
    }
    this.events.onChange();
    void this.pump();
  }

  /** `updateEvery` or `live` changed. */
  settingsChanged(): void {
    void this.pump();
  }

  retry(): void {
    this.connection.retry();
  }

  /** Leaves; the session lives on at the server. */
  close(): void {
    this.state = 'ended';
    this.connection.close();
  }

  async delete(): Promise<void> {
    this.close();
    await this.server.delete(`/ws/session/${this.id}`);
  }

  private imageChanged(image: Image): void {
    this.events.onImage(image);
    if (image.state === 'queued' || image.state === 'refused') {
      void this.pump();
    }
  }

  /** Sends what may be sent now. */
  private async pump(): Promise<void> {
    if (this.sending) {
      return;
    }
    this.sending = true;
    try {
      while (this.canSend()) {
        const image = this.uploads.next();
        if (!image?.data) {
          this.request();
          break;
        }
        const message = await this.encode(image.name, image.data);
        // The connection may have dropped, or the image been given up, in the meantime.
        if (!this.canSend() || image.state !== 'queued') {
          continue;
        }
        this.connection.send(message);
        this.sinceRequest += 1;
        this.uploads.sent(image);
        this.request();
      }
    } catch (error) {
      this.events.onNote(`an image could not be read: ${reason(error)}`);
    } finally {
      this.sending = false;
    }
  }

  private async encode(filename: string, file: Blob): Promise<string | ArrayBuffer> {
    return this.binary
      ? encodeFrame({ type: 'image', filename }, file)
      : JSON.stringify({ type: 'image', data: await toBase64(file), filename });
  }

  private canSend(): boolean {
    return this.state === 'open' && this.greeted && !this.settling && this.connection.hasRoom();
  }

  /** Sends a request if one is due. */
  private request(): void {
    if (this.pending || !this.canSend()) {
      return;
    }
    const { drained } = this.uploads;
    if (this.wanted === 'finish') {
      if (drained) {
        this.sendRequest('finish');
      }
    } else if (this.wanted === 'update' || this.updateIsDue(drained)) {
      this.sendRequest('update');
    }
  }

  private updateIsDue(drained: boolean): boolean {
    if (!this.updateEvery || this.sinceRequest === 0) {
      return false;
    }
    const images = this.uploads.foreign + this.uploads.in('sent', 'acknowledged').length;
    const rest = drained && !this.live;
    return images >= FEWEST_IMAGES && (rest || this.sinceRequest >= this.updateEvery);
  }

  private sendRequest(kind: RequestKind): void {
    this.pending = kind;
    this.wanted = undefined;
    this.sinceRequest = 0;
    this.connection.send(
      JSON.stringify(
        kind === 'finish' ? { type: 'finalize' } : { type: 'generate', incremental: true },
      ),
    );
    this.events.onRequest(kind);
    this.events.onChange();
  }

  private received(data: string | ArrayBuffer): void {
    try {
      const frame = typeof data === 'string' ? undefined : decodeFrame(data);
      const message = parseMessage(frame?.header ?? String(data));
      if (message) {
        this.handle(message, frame?.bytes);
      }
    } catch (error) {
      this.events.onNote(reason(error));
    }
  }

  private handle(message: ServerMessage, glb?: ArrayBuffer): void {
    switch (message.type) {
      case 'connected':
        this.binary = message.binary === true;
        this.greet(message.image_count, message.max_images);
        break;
      case 'ack':
        this.uploads.acknowledged(message.image_path, message.image_count);
        break;
      case 'progress':
        this.events.onProgress(message);
        break;
      case 'delta':
      case 'complete':
        this.answered(message, glb);
        break;
      case 'error':
        void this.refused(message.message);
        break;
      case 'pong':
        this.pong?.();
        this.pong = undefined;
        break;
    }
    void this.pump();
  }

  private answered(
    { glb_base64, ...answer }: Answer & { glb_base64?: string },
    glb = fromBase64(glb_base64 ?? '').buffer,
  ): void {
    this.answersSinceGreeting += 1;
    if (answer.type === 'complete' && this.pending === 'finish') {
      this.state = 'completed';
    }
    this.pending = undefined;
    this.events.onAnswer(answer, glb);
    this.events.onChange();
  }

  /** An error does not say what it answers: an image under way or the request. */
  private async refused(message: string): Promise<void> {
    this.lastError = message;
    if (!this.greeted) {
      return;
    }
    const images = this.uploads.in('sent').length > 0;
    if (this.pending && (!images || (await this.isRequestsError(message)))) {
      this.answersSinceGreeting += 1;
      this.pending = undefined;
      this.events.onFailure(message);
      this.events.onChange();
    } else if (!this.uploads.refused(message)) {
      this.events.onNote(message);
    }
    void this.pump();
  }

  private async isRequestsError(message: string): Promise<boolean> {
    try {
      return (await this.info()).error_message === message;
    } catch {
      return false;
    }
  }

  private info(): Promise<SessionInfo> {
    return this.server.get<SessionInfo>(`/ws/session/${this.id}`);
  }

  private opened(again: boolean): void {
    this.epoch += 1;
    this.greeted = false;
    this.settling = again;
  }

  private greet(stored: number, limit: number): void {
    this.greeted = true;
    this.answersSinceGreeting = 0;
    this.uploads.connected(stored, limit);
    if (this.settling) {
      void this.settle(stored);
    } else {
      this.events.onLink('open', '');
    }
  }

  /** Finds out what became of the images and the request under way when the connection dropped. */
  private async settle(stored: number): Promise<void> {
    const { epoch } = this;
    const info = await this.settled(stored).catch((error) => {
      this.events.onNote(`the session could not be looked at: ${reason(error)}`);
    });
    if (epoch !== this.epoch) {
      return;
    }
    // What ended before the question above comes before the answer of a ping.
    await new Promise<void>((resolve) => {
      this.pong = resolve;
      this.connection.send('{"type":"ping"}');
    });
    if (epoch !== this.epoch) {
      return;
    }
    this.uploads.reconnected(info?.image_count ?? stored);
    const running = !info || info.status === 'processing' || Boolean(info.requests);
    if (this.pending && !running && this.answersSinceGreeting === 0) {
      this.askAgain(info);
    }
    this.settling = false;
    this.events.onLink('open', 'connected again; the session goes on where it was');
    void this.pump();
  }

  /** The session once it stores nothing more of what an earlier connection sent. */
  private async settled(stored: number): Promise<SessionInfo> {
    let info = await this.info();
    for (let arrived = stored; this.uploads.in('sent').length > 0; arrived = info.image_count) {
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      info = await this.info();
      if (info.image_count === arrived) {
        break;
      }
    }
    return info;
  }

  /** The request did not arrive. */
  private askAgain(info: SessionInfo): void {
    const kind = this.pending;
    this.pending = undefined;
    if (info.status === 'completed') {
      this.state = 'completed';
      this.events.onChange();
    } else {
      this.wanted = kind;
    }
  }

  private dropped(pauseMs: number): void {
    this.epoch += 1;
    this.greeted = false;
    this.pong = undefined;
    this.events.onLink('lost', `trying again in ${Math.round(pauseMs / 100) / 10} s`);
  }

  private end(why: string): void {
    this.state = 'ended';
    this.pending = undefined;
    this.wanted = undefined;
    this.uploads.refuseWaiting(why);
    for (const image of this.uploads.in('sent')) {
      this.uploads.refuse(image, why);
    }
    this.events.onLink('ended', why);
    this.events.onChange();
  }
}
