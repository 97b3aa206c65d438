/** A reconstruction on the server, while photos are streamed to it. */

import { Answers } from './answers.js';
import type { Client, SessionOptions } from './client.js';
import { Cloud } from './cloud.js';
import { Engine } from './engine/engine.js';
import type { EngineEvents, Link } from './engine/events.js';
import type { Answer, Poses as PosesMessage, SessionInfo, StoredImage } from './engine/messages.js';
import type { Beginning } from './engine/options.js';
import type { Request, RequestKind } from './engine/requests.js';
import type { Server } from './engine/server.js';
import type { Image as Upload } from './engine/uploads.js';
import {
  ClosedError,
  ImageRefusedError,
  type PointstreamError,
  SessionCompletedError,
  SessionEndedError,
  SessionNotFoundError,
} from './errors.js';
import { type Ack, type Poses, Result, type SessionEvent } from './events.js';
import { type ImageSource, sendable } from './images.js';
import type { SessionParameters } from './parameters.js';
import { Slots } from './slots.js';
import { Subscription } from './subscription.js';

/** Longest time until the server has written a file, in milliseconds. */
const WRITING_MS = 1_800_000;

export type ResultFormat =
  | 'glb'
  | 'ply'
  | 'colmap'
  | 'colmap_original'
  | 'npz'
  | 'nerfstudio'
  | 'nerfstudio_original'
  | 'las'
  | 'laz'
  | 'e57'
  | 'xyz'
  | 'csv'
  | 'mesh_glb'
  | 'mesh_ply'
  | 'mesh_obj'
  | 'html'
  | 'json';

export interface GenerateOptions {
  /** Whether the answer is an update; otherwise it is a whole result. */
  incremental?: boolean;
  /** Ends the request when it is aborted. */
  signal?: AbortSignal;
}

/** What a client gives to its sessions. */
export interface Opening {
  client: Client;
  server: Server;
  id: string;
  webhookSecret: string | undefined;
  keep: boolean;
  maxResultBytes: number;
  maxInFlight: number;
  cloud: Cloud | undefined;
  onEvent: ((event: SessionEvent) => void) | undefined;
  beginning: Beginning;
}

/**
 * One session. `Client.session`, `Client.attach` and `rerun` give it; `close` leaves it, and so does
 * `await using`.
 *
 * Several callers may use it together. Requests for point clouds wait for each other.
 */
export class Session {
  /** The identifier of the session. */
  readonly id: string;
  /** The secret that the server has made for the webhook. It is not told again. */
  readonly webhookSecret: string | undefined;
  /** What the updates of a session with deltas `append` have made; else it stays empty. */
  readonly cloud: Cloud;

  private readonly engine: Engine;
  private readonly answers = new Answers();
  private readonly subscriptions = new Set<Subscription>();
  private readonly slots: Slots;
  private readonly turn = new Slots(1);
  private closed = false;
  private onOpened: { resolve(): void; reject(error: PointstreamError): void } | undefined;

  /** Connects to a session that exists on the server. `Client` calls it. */
  static async open(opening: Opening): Promise<Session> {
    const session = new Session(opening);
    try {
      await new Promise<void>((resolve, reject) => {
        session.onOpened = { resolve, reject };
      });
    } catch (error) {
      await session.close().catch(() => undefined);
      throw error;
    }
    return session;
  }

  private constructor(private readonly opening: Opening) {
    const { id, server, webhookSecret, cloud = new Cloud(), beginning, maxInFlight } = opening;
    this.id = id;
    this.webhookSecret = webhookSecret;
    this.cloud = cloud;
    this.slots = new Slots(maxInFlight);
    const since = cloud.number;
    this.engine = new Engine(server, id, { ...beginning, maxInFlight, since }, this.handlers());
  }

  /** The token for this session alone if there is one, else that of the client. */
  get token(): string | undefined {
    return this.opening.server.tokens.for(`/ws/session/${encodeURIComponent(this.id)}`);
  }

  /**
   * Sends an image, and waits until it is stored.
   *
   * At most `maxInFlight` images are sent and not acknowledged; others wait here.
   *
   * @throws ImageRefusedError if it cannot be used.
   */
  async upload(image: ImageSource): Promise<Ack> {
    return (await this.send(image)).answer;
  }

