/** A fake server with one session: fake sockets and REST responses, controlled by the test. */

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach } from 'node:test';
import type { Engine } from '../src/engine/engine.js';
import { type EngineEvents, SILENT } from '../src/engine/events.js';
import { decodeFrame } from '../src/engine/frames.js';
import type { Limits } from '../src/engine/messages.js';
import { attachSession, createSession } from '../src/engine/open.js';
import { Server } from '../src/engine/server.js';
import { GivenTokens } from '../src/engine/tokens.js';

const ID = 'session';
const SERVER = new Server('http://localhost', { tokens: () => new GivenTokens(undefined) });
export const FILE = new Blob(['picture']);
const originals = { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch };

/** A message of the client. */
interface Sent {
  type: string;
  filename?: string;
  id: string;
  incremental?: boolean;
}

export class FakeSocket {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static opened: FakeSocket[] = [];
  readyState = FakeSocket.CONNECTING;
  bufferedAmount = 0;
  messages: Sent[] = [];
  isClosed = false;
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: { code: number; reason: string }) => void;

  constructor(readonly url: string) {
    FakeSocket.opened.push(this);
  }

  /** The names of the images and the types of the other messages. */
  get sent(): string[] {
    return this.messages.map(({ type, filename }) => filename ?? type);
  }

  /** The identifier of an image or of the last request of a type. */
  id(name: string): string {
    const found = this.messages.filter(({ type, filename }) => (filename ?? type) === name).at(-1);
    assert.ok(found, `${name} was not sent`);
    return found.id;
  }

  send(data: string | ArrayBuffer): void {
    this.messages.push(JSON.parse(typeof data === 'string' ? data : decodeFrame(data).header));
  }

  close(): void {
    this.isClosed = true;
  }

  open(image_count = 0, max_images = 100): void {
    this.readyState = FakeSocket.OPEN;
    this.onopen?.();
    this.say({ type: 'connected', session_id: ID, image_count, max_images, binary: true });
  }

  say(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  ack(name: string, image_count: number, id?: string): void {
    this.say({ type: 'ack', image_path: name, image_count, session_id: ID, id });
  }

  answer(type: string, id?: string): void {
    this.say({ type, image_count: 2, glb_base64: 'AAAA', metadata: {}, id });
  }

  drop(code = 1006): void {
    this.readyState = 3;
    this.onclose?.({ code, reason: '' });
  }
}

/** REST responses for the session, its images and its result; undefined where there is none. */
export const rest: {
  info: Record<string, unknown>;
  images: object[] | undefined;
  /** Number of requests that fail before one succeeds. */
  failures: number;
  /** The requests so far, such as `GET /info`. */
  asked: string[];
} = { info: {}, images: undefined, failures: 0, asked: [] };
/** The events of the engine. */
export let told: string[];
let sessions: Engine[];

function respond(method: string, path: string): Response {
  rest.asked.push(`${method} ${path}`);
  if (rest.failures > 0) {
    rest.failures -= 1;
    throw new TypeError('no network');
  }
  if (path.endsWith('/images')) {
    return rest.images
      ? Response.json({ images: rest.images })
      : Response.json({ detail: 'Not found' }, { status: 404 });
  }
  return Response.json(rest.info);
}

/** Replaces the browser's WebSocket and fetch by fakes. */
export function fakeServer(): void {
  before(() => {
    // Node has no window with online events.
    Object.assign(globalThis, { addEventListener() {}, removeEventListener() {} });
    globalThis.WebSocket = FakeSocket as unknown as typeof WebSocket;
    globalThis.fetch = (async (url: string, { method = 'GET' }: RequestInit = {}) =>
      respond(method, new URL(url).pathname)) as typeof fetch;
  });
  after(() => {
    Object.assign(globalThis, originals);
  });
  afterEach(() => {
    for (const session of sessions) {
      session.close();
    }
  });
  beforeEach(() => {
    FakeSocket.opened = [];
    told = [];
    sessions = [];
    rest.failures = 0;
    rest.asked = [];
    rest.images = undefined;
    rest.info = {
      session_id: ID,
      status: 'active',
      image_count: 0,
      requests: 0,
      error_message: null,
      config: { process_res: 336 },
    };
  });
}

function events(): EngineEvents {
  return {
    ...SILENT,
    onLink: ({ state }) => told.push(state),
    onAnswer: ({ type }) => told.push(type),
    onFailure: ({ message }) => told.push(`failed: ${message}`),
    onNote: ({ message }) => told.push(`note: ${message}`),
  };
}

/** Creates a session and connects to it. */
export async function begin(limits?: Limits, maxImages = 100) {
  const session = await createSession(SERVER, {}, events(), limits ? { limits } : {});
  sessions.push(session);
  const [socket] = FakeSocket.opened;
  assert.ok(socket);
  socket.open(0, maxImages);
  return { session, socket };
}

/** Attaches to the existing session and connects. */
export async function attach() {
  const found = await attachSession(SERVER, ID, events());
  sessions.push(found.session);
  const [socket] = FakeSocket.opened;
  assert.ok(socket);
  socket.open(Number(rest.info.image_count));
  await pong(socket);
  await until(() => told.includes('open'));
  return { ...found, socket };
}

export function add(session: Engine, ...names: string[]): void {
  for (const name of names) {
    session.uploads.ready(session.uploads.reserve(name), FILE);
  }
}

/** Waits for a condition. */
export async function until(done: () => boolean): Promise<void> {
  for (let turn = 0; !done(); turn += 1) {
    assert.ok(turn < 2000, `the condition was not met: ${told.join(', ')}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function states(session: Engine): string {
  const all = session.uploads.in('preparing', 'queued', 'sent', 'acknowledged', 'refused');
  return all.map(({ state }) => state).join(' ');
}

/** Waits for the next socket after a drop. */
export async function nextSocket(before: number): Promise<FakeSocket> {
  await until(() => FakeSocket.opened.length > before);
  const next = FakeSocket.opened.at(-1);
  assert.ok(next);
  assert.match(next.url, /resume=true/);
  return next;
}

/** Drops the connection and opens the next one. */
export async function reconnect(
  socket: FakeSocket,
  stored: number,
  code = 1006,
): Promise<FakeSocket> {
  const before = FakeSocket.opened.length;
  socket.drop(code);
  const next = await nextSocket(before);
  next.open(stored);
  return next;
}

/** Answers the ping at the end of a reconnection. */
export async function pong(socket: FakeSocket): Promise<void> {
  await until(() => socket.sent.includes('ping'));
  socket.say({ type: 'pong', session_id: ID });
}
