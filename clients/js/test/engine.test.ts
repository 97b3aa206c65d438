import assert from 'node:assert/strict';
import { openAsBlob } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { deltasFor } from '../src/engine/open.js';
import { AuthenticationError, InvalidResponseError } from '../src/errors.js';
import {
  add,
  attach,
  begin,
  FakeSocket,
  FILE,
  fakeServer,
  nextSocket,
  pong,
  reconnect,
  rest,
  states,
  told,
  until,
} from './fake-server.js';

fakeServer();

test('updates are requested between the images, one at a time', async () => {
  const { session, socket } = await begin();
  session.updateEvery(2, true, false);
  add(session, 'a', 'b', 'c', 'd');
  await until(() => socket.sent.length === 5);
  assert.deepEqual(socket.sent, ['a', 'b', 'generate', 'c', 'd']);
  socket.answer('delta');
  await until(() => socket.sent.length === 6);
  assert.equal(socket.sent[5], 'generate');
});

test('finishing waits for the images, and the session accepts no more', async () => {
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
});

test('requests are taken back, also those that wait', async () => {
  const { session, socket } = await begin();
  await session.cancelAll();
  add(session, 'a', 'b');
  await until(() => socket.sent.length === 2);
  session.ask('update');
  await until(() => socket.sent.length === 3);
  session.ask('finish');
  await session.cancelAll();
  assert.deepEqual(
    rest.asked.filter((request) => request.startsWith('DELETE')),
    ['DELETE /ws/session/session/generation'],
    'there was nothing to take back before',
  );
  const error = { type: 'error', code: 'cancelled', message: 'Cancelled' };
  socket.say({ ...error, id: socket.id('generate') });
  assert.equal(session.busy, false);
  assert.equal(told.at(-1), 'failed: Cancelled');
  assert.equal(session.takesWork, true);
  assert.deepEqual(socket.sent, ['a', 'b', 'generate']);
});

test('a session runs again in one of its own, whose images are ready', async () => {
  const { session } = await begin();
  rest.info.pending_images = 0;
  rest.images = [];
  assert.equal(await session.resource.rerun({ window: 4 }), 'session');
  assert.deepEqual(rest.asked.slice(1), [
    'POST /ws/session/session/rerun',
    'GET /ws/session/session',
    'GET /ws/session/session/images',
  ]);
});

test('an error belongs to the request if REST has the same error, else to an image', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b');
  await until(() => socket.sent.length === 2);
  session.ask('update');
  await until(() => socket.sent.length === 3);
  socket.say({ type: 'error', message: 'Not a picture' });
  await until(() => states(session) === 'refused sent');
  assert.equal(session.busy, true);
  rest.info.error_message = 'Out of memory';
  socket.say({ type: 'error', message: 'Out of memory' });
  await until(() => !session.busy);
  assert.ok(told.includes('failed: Out of memory'));
  assert.equal(states(session), 'refused sent');
});

test('only images lost with the connection are sent again', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b', 'c');
  await until(() => socket.sent.length === 3);
  socket.ack('a', 1);
  session.ask('finish');
  await until(() => socket.sent.includes('finalize'));
  rest.info.image_count = 2;
  const next = await reconnect(socket, 2);
  await pong(next);
  await until(() => next.sent.includes('finalize'));
  assert.deepEqual(next.sent, ['ping', 'c', 'finalize']);
});

test('a running request is not sent again', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b');
  await until(() => socket.sent.length === 2);
  socket.ack('a', 1);
  socket.ack('b', 2);
  session.ask('update');
  await until(() => socket.sent.includes('generate'));
  Object.assign(rest.info, { image_count: 2, status: 'processing', requests: 1 });
  const next = await reconnect(socket, 2);
  await pong(next);
  await until(() => told.at(-1) === 'open');
  next.answer('delta');
  await until(() => !session.busy);
  assert.deepEqual(next.sent, ['ping']);
});

test('a second drop during the recovery from the first is handled', async () => {
  const { session, socket } = await begin();
  add(session, 'a');
  await until(() => socket.sent.length === 1);
  const second = await reconnect(socket, 0);
  const third = await reconnect(second, 0);
  await pong(third);
  await until(() => third.sent.includes('a'));
  assert.deepEqual(third.sent, ['ping', 'a']);
});

test('the client does not reconnect to a deleted session', async () => {
  const { session, socket } = await begin();
  add(session, 'a');
  await until(() => socket.sent.length === 1);
  socket.say({ type: 'error', message: 'Session was deleted' });
  socket.drop(4410);
  assert.equal(told.at(-1), 'ended');
  assert.equal(session.isOver, true);
  assert.equal(states(session), 'refused');
});

test('an unreadable image is refused, and the next ones are sent', async (context) => {
  const { session, socket } = await begin();
  const folder = await mkdtemp(join(tmpdir(), 'pointstream-'));
  context.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'broken');
  await writeFile(path, 'a picture');
  const file = await openAsBlob(path);
  await writeFile(path, 'something else');
  session.uploads.ready(session.uploads.reserve('broken'), file);
  add(session, 'good');
  await until(() => socket.sent.length === 1);
  assert.deepEqual(socket.sent, ['good']);
  assert.equal(states(session), 'refused sent');
  assert.match(session.uploads.in('refused')[0]?.reason ?? '', /cannot be read/);
});

