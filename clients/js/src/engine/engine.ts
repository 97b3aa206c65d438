/** Keeps a session connected: sends images and requests, and what a lost connection has cost. */

import {
  InvalidResponseError,
  PointstreamError,
  reason,
  type ServerError,
  SessionCompletedError,
  serverError,
  UnreachableError,
} from '../errors.js';
import { Blame } from './blame.js';
import { Connection, type Drop, meaning } from './connection.js';
import { encodeImage, encodeRequest } from './encode.js';
import { type EngineEvents, SILENT } from './events.js';
import { Ids } from './ids.js';
import { readMessage } from './inbox.js';
import type { Answer, Config, Failure, Greeting, Limits, SessionInfo } from './messages.js';
import { Recovery } from './recovery.js';
import { type Request, type RequestKind, Requests } from './requests.js';
import { SessionResource } from './resource.js';
import { RETRY, type Retry } from './retry.js';
import type { Query, Server } from './server.js';
import { type Image, IN_FLIGHT, Uploads } from './uploads.js';

/** How a session is used over its socket. */
export interface EngineOptions {
  /** Images and results as bytes: a quarter smaller than in JSON, and less work for both sides. */
  binary?: boolean;
  /** `append`: each update has only what is new. `cumulative`: each has the whole cloud. */
  deltas?: 'append' | 'cumulative';
  /** The number of the last update that the caller has, which the next one continues. */
  since?: number | undefined;
  /** Images that are sent and not acknowledged. The server takes 16. */
  maxInFlight?: number;
  retry?: Retry;
}

/** Initial knowledge about a session. */
export interface Beginning extends EngineOptions {
  /** The session's parameters; undefined for older servers. */
  config?: Config | undefined;
  /** The server's limits. */
  limits?: Limits;
  /** Whether the session existed before: undelivered answers come first then. */
  resume?: boolean;
  /** The server's state of the session, if it existed before. */
  info?: SessionInfo;
}

export class Engine {
  readonly uploads: Uploads;
  readonly resource: SessionResource;
  readonly config: Config | undefined;
  readonly limits: Limits;
  readonly requests = new Requests();
  /** Whether updates that nobody asked for are requested as incremental. */
  incremental = true;
  /** Number of answers received. */
  answers = 0;

  private readonly connection: Connection;
  private readonly options: Required<Omit<EngineOptions, 'since'>>;
  private readonly resume: boolean;
  /** Whether the first connection to a session that existed before is yet to come. */
  private attaching: boolean;
  private readonly ids = new Ids();
  private readonly left = new AbortController();
  private readonly recovery: Recovery;
  private readonly blame = new Blame();
  private readonly maps = new Set<string>();
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
  private answersSinceGreeting = 0;
  /** Number of the last update that has only what is new. */
  private since: number | undefined;
  private state: 'open' | 'completed' | 'ended' = 'open';
  private ending: PointstreamError | undefined;

  /** Connects to the session; `createSession` and `attachSession` provide the arguments. */
  constructor(
    readonly server: Server,
    readonly id: string,
    beginning: Beginning,
    private events: EngineEvents,
  ) {
    const { config, limits = {}, info, resume = info !== undefined, since } = beginning;
    const { binary = true, deltas = 'append', maxInFlight = IN_FLIGHT, retry = RETRY } = beginning;
    this.options = { binary, deltas, maxInFlight, retry };
    this.config = config;
    this.limits = limits;
    this.resume = resume;
    this.attaching = resume;
    this.since = since;
    this.resource = new SessionResource(server, id);
    this.uploads = new Uploads((image) => this.imageChanged(image), this.ids, maxInFlight);
    if (info) {
      this.goOn(info);
    }
    this.recovery = new Recovery(this.resource, this.uploads, this.requests, {
      send: (text) => this.connection.send(text),
      isCurrent: (epoch) => epoch === this.epoch && this.state !== 'ended',
      isAnswered: () => this.answersSinceGreeting > 0,
      complete: () => this.complete(),
      fail: (error) => this.failed(error),
      fetch: () => this.fetch(),
    });
    this.connection = new Connection(
      server,
      id,
      { resume, retry },
      {
        onOpen: (again) => this.opened(again),
        onData: (data) => this.received(data),
        onDrop: (drop) => this.dropped(drop),
        onEnd: (error) => this.end(error),
        onRoom: () => void this.pump(),
        isAnswerDue: () => this.expecting || this.requests.isAnswerDue,
        isWaiting: () => this.requests.pending !== undefined || this.uploads.in('sent').length > 0,
        parameters: () => this.parameters(),
      },
    );
    events.onLink({ state: 'connecting' });
  }

