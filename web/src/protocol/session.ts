/** One reconstruction: uploads, requests and answers over a connection that may drop. */

import { reason, type Server } from '../shared/api';
import { Blame } from './blame';
import { Connection } from './connection';
import { encodeImage, encodeRequest } from './encode';
import { type SessionEvents, SILENT } from './events';
import { Ids } from './ids';
import { type Incoming, readMessage } from './inbox';
import type { Answer, Config, Limits, SessionInfo } from './messages';
import { type RequestKind, Requests } from './requests';
import { SessionResource, type Settled } from './resource';
import { Updates } from './updates';
import { type Image, Uploads } from './uploads';

/** Initial knowledge about a session. */
export interface Beginning {
  /** The session's parameters; undefined for older servers. */
  config: Config | undefined;
  /** The server's limits. */
  limits: Limits;
  /** The server's state of the session, if it existed before. */
  info?: SessionInfo;
}

export class Session {
  readonly uploads: Uploads;
  readonly resource: SessionResource;
  readonly config: Config | undefined;
  readonly limits: Limits;
  readonly requests = new Requests();
  /** Whether updates are requested as incremental. */
  incremental = true;
  /** Number of answers received. */
  answers = 0;

  private readonly connection: Connection;
  private readonly attached: boolean;
  private readonly ids = new Ids();
  private readonly left = new AbortController();
  private greeted = false;
  /** Whether the server supports binary messages; older servers support only JSON. */
  private binary = false;
  /** Whether the server repeats identifiers in its answers. */
  private correlates = false;
  private settling = false;
  /** Whether undelivered answers may arrive first. */
  private expecting = false;
  /** Counts connections and drops, so that work started on an earlier one is cancelled. */
  private epoch = 0;
  private sending = false;
  private readonly blame = new Blame();
  private readonly updates: Updates;
  /** Resolved by the next pong after a reconnection. */
  private pong: (() => void) | undefined;
  private answersSinceGreeting = 0;
  private state: 'open' | 'completed' | 'ended' = 'open';

  /** Connects to the session; `createSession` and `attachSession` provide the arguments. */
  constructor(
    readonly server: Server,
    readonly id: string,
    { config, limits, info }: Beginning,
    private events: SessionEvents,
  ) {
    this.config = config;
    this.limits = limits;
    this.attached = info !== undefined;
    this.updates = Updates.of(config);
    this.resource = new SessionResource(server, id);
    this.uploads = new Uploads((image) => this.imageChanged(image), this.ids);
    if (info) {
      this.goOn(info);
    }
    this.connection = new Connection(server, id, this.attached, {
      onOpen: (again) => this.opened(again),
      onData: (data) => this.received(data),
      onDrop: (pause, code) => this.dropped(pause, code),
      onEnd: (why) => this.end(this.greeted ? why : this.blame.lastError || why),
      onRoom: () => void this.pump(),
      isAnswerDue: () => this.expecting || this.requests.isAnswerDue,
      parameters: () => this.updates.parameters(),
    });
    events.onLink('connecting', '');
  }

  /** Aborted when the page leaves the session; no event follows. */
  get signal(): AbortSignal {
    return this.left.signal;
  }

  /** Whether the session accepts images and requests. */
  get takesWork(): boolean {
    return this.state === 'open' && !this.requests.finishing;
  }

  get busy(): boolean {
    return this.requests.busy;
  }

  get isOver(): boolean {
    return this.state !== 'open';
  }

  /** Whether the server no longer has the session. */
  get isGone(): boolean {
    return this.state === 'ended';
  }

  /** Requests a point cloud of all images so far. */
  ask(kind: RequestKind): void {
    this.requests.want(kind);
    this.events.onChange();
    void this.pump();
  }

  /** Takes the session's requests back; the server answers each with an error. */
  async cancel(): Promise<void> {
    this.requests.unwant();
    this.events.onChange();
    if (this.requests.pending) {
      await this.resource.cancel();
    }
  }

  /** Applies changed settings for automatic updates. */
  settingsChanged(): void {
    void this.pump();
  }

  retry(): void {
    this.connection.retry();
  }

  /** Disconnects; the server keeps the session. */
  close(): void {
    this.events = SILENT;
    this.state = 'ended';
    this.connection.close();
    this.left.abort();
  }