test('files above the server’s limit are refused before they are sent', async () => {
  const { session, socket } = await begin({ max_image_bytes: 10, max_message_bytes: 200 });
  session.uploads.ready(session.uploads.reserve('large'), new Blob(['more than ten']));
  session.uploads.ready(session.uploads.reserve('n'.repeat(200)), FILE);
  add(session, 'good');
  await until(() => socket.sent.length === 1);
  assert.deepEqual(socket.sent, ['good']);
  assert.equal(states(session), 'refused refused sent');
  const [large, named] = session.uploads.in('refused');
  assert.match(large?.reason ?? '', /13 B.*up to 10 B/);
  assert.match(named?.reason ?? '', /up to 200 B/);
});

test('a message that is too large only refuses its image', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b', 'c');
  await until(() => socket.sent.length === 3);
  socket.ack('a', 1, socket.id('a'));
  socket.say({ type: 'error', message: 'Message is too large' });
  rest.info.image_count = 1;
  const next = await reconnect(socket, 1, 1009);
  await pong(next);
  await until(() => next.sent.includes('c'));
  assert.equal(states(session), 'acknowledged refused sent');
  assert.equal(session.uploads.in('refused')[0]?.reason, 'Message is too large');
});

test('an error is assigned to one image only', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b');
  await until(() => socket.sent.length === 2);
  socket.say({ type: 'error', message: 'Message is too large' });
  const next = await reconnect(socket, 0, 1009);
  await pong(next);
  await until(() => next.sent.includes('b'));
  assert.equal(states(session), 'refused sent');
});

test('an image added to a full session does not block finishing', async () => {
  const { session, socket } = await begin({}, 1);
  add(session, 'a');
  await until(() => socket.sent.length === 1);
  socket.ack('a', 1);
  add(session, 'late');
  assert.equal(states(session), 'acknowledged refused');
  assert.equal(session.uploads.full, true);
  session.ask('finish');
  await until(() => socket.sent.includes('finalize'));
});

test('a session sends no events after it was left', async () => {
  const { session, socket } = await begin();
  add(session, 'a');
  await until(() => socket.sent.length === 1);
  const before = told.length;
  session.close();
  assert.equal(session.signal.aborted, true);
  socket.answer('delta');
  socket.say({ type: 'error', message: 'late' });
  socket.drop(4410);
  add(session, 'b');
  assert.equal(told.length, before);
});

test('a session keeps its parameters', async () => {
  const { session } = await begin();
  assert.equal(session.config?.process_res, 336);
});

test('updates may be full results, which do not complete the session', async () => {
  const { session, socket } = await begin();
  session.updateEvery(0, false, false);
  add(session, 'a', 'b');
  await until(() => socket.sent.length === 2);
  session.ask('update');
  await until(() => socket.sent.includes('generate'));
  assert.equal(socket.messages.at(-1)?.incremental, false);
  socket.answer('complete');
  await until(() => !session.busy);
  assert.equal(session.isOver, false);
});

test('a client that attaches during finalizing learns that the session is completed', async () => {
  Object.assign(rest.info, { status: 'processing', requests: 1, connections: 0, image_count: 2 });
  const { session, socket } = await attach();
  assert.equal(session.busy, true);
  Object.assign(rest.info, { status: 'completed', requests: 0 });
  socket.answer('complete', 'of-the-earlier-client');
  await until(() => session.isOver);
  assert.equal(session.busy, false);
  assert.deepEqual(told, ['connecting', 'open', 'complete']);
});

test('a request of an earlier client that was answered elsewhere is not waited for', async () => {
  Object.assign(rest.info, { status: 'processing', requests: 1, connections: 0, image_count: 2 });
  const { session, socket } = await attach();
  assert.equal(session.busy, true);
  const before = socket.sent.length;
  Object.assign(rest.info, { status: 'active', requests: 0 });
  await until(() => socket.sent.length > before);
  socket.say({ type: 'pong', session_id: 'session' });
  await until(() => !session.busy);
  assert.ok(!socket.sent.includes('generate'), 'it is not made again');
});

test('a full result requested by an earlier client does not complete the session', async () => {
  Object.assign(rest.info, { status: 'processing', requests: 1, connections: 0, image_count: 2 });
  const { session, socket } = await attach();
  Object.assign(rest.info, { status: 'active', requests: 0 });
  socket.answer('complete');
  await until(() => !session.busy);
  add(session, 'a');
  await until(() => socket.sent.includes('a'));
  assert.equal(session.isOver, false);
});

test('names already used in the session are not used again', async () => {
  Object.assign(rest.info, { image_count: 2, pending_images: 0 });
  rest.images = ['a.jpg', 'a.jpg'].map((image_path, index) => ({ index, id: null, image_path }));
  const { session } = await attach();
  assert.equal(session.uploads.reserve('a.jpg').name, 'a.jpg (3)');
});

