import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import { decodeFrame } from '../src/protocol/frames';
import { Session } from '../src/protocol/session';
import { Server } from '../src/shared/api';

const ID = 'session';
const FILE = new Blob(['picture']);
const originals = { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch };

/** A socket whose other end is the test. */
class FakeSocket {
  static readonly OPEN = 1;
  static opened: FakeSocket[] = [];
  readyState = 0;
  bufferedAmount = 0;
  sent: string[] = [];
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: { code: number }) => void;

  constructor(readonly url: string) {
    FakeSocket.opened.push(this);
  }

  send(data: string | ArrayBuffer): void {
    const { type, filename } = JSON.parse(
      typeof data === 'string' ? data : decodeFrame(data).header,
    );
    this.sent.push(filename ?? type);
  }

  close(): void {}

  open(image_count = 0): void {
    this.readyState = FakeSocket.OPEN;
    this.onopen?.();
    this.say({ type: 'connected', session_id: ID, image_count, max_images: 100, binary: true });
  }

  say(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  ack(name: string, image_count: number): void {
    this.say({ type: 'ack', image_path: name, image_count, session_id: ID });
  }

  answer(type: string): void {
    this.say({ type, image_count: 2, glb_base64: 'AAAA', metadata: {} });
  }

  drop(code = 1006): void {
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

/** What REST says of the session. */
let info: Record<string, unknown>;
let told: string[];

before(() => {
  // The browser's window tells when the network is back; Node has none.
  Object.assign(globalThis, { addEventListener() {}, removeEventListener() {} });
  globalThis.WebSocket = FakeSocket as unknown as typeof WebSocket;
  globalThis.fetch = (async () => Response.json(info)) as typeof fetch;
});

after(() => {
  Object.assign(globalThis, originals);
});

beforeEach(() => {
  FakeSocket.opened = [];
  told = [];
  info = { session_id: ID, status: 'active', image_count: 0, requests: 0, error_message: null };
});

async function begin(): Promise<{ session: Session; socket: FakeSocket }> {
  const session = await Session.create(
    new Server('http://localhost'),
    {},
    {
      onLink: (link) => told.push(link),
      onImage: () => {},
      onRequest: () => {},
      onProgress: () => {},
      onAnswer: ({ type }) => told.push(type),
      onFailure: (message) => told.push(`failed: ${message}`),
      onNote: (message) => told.push(`note: ${message}`),
      onChange: () => {},
    },
  );
  const [socket] = FakeSocket.opened;
  assert.ok(socket);
  socket.open();
  return { session, socket };
}

function add(session: Session, ...names: string[]): void {
  for (const name of names) {
    session.uploads.ready(session.uploads.reserve(name), FILE);
  }
}

/** Waits for what is done in between. */
async function until(done: () => boolean): Promise<void> {
  for (let turn = 0; !done(); turn += 1) {
    assert.ok(turn < 1000, `it does not come: ${told.join(', ')}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function states(session: Session): string {
  const all = session.uploads.in('preparing', 'queued', 'sent', 'acknowledged', 'refused');
  return all.map(({ state }) => state).join(' ');
}

/** The connection drops, and the next one opens. */
async function reconnect(socket: FakeSocket, stored: number): Promise<FakeSocket> {
  const before = FakeSocket.opened.length;
  socket.drop();
  await until(() => FakeSocket.opened.length > before);
  const next = FakeSocket.opened.at(-1) as FakeSocket;
  assert.match(next.url, /resume=true/);
  next.open(stored);
  return next;
}

test('updates are asked for between the images, one at a time', async () => {
  const { session, socket } = await begin();
  session.updateEvery = 2;
  add(session, 'a', 'b', 'c', 'd');
  await until(() => socket.sent.length === 5);
  assert.deepEqual(socket.sent, ['a', 'b', 'generate', 'c', 'd']);
  socket.answer('delta');
  await until(() => socket.sent.length === 6);
  assert.equal(socket.sent[5], 'generate');
  session.close();
});

test('finishing waits for the images, and the session takes no more', async () => {
  const { session, socket } = await begin();
  const late = session.uploads.reserve('late');
  session.ask('finish');
  assert.equal(session.takesWork, false);
  assert.deepEqual(socket.sent, []);
  session.uploads.ready(late, FILE);
  await until(() => socket.sent.length === 2);
  assert.deepEqual(socket.sent, ['late', 'finalize']);
  socket.answer('complete');
  assert.equal(session.isOver, true);
  session.close();
});

test('an error is the request’s if the session says so, else an image’s', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b');
  await until(() => socket.sent.length === 2);
  session.ask('update');
  await until(() => socket.sent.length === 3);
  socket.say({ type: 'error', message: 'Not a picture' });
  await until(() => states(session) === 'refused sent');
  assert.equal(session.busy, true);
  info.error_message = 'Out of memory';
  socket.say({ type: 'error', message: 'Out of memory' });
  await until(() => !session.busy);
  assert.ok(told.includes('failed: Out of memory'));
  assert.equal(states(session), 'refused sent');
  session.close();
});

test('what was lost with the connection is sent again, and nothing else', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b', 'c');
  await until(() => socket.sent.length === 3);
  socket.ack('a', 1);
  session.ask('finish');
  await until(() => socket.sent.includes('finalize'));
  info.image_count = 2;
  const next = await reconnect(socket, 2);
  await until(() => next.sent.includes('ping'));
  next.say({ type: 'pong', session_id: ID });
  await until(() => next.sent.includes('finalize'));
  assert.deepEqual(next.sent, ['ping', 'c', 'finalize']);
  session.close();
});

test('a request that runs is not asked for again', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b');
  await until(() => socket.sent.length === 2);
  socket.ack('a', 1);
  socket.ack('b', 2);
  session.ask('update');
  await until(() => socket.sent.includes('generate'));
  Object.assign(info, { image_count: 2, status: 'processing', requests: 1 });
  const next = await reconnect(socket, 2);
  await until(() => next.sent.includes('ping'));
  next.say({ type: 'pong', session_id: ID });
  await until(() => told.at(-1) === 'open');
  next.answer('delta');
  await until(() => !session.busy);
  assert.deepEqual(next.sent, ['ping']);
  session.close();
});

test('a second drop while the first is dealt with is dealt with in turn', async () => {
  const { session, socket } = await begin();
  add(session, 'a');
  await until(() => socket.sent.length === 1);
  const second = await reconnect(socket, 0);
  const third = await reconnect(second, 0);
  await until(() => third.sent.includes('ping'));
  third.say({ type: 'pong', session_id: ID });
  await until(() => third.sent.includes('a'));
  assert.deepEqual(third.sent, ['ping', 'a']);
  session.close();
});

test('a session that is gone is not connected to again', async () => {
  const { session, socket } = await begin();
  add(session, 'a');
  await until(() => socket.sent.length === 1);
  socket.say({ type: 'error', message: 'Session was deleted' });
  socket.drop(4410);
  assert.equal(told.at(-1), 'ended');
  assert.equal(session.isOver, true);
  assert.equal(states(session), 'refused');
  session.close();
});
