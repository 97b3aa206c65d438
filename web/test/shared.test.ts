import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Server } from '../src/shared/api';
import { Backoff } from '../src/shared/backoff';
import { age, bytes, count, duration, plural } from '../src/shared/format';
import { Once } from '../src/shared/once';
import { inParallel } from '../src/shared/parallel';

test('numbers are formatted', () => {
  assert.equal(count(1234567), '1,234,567');
  assert.equal(plural(1, 'photo'), '1 photo');
  assert.equal(plural(2, 'photo'), '2 photos');
  assert.equal(bytes(0), '0 B');
  assert.equal(bytes(1023), '1023 B');
  assert.equal(bytes(1536), '1.5 KiB');
  assert.equal(bytes(123 * 1024 ** 2), '123 MiB');
  assert.equal(age(0.2), '0 s');
  assert.equal(age(59.2), '59 s');
  assert.equal(age(185), '3 min 05 s');
  assert.equal(duration(0.0084), '8 ms');
  assert.equal(duration(1.44), '1.4 s');
  assert.equal(duration(185), '3 min 05 s');
  assert.equal(duration(7800), '2 h 10 min');
});

test('addresses of servers', () => {
  assert.equal(new Server('localhost:8000').base, 'http://localhost:8000');
  assert.equal(new Server('https://a.test/points/').base, 'https://a.test/points');
  const server = new Server('https://a.test/points');
  assert.equal(
    server.socketUrl('x/y', { resume: 'true' }),
    'wss://a.test/points/ws/reconstruct/x%2Fy?resume=true',
  );
  assert.throws(() => new Server('javascript:alert(1)'));
  assert.throws(() => new Server('ftp://a.test'));
});

test('pauses double up to a limit, and can be reset', () => {
  const backoff = new Backoff(500, 3000);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => backoff.next()),
    [500, 1000, 2000, 3000],
  );
  backoff.reset();
  assert.equal(backoff.next(), 500);
});

test('items are processed in order with limited concurrency', async () => {
  const begun: number[] = [];
  let running = 0;
  let most = 0;
  await inParallel([0, 1, 2, 3, 4, 5], 3, async (item) => {
    begun.push(item);
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setTimeout(resolve, item === 0 ? 20 : 1));
    running -= 1;
  });
  assert.deepEqual(begun, [0, 1, 2, 3, 4, 5]);
  assert.equal(most, 3);
});

test('a running task is not started again', async () => {
  const once = new Once<number>();
  let begun = 0;
  const work = async () => {
    begun += 1;
    return begun;
  };
  const first = once.do(work);
  assert.equal(await once.do(work), 1);
  await first;
  assert.equal(await once.do(work), 2);
});

test('a page refused by the server gets the option that allows it', async (context) => {
  const { fetch } = globalThis;
  context.after(() => {
    Object.assign(globalThis, { fetch, location: undefined });
  });
  Object.assign(globalThis, {
    location: { origin: 'https://pages.test' },
    fetch: async (_: string, { mode }: RequestInit) => {
      if (mode === 'no-cors') {
        return new Response();
      }
      throw new TypeError('refused');
    },
  });
  const server = new Server('http://points.test');
  await assert.rejects(server.get('/info'), /--cors-origins https:\/\/pages\.test/);
  Object.assign(globalThis, { fetch: async () => Promise.reject(new TypeError('no network')) });
  await assert.rejects(server.get('/info'), /does not answer/);
});

test('a response times out only while it brings no data', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { fetch } = globalThis;
  context.after(() => {
    globalThis.fetch = fetch;
  });
  let pieces: ReadableStreamDefaultController<Uint8Array> | undefined;
  globalThis.fetch = (async (_: string, { signal }: RequestInit) =>
    new Response(
      new ReadableStream({
        start(controller) {
          pieces = controller;
          signal?.addEventListener('abort', () => controller.error(new Error('aborted')));
        },
      }),
    )) as typeof fetch;
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const server = new Server('http://points.test');
  const whole = server.getFile('/result');
  for (let piece = 0; piece < 4; piece += 1) {
    await turn();
    context.mock.timers.tick(20_000);
    pieces?.enqueue(Uint8Array.of(piece));
  }
  await turn();
  pieces?.close();
  assert.equal((await whole).blob.size, 4);
  const stuck = server.getFile('/result');
  const refused = assert.rejects(stuck, /was interrupted/);
  await turn();
  context.mock.timers.tick(31_000);
  await refused;
});
