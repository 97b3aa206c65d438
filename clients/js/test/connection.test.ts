import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { Connection } from '../src/engine/connection.js';
import { RETRY } from '../src/engine/retry.js';
import { Server } from '../src/engine/server.js';
import { GivenTokens } from '../src/engine/tokens.js';
import { type Seen, Watcher } from '../src/engine/watcher.js';
import { FakeSocket } from './fake-server.js';

const SECOND = 1000;

/** A connection with an open socket, and the close codes of its drops. */
function connect(): { connection: Connection; socket: FakeSocket; drops: number[] } {
  FakeSocket.opened = [];
  const drops: number[] = [];
  const server = new Server('http://localhost', { tokens: () => new GivenTokens(undefined) });
  const connection = new Connection(server, 'session', RETRY, {
    onOpen: () => undefined,
    onData: () => undefined,
    onDrop: ({ code }) => drops.push(code),
    onEnd: () => undefined,
    onRoom: () => undefined,
    isAnswerDue: () => false,
    isWaiting: () => false,
    parameters: () => ({}),
  });
  const [socket] = FakeSocket.opened;
  assert.ok(socket);
  socket.open();
  return { connection, socket, drops };
}

/** Runs a test with a fake clock. */
function withClock(run: () => void): void {
  const original = globalThis.WebSocket;
  globalThis.WebSocket = FakeSocket as unknown as typeof WebSocket;
  globalThis.addEventListener ??= () => undefined;
  globalThis.removeEventListener ??= () => undefined;
  mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'Date'] });
  try {
    run();
  } finally {
    mock.timers.reset();
    globalThis.WebSocket = original;
  }
}

/** Advances the clock second by second, so that all timers run. */
function pass(seconds: number, each: () => void = () => undefined): void {
  for (let second = 0; second < seconds; second++) {
    mock.timers.tick(SECOND);
    each();
  }
}

test('a socket that sends but never receives is dropped', () => {
  withClock(() => {
    const { connection, socket, drops } = connect();
    pass(12);
    assert.deepEqual(socket.sent, ['ping']);
    pass(24);
    assert.deepEqual(drops, [1006]);
    assert.ok(socket.isClosed);
    connection.close();
  });
});

test('a socket that receives pongs is kept', () => {
  withClock(() => {
    const { connection, socket, drops } = connect();
    let answered = 0;
    pass(300, () => {
      if (socket.sent.length > answered) {
        answered = socket.sent.length;
        socket.say({ type: 'pong', session_id: 'session' });
      }
    });
    assert.ok(answered > 10);
    assert.deepEqual(drops, []);
    connection.close();
  });
});

test('a slow upload keeps the connection, a stalled one drops it', () => {
  withClock(() => {
    const { connection, socket, drops } = connect();
    connection.send(JSON.stringify({ type: 'image', filename: 'x'.repeat(1000) }));
    socket.bufferedAmount = 1000;
    pass(60, () => {
      socket.bufferedAmount -= 10;
    });
    assert.deepEqual(drops, []);
    pass(40);
    assert.deepEqual(drops, [1006]);
    connection.close();
  });
});

test('a watcher watches again after a drop, and never resumes', () => {
  withClock(() => {
    FakeSocket.opened = [];
    const server = new Server('http://localhost', { tokens: () => new GivenTokens(undefined) });
    const seen: Seen[] = [];
    let drops = 0;
    const watcher = new Watcher(server, 'session', RETRY, {
      onChange: (change) => seen.push(change),
      onDrop: () => {
        drops += 1;
      },
      onEnd: () => assert.fail('it goes on'),
    });
    const [first] = FakeSocket.opened;
    first?.open();
    first?.say({ type: 'changed', image_count: 2, status: 'active', number: null });
    first?.onclose?.({ code: 1006, reason: '' });
    pass(2);
    const [, second] = FakeSocket.opened;
    second?.open();
    second?.say({ type: 'changed', image_count: 3, status: 'completed', number: 7 });
    assert.equal(drops, 1);
    assert.deepEqual(seen, [
      { imageCount: 2, status: 'active', number: undefined },
      { imageCount: 3, status: 'completed', number: 7 },
    ]);
    for (const { url } of FakeSocket.opened) {
      assert.equal(new URL(url).search, '?watch=true');
    }
    watcher.close();
  });
});
