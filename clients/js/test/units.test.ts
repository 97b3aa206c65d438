import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBase64, toBase64 } from '../src/engine/base64.js';
import { closing } from '../src/engine/connection.js';
import { checkRetry, delayBefore, RETRY } from '../src/engine/retry.js';
import { Server } from '../src/engine/server.js';
import { GivenTokens } from '../src/engine/tokens.js';
import { reason } from '../src/errors.js';
import { sendable } from '../src/images.js';
import {
  Client,
  Cloud,
  GlbError,
  InvalidResponseError,
  type Progress,
  Result,
  ServerError,
  SessionEndedError,
} from '../src/index.js';
import { Slots } from '../src/slots.js';
import { Subscription } from '../src/subscription.js';

function progress(value: number): Progress {
  return { type: 'progress', stage: 'inference', progress: value, message: '', id: undefined };
}

function result(number: number): Result {
  const metadata = { num_frames: 1, session_id: '', glb_size_bytes: 0 };
  return new Result('delta', 1, metadata, new Uint8Array(), undefined, number);
}

/** The events that wait. The last one must be there. */
async function rest(subscription: Subscription): Promise<unknown[]> {
  subscription.end(undefined);
  const events: unknown[] = [];
  for await (const event of subscription) {
    events.push(event.type === 'result' ? event.number : event);
  }
  return events;
}

test('a slow reader misses progress first, and never a new result', async () => {
  const subscription = new Subscription(() => undefined);
  for (let number = 0; number < 6; number += 1) {
    subscription.add(result(number));
  }
  assert.equal(subscription.missed, 2);
  for (let number = 0; number < 300; number += 1) {
    subscription.add(progress(number));
  }
  subscription.add(result(6));
  const events = await rest(subscription);
  assert.equal(events.length, 256);
  assert.deepEqual(events.slice(0, 3), [3, 4, 5]);
  assert.equal(events.at(-1), 6);
});

test('who waits for an event gets it, or the error of the session', async () => {
  let left = 0;
  const subscription = new Subscription(() => {
    left += 1;
  });
  const [first, second] = [subscription.next(), subscription.next()];
  subscription.add(result(1));
  assert.equal(((await first).value as Result).number, 1);
  subscription.end(new SessionEndedError('gone'));
  await assert.rejects(second, SessionEndedError);
  assert.equal((await subscription.next()).done, true);
  subscription.add(result(2));
  assert.equal((await subscription.next()).done, true);
  await subscription.return();
  assert.equal(left, 1);
});

test('slots are given in the order in which they were asked for', async () => {
  const slots = new Slots(1);
  const order: number[] = [];
  await slots.take();
  const waiting = [1, 2].map(async (number) => {
    await slots.take();
    order.push(number);
    slots.give();
  });
  assert.deepEqual(order, []);
  slots.give();
  await Promise.all(waiting);
  assert.deepEqual(order, [1, 2]);
  await slots.take();
  const late = slots.take();
  slots.end(new Error('closed'));
  await assert.rejects(late, /closed/);
  await assert.rejects(slots.take(), /closed/);
});

test('delays double, are spread, and end', (context) => {
  context.mock.method(Math, 'random', () => 0);
  const retry = checkRetry({ attempts: 4, first: 1, longest: 5 });
  const delays = [1, 2, 3, 4, 5].map((attempt) => delayBefore(retry, attempt));
  assert.deepEqual(delays, [0.5, 1, 2, 2.5, undefined]);
  assert.equal(delayBefore(retry, 1, 3), 3);
  assert.equal(delayBefore(retry, 1, 6), undefined);
  assert.equal(delayBefore({ ...RETRY, attempts: Number.POSITIVE_INFINITY }, 5000), 15);
  for (const wrong of [{ attempts: -1 }, { first: 0 }, { first: 9, longest: 1 }]) {
    assert.throws(() => new Client('http://a.test', { retry: wrong }), RangeError);
  }
});

test('base64 of any length comes back', () => {
  for (const length of [0, 1, 2, 3, 32_765, 32_766, 32_767, 100_000]) {
    const bytes = Uint8Array.from({ length }, (_, index) => (7 * index) % 256);
    const text = toBase64(bytes);
    assert.equal(text, Buffer.from(bytes).toString('base64'));
    assert.deepEqual(fromBase64(text), bytes);
  }
});

test('a close code becomes a typed error', () => {
  const deleted = closing(4410, 'session_deleted: session was deleted');
  assert.ok(deleted instanceof SessionEndedError);
  assert.equal(deleted.message, 'session was deleted');
  assert.equal(deleted.status, 4410);
  assert.ok(closing(4410, '') instanceof SessionEndedError);
  assert.equal(closing(4999, 'who knows').message, 'who knows');
  assert.match(closing(4999, '').message, /4999/);
  assert.match(
    String(new ServerError('text', { code: 'news' })),
    /text \[news\]; the server's log/,
  );
  assert.equal(reason('text'), 'text');
});

