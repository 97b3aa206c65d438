import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { Connection } from '../src/protocol/connection';
import { Server } from '../src/shared/api';
import { FakeSocket } from './fake-server';

const SECOND = 1000;

/** A connection whose first socket is open, and the codes of its drops. */
function connect(): { connection: Connection; socket: FakeSocket; drops: number[] } {
  FakeSocket.opened = [];
  const drops: number[] = [];
  const connection = new Connection(new Server('http://localhost'), 'session', false, {
    onOpen: () => undefined,
    onData: () => undefined,
    onDrop: (_pause, code) => drops.push(code),
    onEnd: () => undefined,
    onRoom: () => undefined,
    isAnswerDue: () => false,
  });
  const [socket] = FakeSocket.opened;
  assert.ok(socket);
  socket.open();
  return { connection, socket, drops };
}

/** Lets a test decide what time it is. */
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

/** Second by second, as timers do not catch up at once. */
function pass(seconds: number, each: () => void = () => undefined): void {
  for (let second = 0; second < seconds; second++) {
    mock.timers.tick(SECOND);
    each();
  }
}

test('a socket that takes what is sent and never answers is dropped', () => {
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

test('a socket that answers stays', () => {
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

test('a slow upload that goes on is no dead network, one that stands still is', () => {
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