  /**
   * Sends images one after another without waiting for each acknowledgement.
   *
   * The next image is taken when one may be sent, so memory is bounded. The list has an
   * acknowledgement or a refusal for each image, in their order.
   */
  async uploadMany(
    images: Iterable<ImageSource> | AsyncIterable<ImageSource>,
  ): Promise<(Ack | ImageRefusedError)[]> {
    const sent: Promise<Ack>[] = [];
    for await (const image of images) {
      sent.push((await this.send(image)).answer);
    }
    const answers: (Ack | ImageRefusedError)[] = [];
    for (const answer of sent) {
      answers.push(
        await answer.catch((error: unknown) => {
          if (error instanceof ImageRefusedError) {
            return error;
          }
          throw error;
        }),
      );
    }
    return answers;
  }

  /** Asks for a point cloud of the images so far. */
  generate({ incremental = true, signal }: GenerateOptions = {}): Promise<Result> {
    return this.request('update', incremental, signal);
  }

  /** Asks for the final point cloud. It completes the session. */
  finalize({ signal }: { signal?: AbortSignal } = {}): Promise<Result> {
    return this.request('finish', false, signal);
  }

  /**
   * Ends the request that runs: its `generate` or `finalize` throws RequestCancelledError.
   *
   * @returns whether there was one.
   */
  cancel(): boolean {
    this.check();
    const { pending, wanted } = this.engine.requests;
    const mine = [pending, wanted].filter((one) => one && this.answers.has(one.id));
    for (const request of mine) {
      this.engine.withdraw(request as Request);
    }
    return mine.length > 0;
  }

  /** Ends all requests of the session, those of other clients too. */
  cancelAll(): Promise<void> {
    return this.engine.resource.cancel();
  }

  /** Where each frame is now. */
  map(): Promise<Poses> {
    this.check();
    return this.answers.to<Poses>(this.engine.askMap());
  }

  /**
   * What happens from now on: `for await (const event of session.events())`.
   *
   * It ends when the session is closed, and throws the error with which the session ends.
   */
  events(): Subscription {
    this.check();
    const subscription = new Subscription((left) => this.subscriptions.delete(left));
    this.subscriptions.add(subscription);
    return subscription;
  }

  /** The state of the session, as docs/protocol.md describes it. */
  state(): Promise<SessionInfo> {
    return this.engine.resource.info();
  }

  /** The stored images: index, id, name and processed size. */
  images(): Promise<StoredImage[]> {
    return this.engine.resource.stored();
  }

  /** An image as it was sent. */
  image(index: number): Promise<Blob> {
    return this.engine.resource.image(index);
  }

  /** A small JPEG of an image. */
  thumbnail(index: number): Promise<Blob> {
    return this.engine.resource.thumbnail(index);
  }

  /** The newest result as a file. */
  result(format: ResultFormat = 'glb'): Promise<Blob> {
    const longest = this.opening.maxResultBytes;
    const isThere = ['glb', 'npz', 'json'].includes(format);
    const silence = isThere ? {} : { silence: WRITING_MS };
    return this.engine.resource.file(format, { longest, ...silence });
  }

  /** Lets a completed session take images and requests again, in the same coordinates. */
  async reopen(): Promise<void> {
    await this.engine.resource.reopen();
    this.engine.reopened();
  }

  /** A token with which others watch the session; undefined if the server asks nobody for one. */
  watchToken(): Promise<string | undefined> {
    return this.engine.resource.watchToken();
  }

  /**
   * Makes a new session with the images of this one, which are not sent again.
   *
   * Parameters that are missing are as in this session.
   */
  rerun(parameters: SessionParameters = {}, options: SessionOptions = {}): Promise<Session> {
    return this.opening.client.rerun(this.id, parameters, options);
  }

  /** Ends the session on the server, and removes its files. */
  delete(): Promise<void> {
    return this.engine.resource.delete();
  }