test('a path of the server is one below its address', () => {
  const at = (base: string) => new Server(base, { tokens: () => new GivenTokens(undefined) });
  assert.equal(
    at('https://a.test/points').below('/points/ws/session/s/result'),
    '/ws/session/s/result',
  );
  assert.equal(at('https://a.test').below('/ws/session/s/result'), '/ws/session/s/result');
  assert.equal(
    at('https://a.test').url('/x', { a: 1, b: undefined, c: null, d: false }),
    'https://a.test/x?a=1&d=false',
  );
});

test('addresses and options that cannot work are refused at once', async () => {
  for (const address of ['http://me:x@a.test', 'http://a.test/?token=x', 'ftp://a.test']) {
    assert.throws(() => new Client(address), TypeError);
  }
  assert.throws(() => new Client('http://a.test', { token: 'a b' }), TypeError);
  const client = new Client('http://a.test');
  const voxels = client.session({ voxel_size: 0.1 }, { deltas: 'append' });
  await assert.rejects(voxels, /voxel_size needs/);
  const meshopt = client.session({ glb_compression: 'meshopt' }, { deltas: 'append' });
  await assert.rejects(meshopt, /meshopt' needs/);
});

test('images are files, bytes or both with a name', () => {
  const file = new File(['x'], 'a.jpg');
  assert.equal(sendable(file).name, 'a.jpg');
  assert.equal(sendable({ data: file, name: 'b.jpg' }).name, 'b.jpg');
  assert.equal(sendable(new Blob(['x'])).name, undefined);
  assert.equal(sendable(Uint8Array.of(1, 2)).data.size, 2);
  assert.equal(sendable(new ArrayBuffer(3)).data.size, 3);
  assert.throws(() => sendable('a.jpg' as unknown as Blob), TypeError);
  const intrinsics = [
    [1, 0],
    [0, 1],
  ];
  assert.throws(() => sendable({ data: file, camera: { intrinsics, extrinsics: [] } }), /3 rows/);
});

test('files that are no clouds are refused', () => {
  const glb = (json: string, binary = new Uint8Array(), length?: number) => {
    const text = new TextEncoder().encode(json.padEnd(4 * Math.ceil(json.length / 4)));
    const size = 12 + 8 + text.length + (binary.length > 0 ? 8 + binary.length : 0);
    const data = new Uint8Array(size);
    const view = new DataView(data.buffer);
    [0x46546c67, 2, length ?? size, text.length, 0x4e4f534a].forEach((word, index) => {
      view.setUint32(4 * index, word, true);
    });
    data.set(text, 20);
    if (binary.length > 0) {
      view.setUint32(20 + text.length, binary.length, true);
      view.setUint32(24 + text.length, 0x004e4942, true);
      data.set(binary, 28 + text.length);
    }
    return data;
  };
  const cloud = (accessor: object, view: object) =>
    JSON.stringify({
      nodes: [{ mesh: 0 }],
      meshes: [{ primitives: [{ mode: 0, attributes: { POSITION: 0, COLOR_0: 0 } }] }],
      accessors: [{ bufferView: 0, ...accessor }],
      bufferViews: [view],
    });
  const floats = { componentType: 5126, type: 'VEC3' };
  assert.equal(Cloud.fromGlb(glb('{}')).size, 0);
  const one = Cloud.fromGlb(glb(cloud({ ...floats, count: 1 }, {}), new Uint8Array(12)));
  assert.equal(one.size, 1);
  for (const [text, data] of [
    [/not a whole GLB/, new Uint8Array(3)],
    [/not a whole GLB/, glb('{}', undefined, 7)],
    [/JSON/, glb('{')],
    [/longer than its data/, glb(cloud({ ...floats, count: 2 }, {}), new Uint8Array(12))],
    [/refers to something/, glb('{"nodes":[{"mesh":3}]}')],
    [/unknown type/, glb(cloud({ componentType: 1, type: 'VEC3', count: 1 }, {}))],
    [/meshopt/, glb(cloud(floats, { extensions: { EXT_meshopt_compression: {} } }))],
    [/update/, glb('{"nodes":[{"extras":{"frame":1}}]}')],
    [/camera/, glb('{"nodes":[{"camera":0}]}')],
  ] as const) {
    assert.throws(
      () => Cloud.fromGlb(data),
      (error) => error instanceof GlbError && text.test(error.message),
    );
  }
});

test('an update that does not fit changes nothing', () => {
  const cloud = new Cloud();
  const empty = new TextEncoder().encode('{}  ');
  const data = new Uint8Array(24);
  [0x46546c67, 2, 24, 4, 0x4e4f534a].forEach((word, index) => {
    new DataView(data.buffer).setUint32(4 * index, word, true);
  });
  data.set(empty, 20);
  const update = { number: 4, reset: false, images: [], frames: [], corrections: [] };
  const kept = [{ frame: 3, points: 1 }];
  assert.throws(() => cloud.apply({ ...update, kept }, data), InvalidResponseError);
  assert.equal(cloud.number, undefined);
  cloud.apply({ ...update, kept: [] }, data);
  assert.equal(cloud.number, 4);
});