  /** Aborted when the caller leaves the session; no event follows. */
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

  /** Whether the server no longer has the session, or the connection is lost for good. */
  get isGone(): boolean {
    return this.state === 'ended';
  }

  /** Why the session is gone; undefined if it is not, or was left. */
  get error(): PointstreamError | undefined {
    return this.ending;
  }

  /** Requests a point cloud of all images so far. Returns the request, unless one to finish waits. */
  ask(kind: RequestKind, incremental = this.incremental): Request {
    const request = this.makeRequest(kind, incremental);
    this.requests.want(request);
    this.events.onChange();
    void this.pump();
    return request;
  }

  /** Asks where each frame is; `onPoses` or `onNote` has the answer with this identifier. */
  askMap(): string {
    const id = this.ids.next();
    this.maps.add(id);
    if (this.greeted && !this.settling) {
      this.connection.send(JSON.stringify({ type: 'map', id }));
    }
    return id;
  }

  /** Takes one of this client's requests back; its answer is an error. */
  withdraw(request: Request): void {
    request.cancelled = true;
    if (this.requests.wanted === request) {
      this.requests.unwant();
      this.events.onFailure(cancelled(), request);
      this.events.onChange();
    } else if (this.requests.pending === request && this.greeted && !this.settling) {
      this.connection.send(JSON.stringify({ type: 'cancel', id: request.id }));
    }
  }

  /** Takes all requests of the session back; the server answers each with an error. */
  async cancelAll(): Promise<void> {
    const wanted = this.requests.unwant();
    if (wanted) {
      wanted.cancelled = true;
      this.events.onFailure(cancelled(), wanted);
    }
    this.events.onChange();
    if (this.requests.pending) {
      await this.resource.cancel();
    }
  }

  /** Applies changed settings for automatic updates. */
  settingsChanged(): void {
    void this.pump();
  }

  /** A completed session was reopened. */
  reopened(): void {
    if (this.state === 'completed') {
      this.state = 'open';
      this.events.onChange();
    }
  }

  retry(): void {
    this.connection.retry();
  }

  /** Disconnects; the server keeps the session. */
  close(): void {
    this.events = SILENT;
    this.state = 'ended';
    this.epoch += 1;
    this.connection.close();
    this.left.abort();
  }

  private parameters(): Query {
    const { binary, deltas } = this.options;
    const update = deltas === 'append' ? { deltas, since: this.since } : {};
    return { ...(binary ? { binary } : {}), ...update };
  }

  private makeRequest(kind: RequestKind, incremental: boolean): Request {
    return { kind, id: this.ids.next(), incremental, cancelled: false };
  }