test('a lost request is sent again even if REST fails for a while', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b');
  await until(() => socket.sent.length === 2);
  socket.ack('a', 1);
  socket.ack('b', 2);
  session.ask('update');
  await until(() => socket.sent.includes('generate'));
  rest.info.image_count = 2;
  rest.failures = 1;
  const second = await reconnect(socket, 2);
  const third = await nextSocket(FakeSocket.opened.indexOf(second) + 1);
  third.open(2);
  await pong(third);
  await until(() => third.sent.includes('generate'));
});

test('refused connections are retried with increasing pauses', async (context) => {
  // Pauses are spread below these at random.
  context.mock.method(Math, 'random', () => 1);
  const { socket } = await begin();
  const pauses: number[] = [];
  const timeout = globalThis.setTimeout;
  let dropped = socket;
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const before = FakeSocket.opened.length;
    globalThis.setTimeout = ((act: () => void, pause: number) => {
      pauses.push(pause);
      return timeout(act, 0);
    }) as typeof setTimeout;
    dropped.drop(4429);
    globalThis.setTimeout = timeout;
    dropped = await nextSocket(before);
    // The socket opens and is closed before `connected`.
    dropped.readyState = FakeSocket.OPEN;
    dropped.onopen?.();
  }
  assert.deepEqual(pauses, [500, 1000, 2000]);
});

test('a manual retry replaces a socket stuck in connecting', async () => {
  const { session, socket } = await begin();
  const before = FakeSocket.opened.length;
  socket.drop();
  const stuck = await nextSocket(before);
  session.retry();
  assert.equal(FakeSocket.opened.length, before + 2);
  assert.equal(stuck.isClosed, true);
  const next = FakeSocket.opened.at(-1) ?? stuck;
  next.open(0);
  await pong(next);
  await until(() => told.at(-1) === 'open');
});

test('a manual retry replaces an open socket only if it is silent', async (context) => {
  context.mock.timers.enable({ apis: ['Date'] });
  const { session, socket } = await begin();
  session.retry();
  assert.equal(FakeSocket.opened.length, 1);
  context.mock.timers.tick(11_000);
  session.retry();
  assert.equal(FakeSocket.opened.length, 2);
  assert.equal(socket.isClosed, true);
  assert.equal(told.at(-1), 'lost');
});

test('a session with voxels gets whole clouds', async () => {
  rest.info.config = { voxel_size: 0.5 };
  const { socket } = await begin();
  assert.doesNotMatch(socket.url, /deltas/);
  assert.equal(deltasFor({ voxel_size: 0 }), 'append');
});

/** Metadata of an update that has only what is new. */
function update(number: number): object {
  const append = { number, reset: true, images: [], frames: [], corrections: [], kept: [] };
  return { num_frames: 2, session_id: '', glb_size_bytes: 0, append };
}

test('updates are confirmed, and a lost connection goes on after the last one', async () => {
  const { session, socket } = await begin();
  assert.match(socket.url, /deltas=append/);
  assert.doesNotMatch(socket.url, /since=/);
  session.ask('update');
  await until(() => socket.sent.includes('generate'));
  socket.say({
    type: 'delta',
    image_count: 2,
    glb_base64: 'AAAA',
    id: socket.id('generate'),
    metadata: update(7),
  });
  await until(() => socket.sent.includes('received'));
  assert.equal((socket.messages.at(-1) as unknown as { number: number }).number, 7);
  rest.info.image_count = 2;
  const before = FakeSocket.opened.length;
  socket.drop();
  const next = await nextSocket(before);
  next.open(2);
  assert.match(next.url, /since=7/);
  await pong(next);
});

test('something that is no message ends the session', async () => {
  const { session, socket } = await begin();
  socket.say({ of: 'no type' });
  assert.equal(told.at(-1), 'ended');
  assert.ok(session.error instanceof InvalidResponseError);
  assert.equal(socket.isClosed, true);
});

test('a request of another client that runs after a loss is waited for', async () => {
  const { session, socket } = await begin();
  session.ask('update');
  await until(() => socket.sent.includes('generate'));
  Object.assign(rest.info, { status: 'processing', requests: 1 });
  const next = await reconnect(socket, 0);
  await pong(next);
  await until(() => told.at(-1) === 'open');
  assert.deepEqual(next.sent, ['ping']);
  Object.assign(rest.info, { status: 'active', requests: 0 });
  await until(() => next.sent.length === 2);
  next.say({ type: 'pong', session_id: 'session' });
  await until(() => next.sent.length === 3);
  assert.deepEqual(next.sent, ['ping', 'ping', 'generate']);
  assert.equal(next.id('generate'), socket.id('generate'));
});

test('a refused token that cannot be replaced ends the session', async () => {
  const { session, socket } = await begin();
  socket.drop(4401);
  assert.deepEqual(told.slice(-1), ['ended']);
  assert.ok(!told.includes('lost'));
  assert.ok(session.error instanceof AuthenticationError);
});