  /** Continues the work of an earlier page load. */
  private goOn({ image_count, status, connections }: SessionInfo): void {
    this.uploads.foreign = image_count;
    if (status === 'completed') {
      this.state = 'completed';
    } else if (status === 'processing' && !connections) {
      // No other client is connected, so this connection gets the answer.
      this.requests.pending = { kind: 'update', id: undefined };
    }
  }

  private imageChanged(image: Image): void {
    this.events.onImage(image);
    if (image.state === 'queued' || image.state === 'refused') {
      void this.pump();
    }
  }

  /** Sends the images and requests that may be sent now. */
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
        const message = await this.encode(image, image.data);
        // The connection may have dropped, or the image been refused, in the meantime.
        if (!message || !this.canSend() || image.state !== 'queued') {
          continue;
        }
        this.connection.send(message);
        this.requests.imageSent();
        this.uploads.sent(image);
        this.request();
      }
    } finally {
      this.sending = false;
    }
  }

  /** Encodes an image; if that fails, refuses the image and returns undefined. */
  private async encode(image: Image, file: Blob): Promise<string | ArrayBuffer | undefined> {
    try {
      return await encodeImage(image, file, this.binary, this.limits);
    } catch (error) {
      if (image.state === 'queued') {
        this.uploads.refuse(image, reason(error));
      }
      return undefined;
    }
  }

  private canSend(): boolean {
    return this.state === 'open' && this.greeted && !this.settling && this.connection.hasRoom();
  }

  /** Sends a request if one is due. */
  private request(): void {
    const kind = this.canSend() ? this.requests.due(this.uploads) : undefined;
    if (!kind) {
      return;
    }
    const id = this.ids.next();
    this.requests.sent(kind, id);
    this.connection.send(encodeRequest(kind, id, this.incremental));
    this.events.onRequest(kind);
    this.events.onChange();
  }

  private received(data: string | ArrayBuffer): void {
    try {
      const incoming = readMessage(data);
      if (incoming) {
        this.handle(incoming);
      }
    } catch (error) {
      this.events.onNote(reason(error));
    }
  }

  private handle({ message, glb }: Incoming): void {
    this.expecting &&= message.type === 'connected';
    this.correlates ||= 'id' in message && typeof message.id === 'string';
    this.blame.received(message.type === 'error' ? message.message : '');
    switch (message.type) {
      case 'connected':
        this.binary = message.binary === true;
        this.greet(message.image_count, message.max_images);
        break;
      case 'ack':
        this.uploads.acknowledged(message.image_path, message.image_count, message.id);
        break;
      case 'progress':
        this.requests.stage = message.stage;
        this.events.onProgress(message);
        break;
      case 'delta':
      case 'complete':
        this.answered(message, glb);
        break;
      case 'error':
        void this.refused(message.message, message.id);
        break;
      case 'pong':
        this.pong?.();
        this.pong = undefined;
        break;
    }
    void this.pump();
  }

  private answered(answer: Answer, glb: Blob): void {
    const mine = this.requests.isAnsweredBy(answer.id, this.correlates);
    const request = mine ? this.requests.pending : undefined;
    const last = answer.type === 'complete' && request?.kind === 'finish';
    if (last) {
      this.state = 'completed';
    } else if (answer.type === 'complete' && request?.id === undefined) {
      // The result may answer a request of an earlier page load or another client.
      void this.lookWhetherOver();
    }
    if (request) {
      this.answersSinceGreeting += 1;
      this.requests.settle();
    }
    this.answers += 1;
    this.events.onAnswer(this.updated(answer), glb, last);
    this.events.onChange();
  }

  /** Notes and confirms an update that has only what is new. */
  private updated(answer: Answer): Answer {
    const { metadata } = answer;
    if (!metadata.append) {
      return answer;
    }
    const whole = this.updates.apply(metadata, metadata.append);
    this.connection.send(this.updates.confirmation());
    return { ...answer, metadata: whole };
  }

  private async lookWhetherOver(): Promise<void> {
    try {
      const { status } = await this.resource.info();
      if (status === 'completed' && this.state === 'open') {
        this.complete();
        void this.pump();
      }
    } catch {
      // The server will refuse the next message instead.
    }
  }

  /** Marks the session as completed. */
  private complete(): void {
    this.state = 'completed';
    this.requests.clear();
    this.uploads.refuseWaiting('the session is completed');
    this.events.onChange();
  }

  private async refused(message: string, id: string | undefined): Promise<void> {
    if (!this.greeted) {
      return;
    }
    if (id !== undefined || this.correlates) {
      this.refusedById(message, id);
    } else {
      await this.refusedByGuess(message);
    }
    void this.pump();
  }

  private refusedById(message: string, id: string | undefined): void {
    if (id !== undefined && this.uploads.refused(message, id)) {
      return;
    }
    if (id !== undefined && this.requests.isAnsweredBy(id, true)) {
      this.failed(message);
    } else {
      this.events.onNote(message);
    }
  }

  /** Assigns an error without identifier to an image in transit or to the request. */
  private async refusedByGuess(message: string): Promise<void> {
    const { epoch } = this;
    const images = this.uploads.in('sent').length > 0;
    if (this.requests.pending && (!images || (await this.isRequestsError(message)))) {
      if (epoch === this.epoch) {
        this.failed(message);
      }
      return;
    }
    // After a drop, the reconnection determines the state of the images.
    if (epoch === this.epoch) {
      if (this.uploads.refused(message)) {
        this.blame.assign();
      } else {
        this.events.onNote(message);
      }
    }
  }

  private failed(message: string): void {
    this.answersSinceGreeting += 1;
    this.requests.settle();
    this.events.onFailure(message);
    this.events.onChange();
  }

  private async isRequestsError(message: string): Promise<boolean> {
    try {
      return (await this.resource.info()).error_message === message;
    } catch {
      return false;
    }
  }

  private opened(again: boolean): void {
    this.epoch += 1;
    this.greeted = false;
    this.settling = again;
    this.requests.stage = undefined;
    this.expecting = again || this.attached;
  }

  private greet(stored: number, limit: number): void {
    this.greeted = true;
    this.answersSinceGreeting = 0;
    if (this.settling) {
      this.uploads.connected(stored, limit);
      void this.settle(stored);
      return;
    }
    if (this.attached) {
      // Images of an earlier page load may have been stored since the session was queried.
      this.uploads.foreign = Math.max(this.uploads.foreign, stored);
    }
    this.uploads.connected(stored, limit);
    this.connection.established();
    this.events.onLink('open', '');
  }

  /** Determines the state of the images and the request in transit when the connection dropped. */
  private async settle(stored: number): Promise<void> {
    const { epoch } = this;
    let found: Settled | undefined;
    try {
      found = await this.resource.settled(stored, this.uploads.in('sent').length > 0);
    } catch (error) {
      if (epoch === this.epoch) {
        // Without the server's state nothing can be decided, so reconnect and try again.
        this.events.onNote(`the state of the session could not be read: ${reason(error)}`);
        this.connection.restart();
      }
    }
    if (epoch !== this.epoch || !found) {
      return;
    }
    // Answers sent before the query above arrive before the pong.
    await new Promise<void>((resolve) => {
      this.pong = resolve;
      this.connection.send('{"type":"ping"}');
    });
    if (epoch !== this.epoch) {
      return;
    }
    const { info, places } = found;
    this.uploads.reconnected(info.image_count, places, this.blame.take());
    const running = info.status === 'processing' || Boolean(info.requests);
    if (info.status === 'completed' && this.state === 'open') {
      this.complete();
    } else if (!running && this.answersSinceGreeting === 0) {
      this.requests.again();
    }
    this.settling = false;
    this.connection.established();
    this.events.onLink('open', 'reconnected; the session continues');
    void this.pump();
  }

  private dropped(pauseMs: number, code: number): void {
    this.epoch += 1;
    this.blame.dropped(code);
    this.greeted = false;
    this.pong = undefined;
    this.events.onLink('lost', `reconnecting in ${Math.round(pauseMs / 100) / 10} s`);
  }

  private end(why: string): void {
    this.state = 'ended';
    this.requests.clear();
    this.uploads.refuseWaiting(why);
    for (const image of this.uploads.in('sent')) {
      this.uploads.refuse(image, why);
    }
    this.events.onLink('ended', why);
    this.events.onChange();
  }
}
