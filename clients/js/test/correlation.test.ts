import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  add,
  begin,
  fakeServer,
  pong,
  reconnect,
  rest,
  states,
  told,
  until,
} from './fake-server.js';

fakeServer();

test('a refusal with an identifier belongs to that image', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b', 'c');
  await until(() => socket.sent.length === 3);
  socket.say({ type: 'error', message: 'no picture', id: socket.id('b') });
  await until(() => states(session) === 'sent refused sent');
  socket.ack('c', 1, socket.id('c'));
  socket.ack('a', 2, socket.id('a'));
  assert.equal(states(session), 'acknowledged refused acknowledged');
});

test('an error belongs to the request with its identifier, other errors to none', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b');
  await until(() => socket.sent.length === 2);
  session.ask('update');
  await until(() => socket.sent.includes('generate'));
  socket.ack('a', 1, socket.id('a'));
  socket.say({ type: 'error', message: 'what is this?' });
  await until(() => told.includes('note: what is this?'));
  assert.equal(states(session), 'acknowledged sent');
  assert.equal(session.busy, true);
  socket.say({ type: 'error', message: 'Out of memory', id: socket.id('generate') });
  await until(() => told.includes('failed: Out of memory'));
  assert.equal(session.busy, false);
  assert.equal(states(session), 'acknowledged sent');
});

test('only the answer with its identifier ends a request', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b');
  await until(() => socket.sent.length === 2);
  session.ask('finish');
  await until(() => socket.sent.includes('finalize'));
  socket.answer('delta', 'somebody-else');
  assert.equal(session.busy, true);
  assert.equal(told.at(-1), 'delta', 'the result is shown nevertheless');
  socket.answer('complete', socket.id('finalize'));
  assert.equal(session.isOver, true);
});

test('after a drop the list of stored images determines what arrived', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b', 'c');
  await until(() => socket.sent.length === 3);
  // The first was lost, and another client sent two: the count alone would be misleading.
  rest.info.image_count = 4;
  rest.info.pending_images = 0;
  rest.images = [null, null, socket.id('b'), socket.id('c')].map((id, index) => ({
    index,
    id,
    image_path: `${index}`,
  }));
  const next = await reconnect(socket, 4);
  await pong(next);
  await until(() => next.sent.includes('a'));
  assert.deepEqual(next.sent, ['ping', 'a']);
  assert.equal(states(session), 'sent acknowledged acknowledged');
});

test('the client waits for images that are still being stored', async () => {
  const { session, socket } = await begin();
  add(session, 'a', 'b');
  await until(() => socket.sent.length === 2);
  rest.info.pending_images = 2;
  rest.images = [];
  const next = await reconnect(socket, 0);
  // Longer than the client waits for the count of an older server.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.deepEqual(next.sent, []);
  Object.assign(rest.info, { pending_images: 0, image_count: 2 });
  rest.images = ['a', 'b'].map((name, index) => ({ index, id: socket.id(name), image_path: name }));
  await pong(next);
  await until(() => told.at(-1) === 'open');
  assert.deepEqual(next.sent, ['ping']);
  assert.equal(states(session), 'acknowledged acknowledged');
});