  /** Continues the work of an earlier client. */
  private goOn({ image_count, status, connections }: SessionInfo): void {
    this.uploads.foreign = image_count;
    if (status === 'completed') {
      this.state = 'completed';
    } else if (status === 'processing' && !connections) {
      // No other client is connected, so this connection gets the answer.
      this.requests.pending = {
        kind: 'update',
        id: undefined,
        incremental: true,
        cancelled: false,
      };
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
        this.uploads.refuse(image, asPointstreamError(error));
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
    const request = this.requests.wanted ?? this.makeRequest(kind, this.incremental);
    this.requests.sent(request);
    this.connection.send(encodeRequest(request));
    this.events.onRequest(request);
    this.events.onChange();
  }

  private received(data: string | ArrayBuffer): void {
    try {
      this.handle(data);
    } catch (error) {
      // Another connection would meet the same.
      this.connection.close();
      this.end(asPointstreamError(error));
    }
  }

  private handle(data: string | ArrayBuffer): void {
    const incoming = readMessage(data);
    if (!incoming) {
      return;
    }
    const { message, glb } = incoming;
    this.expecting &&= message.type === 'connected';
    // A server with error codes repeats identifiers, too.
    this.correlates ||= typeof (message as { id?: unknown }).id === 'string';
    this.correlates ||= message.type === 'error' && message.code !== undefined;
    this.blame.received(message.type === 'error' ? message : undefined);
    switch (message.type) {
      case 'connected':
        this.greet(message);
        break;
      case 'ack':
        this.connection.answered();
        this.uploads.acknowledged(message.image_path, message.image_count, message.id);
        break;
      case 'progress':
        this.requests.stage = message.stage;
        this.events.onProgress(message);
        break;
      case 'delta':
      case 'complete':
        this.answered(message, glb);
        this.confirm(message);
        break;
      case 'poses':
        this.connection.answered();
        this.maps.delete(message.id ?? '');
        this.events.onPoses(message);
        break;
      case 'error':
        void this.refused(message);
        break;
      case 'pong':
        this.recovery.pong();
        break;
    }
    void this.pump();
  }

  private answered(answer: Answer, glb: Uint8Array<ArrayBuffer>): void {
    const mine = this.requests.isAnsweredBy(answer.id, this.correlates);
    const request = mine ? this.requests.pending : undefined;
    const last = answer.type === 'complete' && request?.kind === 'finish';
    if (last) {
      this.complete();
    } else if (answer.type === 'complete' && request?.id === undefined) {
      // The result may answer a request of an earlier or another client.
      void this.lookWhetherOver();
    }
    if (request) {
      this.connection.answered();
      this.answersSinceGreeting += 1;
      this.requests.settle();
    }
    this.answers += 1;
    this.events.onAnswer(answer, glb, last, request);
    const { append } = answer.metadata;
    if (append && !this.isKnown(answer)) {
      this.since = append.number;
    }
    this.events.onChange();
  }

  /** Tells the server that a result has arrived, and that an update was applied. */
  private confirm({ number, metadata }: Answer): void {
    const confirmed = number ?? metadata.append?.number;
    if (confirmed !== undefined) {
      this.connection.send(JSON.stringify({ type: 'received', number: confirmed }));
    }
  }

  /** Whether an update is one that was applied already, and was lost before it was confirmed. */
  isKnown({ metadata: { append } }: Answer): boolean {
    return append !== undefined && this.since !== undefined && append.number <= this.since;
  }

  /** Takes the newest result over HTTP as the answer to the pending request. */
  private async fetch(path?: string): Promise<void> {
    const request = this.requests.pending;
    if (!request) {
      return;
    }
    try {
      const { answer, glb } = await this.resource.result(path && this.server.below(path));
      const bytes = new Uint8Array(await glb.arrayBuffer());
      if (this.requests.pending === request) {
        this.answered({ ...answer, ...(request.id ? { id: request.id } : {}) }, bytes);
      }
    } catch (error) {
      if (this.requests.pending === request) {
        this.failed(asPointstreamError(error));
      }
    }
    void this.pump();
  }

  private async lookWhetherOver(): Promise<void> {
    try {
      const { status } = await this.resource.info();
      if (status === 'completed') {
        this.complete();
        void this.pump();
      }
    } catch {
      // The server will refuse the next message instead.
    }
  }

  /** Marks the session as completed. */
  private complete(): void {
    if (this.state !== 'open') {
      return;
    }
    this.state = 'completed';
    const error = new SessionCompletedError('the session is completed', {
      code: 'session_completed',
    });
    const { wanted } = this.requests;
    this.requests.unwant();
    if (wanted) {
      this.events.onFailure(error, wanted);
    }
    this.uploads.refuseWaiting(error);
    this.events.onChange();
  }

  private async refused(failure: Failure): Promise<void> {
    if (!this.greeted) {
      return;
    }
    const { id } = failure;
    const error = asError(failure);
    if (id !== undefined || this.correlates) {
      this.refusedById(error, id);
    } else {
      await this.refusedByGuess(error);
    }
    void this.pump();
  }

  private refusedById(error: ServerError, id: string | undefined): void {
    if (id !== undefined && this.uploads.refused(error, id)) {
      this.connection.answered();
      return;
    }
    const mine = id !== undefined && this.requests.isAnsweredBy(id, true);
    const request = mine ? this.requests.pending : undefined;
    // `cancel` names the request as well: its error does not answer the request.
    if (!request || error.code === 'nothing_to_cancel') {
      this.maps.delete(id ?? '');
      this.events.onNote(error, id);
      return;
    }
    // A whole result in place of an update would leave out what came in between.
    const update = this.options.deltas === 'append' && request.kind === 'update';
    if (error.resultUrl !== undefined && !(update && request.incremental)) {
      void this.fetch(error.resultUrl);
    } else {
      this.failed(error);
    }
  }

  /** Assigns an error without identifier to an image in transit or to the request. */
  private async refusedByGuess(error: ServerError): Promise<void> {
    const { epoch } = this;
    const images = this.uploads.in('sent').length > 0;
    const { message } = error;
    if (this.requests.pending && (!images || (await this.isRequestsError(message)))) {
      if (epoch === this.epoch) {
        this.failed(error);
      }
      return;
    }
    // After a drop, the reconnection determines the state of the images.
    if (epoch === this.epoch) {
      if (this.uploads.refused(error)) {
        this.blame.assign();
      } else {
        this.events.onNote(error, undefined);
      }
    }
  }

  private failed(error: PointstreamError): void {
    const request = this.requests.pending;
    this.connection.answered();
    this.answersSinceGreeting += 1;
    this.requests.settle();
    if (request) {
      this.events.onFailure(error, request);
    }
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
    this.settling = again || this.resume;
    this.requests.stage = undefined;
    this.expecting = again || this.resume;
  }

  private greet({ image_count, max_images, binary }: Greeting): void {
    this.greeted = true;
    this.binary = binary === true;
    this.answersSinceGreeting = 0;
    if (this.attaching) {
      // Images of an earlier client may have been stored since the session was queried.
      this.attaching = false;
      this.uploads.foreign = Math.max(this.uploads.foreign, image_count);
    }
    this.uploads.connected(image_count, max_images);
    if (this.settling) {
      void this.settle(image_count, max_images);
    } else {
      this.established(image_count, max_images, false);
    }
  }

  /** Determines the state of the images and the request in transit when the connection dropped. */
  private async settle(stored: number, maxImages: number): Promise<void> {
    const { epoch } = this;
    let done = false;
    try {
      done = await this.recovery.run(epoch, stored, this.blame);
    } catch (error) {
      if (epoch === this.epoch) {
        // Without the server's state nothing can be decided, so reconnect and try again.
        const text = `the state of the session could not be read: ${reason(error)}`;
        this.events.onNote(new UnreachableError(text), undefined);
        this.connection.restart(text);
      }
    }
    if (done && epoch === this.epoch) {
      this.settling = false;
      for (const id of this.maps) {
        this.connection.send(JSON.stringify({ type: 'map', id }));
      }
      this.established(stored, maxImages, true);
      void this.pump();
      void this.recovery.follow(epoch).then(() => this.pump());
    }
  }

  private established(imageCount: number, maxImages: number, resumed: boolean): void {
    this.connection.established();
    this.events.onLink({ state: 'open', resumed, imageCount, maxImages });
  }

  private dropped({ code, ...drop }: Drop): void {
    this.epoch += 1;
    this.blame.dropped(code);
    this.greeted = false;
    this.recovery.stop();
    const why = drop.reason || this.blame.lastError?.message || `closed with ${code}`;
    this.events.onLink({ state: 'lost', ...drop, reason: why });
  }

  private end(error: PointstreamError): void {
    const { lastError } = this.blame;
    const why = (!this.greeted && lastError?.message) || meaning(error);
    this.state = 'ended';
    this.ending = error;
    this.epoch += 1;
    this.recovery.stop();
    const lost = [this.requests.pending, this.requests.wanted].filter((one) => one !== undefined);
    this.requests.clear();
    this.uploads.refuseWaiting(error);
    for (const image of this.uploads.in('sent')) {
      this.uploads.refuse(image, error);
    }
    this.events.onLink({ state: 'ended', error, meaning: why });
    for (const request of lost) {
      this.events.onFailure(error, request);
    }
    this.events.onChange();
  }
}

function cancelled(): ServerError {
  return serverError('the request was cancelled', { code: 'cancelled' });
}

function asError({ message, code, filename, result_url }: Failure): ServerError {
  return serverError(message, { code, filename, resultUrl: result_url });
}

/** An error of this package for what was thrown while a message was read or written. */
function asPointstreamError(error: unknown): PointstreamError {
  if (error instanceof PointstreamError) {
    return error;
  }
  return new InvalidResponseError(`a message of the server is incomplete: ${reason(error)}`);
}
