/** What a client keeps when connections, messages or its own patience end. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client, RequestCancelledError, ResultTooLargeError } from '../../src/index.js';
import { NarrowProxy, Program, photo, pictures, Relay } from './program.js';

const SMALL = { process_res: 56 };
const RETRY = { attempts: 8, first: 0.05, longest: 2 };
let flat: Program;
let slow: Program;

before(async () => {
  flat = await Program.start('flat');
  slow = await Program.start('slow');
});

after(() => Promise.all([flat?.stop(), slow?.stop()]));

test('uploads survive lost connections', async () => {
  const relay = await Relay.start(flat.url, 5);
  let lost = 0;
  const session = await new Client(relay.url, { retry: RETRY }).session(SMALL, {
    onEvent: ({ type }) => {
      lost += type === 'disconnected' ? 1 : 0;
    },
  });
  const answers = await session.uploadMany(pictures(24));
  assert.ok(answers.every((answer) => 'type' in answer && answer.type === 'ack'));
  // Each image is there once, and in its place.
  assert.deepEqual(
    (await session.images()).map(({ image_path }) => image_path),
    pictures(24).map(({ name }) => name),
  );
  assert.ok(relay.cuts >= 1);
  assert.equal(lost, relay.cuts);
  await session.close();
  relay.stop();
});

test('a request survives a lost connection', async () => {
  const relay = await Relay.start(slow.url);
  const session = await new Client(relay.url, { retry: RETRY }).session(SMALL, {
    onEvent: (event) => {
      if (event.type === 'progress' && event.stage === 'inference' && relay.cuts === 0) {
        relay.cut();
      }
    },
  });
  await session.uploadMany(pictures(2));
  const result = await session.generate();
  // It was made once.
  assert.equal(result.number, 1);
  assert.equal(relay.cuts, 1);
  assert.equal(session.cloud.size, result.metadata.num_points);
  await session.close();
  relay.stop();
});

test('results that are too large for a message are fetched', async () => {
  const proxy = await NarrowProxy.start(flat.url, 20_000);
  const session = await new Client(proxy.url, { retry: RETRY }).session(SMALL);
  await session.uploadMany(pictures(3));
  // A whole result in place of an update would leave out what came in between.
  await assert.rejects(session.generate(), ResultTooLargeError);
  assert.equal(session.cloud.size, 0);
  const final = await session.finalize();
  assert.ok(final.glb.length > 20_000);
  assert.equal(final.cloud().size, final.metadata.num_points);
  assert.ok(proxy.connections >= 3);
  await session.close();
  proxy.stop();
});

test('a request is cancelled', async () => {
  const session = await new Client(slow.url).session(SMALL);
  await session.uploadMany(pictures(6));
  const events = session.events();
  const request = session.generate();
  const cancelled = assert.rejects(request, RequestCancelledError);
  for await (const event of events) {
    if (event.type === 'progress' && event.stage === 'inference') {
      break;
    }
  }
  assert.equal(session.cancel(), true);
  await cancelled;
  assert.equal((await session.state()).requests, 0);
  assert.equal(session.cancel(), false);
  // Who stops to wait need not pay for the rest.
  const stop = new AbortController();
  const given = session.generate({ signal: stop.signal });
  const rejected = assert.rejects(given, { name: 'AbortError' });
  stop.abort();
  await rejected;
  while ((await session.state()).requests !== 0) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal((await session.upload({ data: photo(9), name: '9.png' })).imageCount, 7);
  await session.close();
});

test('events end with the session', async () => {
  const session = await new Client(flat.url).session(SMALL);
  const seen: string[] = [];
  const reading = (async () => {
    for await (const { type } of session.events()) {
      seen.push(type);
    }
  })();
  await session.uploadMany(pictures(2));
  await session.generate();
  await session.close();
  await reading;
  assert.deepEqual([...new Set(seen)], ['ack', 'progress', 'result']);
});
