/** Keeps a session connected: sends images and requests, and what a lost connection has cost. */

import {
  asPointstreamError,
  type PointstreamError,
  reason,
  type ServerError,
  SessionCompletedError,
  serverError,
  UnreachableError,
} from '../errors.js';
import { Blame } from './blame.js';
import { Connection, type Drop, meaning } from './connection.js';
import { type EngineEvents, SILENT } from './events.js';
import { Ids } from './ids.js';
import { readMessage } from './inbox.js';
import type { Answer, Config, Failure, Greeting, Limits, SessionInfo } from './messages.js';
import { type Beginning, DEFAULTS } from './options.js';
import { Recovery } from './recovery.js';
import { Refusals, type Subject } from './refusals.js';
import { type Request, type RequestKind, Requests } from './requests.js';
import { SessionResource } from './resource.js';
import { Results } from './results.js';
import { Sender } from './sender.js';
import type { Server } from './server.js';
import { type Image, Uploads } from './uploads.js';

export class Engine {
  readonly uploads: Uploads;
  readonly resource: SessionResource;
  readonly config: Config | undefined;
  readonly limits: Limits;
  readonly requests = new Requests();
  /** Number of answers received. */
  answers = 0;

  private readonly connection: Connection;
  private readonly resume: boolean;
  /** Whether the first connection to a session that existed before is yet to come. */
  private attaching: boolean;
  private readonly ids = new Ids();
  private readonly left = new AbortController();
  private readonly sender: Sender;
  private readonly refusals: Refusals;
  private readonly results: Results;
  private readonly recovery: Recovery;
  private readonly blame = new Blame();
  private readonly maps = new Set<string>();
  private greeted = false;
  /** Whether the server repeats identifiers in its answers. */
  private correlates = false;
  private settling = false;
  /** Whether undelivered answers may arrive first. */
  private expecting = false;
  /** Counts connections and drops, so that work started on an earlier one is cancelled. */
  private epoch = 0;
  private answersSinceGreeting = 0;
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
    const { binary, deltas, maxInFlight, retry } = { ...DEFAULTS, ...beginning };
    this.config = config;
    this.limits = limits;
    this.resume = resume;
    this.attaching = resume;
    this.resource = new SessionResource(server, id);
    this.results = new Results({ binary, deltas }, since, server, this.resource);
    this.uploads = new Uploads((image) => this.imageChanged(image), this.ids, maxInFlight);
    if (info) {
      this.goOn(info);
    }
    this.sender = new Sender(this.uploads, this.requests, this.ids, limits, {
      canSend: () => this.canSend(),
      send: (data) => this.connection.send(data),
      onRequest: (request) => {
        this.events.onRequest(request);
        this.events.onChange();
      },
    });
    this.refusals = new Refusals(this.uploads, this.requests, this.resource, this.blame);
    this.recovery = new Recovery(this.resource, this.uploads, this.requests, {
      send: (text) => this.connection.send(text),
      isCurrent: (epoch) => epoch === this.epoch && this.state !== 'ended',
      isAnswered: () => this.answersSinceGreeting > 0,
      complete: () => this.complete(),
      fail: (error) => this.failed(error),
      fetch: () => this.fetch(),
    });
    this.connection = new Connection(server, id, retry, {
      onOpen: (again) => this.opened(again),
      onData: (data) => this.received(data),
      onDrop: (drop) => this.dropped(drop),
      onEnd: (error) => this.end(error),
      onRoom: () => this.pump(),
      isAnswerDue: () => this.expecting || this.requests.isAnswerDue,
      isWaiting: () => this.requests.pending !== undefined || this.uploads.in('sent').length > 0,
      parameters: (again) => ({
        ...this.results.parameters(),
        ...(resume || again ? { resume: true } : {}),
      }),
    });
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

  /** Whether an update is one that was applied already, and was lost before it was confirmed. */
  isKnown(answer: Answer): boolean {
    return this.results.isKnown(answer);
  }

  /** Requests a point cloud of all images so far. Returns the request, unless one to finish waits. */
  ask(kind: RequestKind, incremental = this.sender.incremental): Request {
    const request = this.sender.make(kind, incremental);
    this.requests.want(request);
    this.events.onChange();
    this.pump();
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

  /**
   * Sets when updates are requested that nobody asks for.
   *
   * @param every the number of images between them; 0 for none.
   * @param live whether a live source adds images, so that an empty queue does not mean the end.
   */
  updateEvery(every: number, incremental: boolean, live: boolean): void {
    this.requests.updateEvery = every;
    this.requests.live = live;
    this.sender.incremental = incremental;
    this.pump();
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
      this.pump();
    }
  }

  /** Sends the images and requests that may be sent now. */
  private pump(): void {
    void this.sender.pump();
  }

  private canSend(): boolean {
    return this.state === 'open' && this.greeted && !this.settling && this.connection.hasRoom();
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
        this.refused(message);
        break;
      case 'pong':
        this.recovery.pong();
        break;
    }
    this.pump();
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
    this.results.applied(answer);
    this.events.onChange();
  }

  /** Tells the server that a result has arrived, and that an update was applied. */
  private confirm(answer: Answer): void {
    const confirmation = this.results.confirmation(answer);
    if (confirmation) {
      this.connection.send(confirmation);
    }
  }

  /** Takes the newest result over HTTP as the answer to the pending request. */
  private async fetch(path?: string): Promise<void> {
    const request = this.requests.pending;
    if (!request) {
      return;
    }
    try {
      const { answer, glb } = await this.results.fetch(request, path);
      if (this.requests.pending === request) {
        this.answered(answer, glb);
      }
    } catch (error) {
      if (this.requests.pending === request) {
        this.failed(asPointstreamError(error));
      }
    }
    this.pump();
  }

  private async lookWhetherOver(): Promise<void> {
    try {
      const { status } = await this.resource.info();
      if (status === 'completed') {
        this.complete();
        this.pump();
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

  private refused(failure: Failure): void {
    const { id } = failure;
    const error = asError(failure);
    if (!this.greeted) {
      return;
    }
    if (id !== undefined || this.correlates) {
      this.settleRefusal(this.refusals.byId(error, id), error, id);
      return;
    }
    const { epoch } = this;
    void this.refusals
      .byGuess(error, () => epoch === this.epoch)
      .then((subject) => {
        this.settleRefusal(subject, error, id);
        this.pump();
      });
  }

  private settleRefusal(
    subject: Subject | undefined,
    error: ServerError,
    id: string | undefined,
  ): void {
    if (subject === 'image') {
      this.connection.answered();
    } else if (subject === 'request') {
      this.requestRefused(error);
    } else if (subject === 'none') {
      this.maps.delete(id ?? '');
      this.events.onNote(error, id);
    }
  }

  private requestRefused(error: ServerError): void {
    const { pending } = this.requests;
    if (error.resultUrl !== undefined && pending && this.results.mayBeFetched(pending)) {
      void this.fetch(error.resultUrl);
    } else {
      this.failed(error);
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

  private opened(again: boolean): void {
    this.epoch += 1;
    this.greeted = false;
    this.settling = again || this.resume;
    this.requests.stage = undefined;
    this.expecting = again || this.resume;
  }

  private greet({ image_count, max_images, binary }: Greeting): void {
    this.greeted = true;
    // Older servers support only JSON.
    this.sender.binary = binary === true;
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
      this.pump();
      void this.follow(epoch);
    }
  }

  /** Waits for what still runs, which may be the request of another client. */
  private async follow(epoch: number): Promise<void> {
    await this.recovery.follow(epoch);
    this.events.onChange();
    this.pump();
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