  /** Disconnects, and deletes the session unless it is kept. */
  async close(): Promise<void> {
    if (this.closed) {
      return;
    }
    this.closed = true;
    this.engine.close();
    this.answers.rejectAll(closedError());
    this.slots.end(closedError());
    for (const subscription of this.subscriptions) {
      subscription.end(undefined);
    }
    if (this.opening.keep) {
      return;
    }
    try {
      await this.delete();
    } catch (error) {
      if (!(error instanceof SessionNotFoundError || error instanceof SessionEndedError)) {
        throw error;
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Throws the error with which the session ended. */
  private check(): void {
    if (this.closed) {
      throw closedError();
    }
    if (this.engine.error) {
      throw this.engine.error;
    }
  }

  /** Throws if the session is completed. Another client may have taken it up again. */
  private async checkOpen(): Promise<void> {
    this.check();
    if (!this.engine.isOver) {
      return;
    }
    const { status } = await this.state();
    this.check();
    if (status === 'completed') {
      throw new SessionCompletedError('the session is completed', { code: 'session_completed' });
    }
    this.engine.reopened();
  }

  /** Puts an image into the queue when there is room. In an object, so that only that is awaited. */
  private async send(source: ImageSource): Promise<{ answer: Promise<Ack> }> {
    const { data, name, camera } = sendable(source);
    await this.slots.take();
    try {
      await this.checkOpen();
    } catch (error) {
      this.slots.give();
      throw error;
    }
    const { uploads } = this.engine;
    const image = uploads.enter(name, camera);
    const answer = this.answers.to<Ack>(image.id);
    uploads.ready(image, data);
    return { answer };
  }

  private async request(
    kind: RequestKind,
    incremental: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Result> {
    await this.turn.take();
    let stop = () => {};
    try {
      signal?.throwIfAborted();
      await this.checkOpen();
      signal?.throwIfAborted();
      const request = this.engine.ask(kind, incremental);
      const answer = this.answers.to<Result>(request.id as string);
      stop = () => {
        // Who stops to wait need not wait for the server's answer to that, either.
        this.answers.reject(request.id, signal?.reason);
        this.engine.withdraw(request);
      };
      signal?.addEventListener('abort', stop);
      return await answer;
    } finally {
      signal?.removeEventListener('abort', stop);
      this.turn.give();
    }
  }

  private handlers(): EngineEvents {
    return {
      onLink: (link) => this.linked(link),
      onImage: (image) => this.settled(image),
      onRequest: () => {},
      onProgress: ({ stage, progress, message, id }) =>
        this.emit({ type: 'progress', stage, progress, message, id }),
      onAnswer: (answer, glb) => this.answered(answer, glb),
      onPoses: (poses) => this.placed(poses),
      onFailure: (error, { id }) => this.refused(error, id),
      onNote: (error, id) => this.refused(error, id),
      onChange: () => {},
    };
  }

  private linked(link: Link): void {
    if (link.state === 'open') {
      const { imageCount, maxImages, resumed } = link;
      this.emit({ type: 'connected', sessionId: this.id, imageCount, maxImages, resumed });
      this.onOpened?.resolve();
    } else if (link.state === 'lost') {
      const { reason, attempt, delay } = link;
      this.emit({ type: 'disconnected', reason, attempt, delay });
    } else if (link.state === 'ended') {
      this.onOpened?.reject(link.error);
      this.answers.rejectAll(link.error);
      for (const subscription of this.subscriptions) {
        subscription.end(link.error);
      }
    }
  }

  /** An image was stored or refused. */
  private settled(image: Upload): void {
    const { id, state, index = 0, path = '' } = image;
    if (state === 'acknowledged') {
      const ack: Ack = { type: 'ack', imageCount: index + 1, imagePath: path, id };
      this.emit(ack);
      this.answers.resolve(id, ack);
    } else if (state === 'refused' && image.error) {
      this.refused(image.error, id);
    } else {
      return;
    }
    this.engine.uploads.forget(image);
    this.slots.give();
  }

  private answered(answer: Answer, glb: Uint8Array<ArrayBuffer>): void {
    const { type, image_count, metadata, id, number } = answer;
    // One that was lost after it was applied comes again.
    if (metadata.append && !this.engine.isKnown(answer)) {
      this.cloud.apply(metadata.append, glb);
    }
    const result = new Result(type, image_count, metadata, glb, id, number);
    this.emit(result);
    this.answers.resolve(id, result);
  }

  private placed({ frames, processed_size, id }: PosesMessage): void {
    const poses: Poses = { type: 'poses', frames, processedSize: processed_size, id };
    this.emit(poses);
    this.answers.resolve(id, poses);
  }

  private refused(error: PointstreamError, id: string | undefined): void {
    this.emit({ type: 'refused', error, id });
    this.answers.reject(id, error);
  }

  private emit(event: SessionEvent): void {
    for (const subscription of this.subscriptions) {
      subscription.add(event);
    }
    try {
      this.opening.onEvent?.(event);
    } catch (error) {
      // A defect of the caller must not end the session, nor pass unnoticed.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

function closedError(): ClosedError {
  return new ClosedError('the session was closed; client.attach() takes up one that is kept');
}
