import assert from 'node:assert/strict';
import { test } from 'node:test';

import { decodeFrame, encodeFrame } from '../src/engine/frames.js';
import { parseMessage } from '../src/engine/messages.js';
import { InvalidResponseError } from '../src/errors.js';

const FILE = Uint8Array.from([0, 255, 7]);

test('a frame has the layout of the protocol', async () => {
  const frame = await encodeFrame({ type: 'image', filename: 'ä' }, new Blob([FILE]));
  const header = new TextEncoder().encode('{"type":"image","filename":"ä"}');
  const expected = [0x50, 0x53, 0x42, 1, header.length, 0, 0, 0, ...header, ...FILE];
  assert.deepEqual([...new Uint8Array(frame)], expected);
});

test('a frame round-trips through encoding and decoding', async () => {
  const frame = await encodeFrame({ type: 'delta', image_count: 2 }, new Blob([FILE]));
  const { header, bytes } = decodeFrame(frame);
  assert.deepEqual(JSON.parse(header), { type: 'delta', image_count: 2 });
  assert.deepEqual(new Uint8Array(bytes), FILE);
});

test('invalid frames are refused', async () => {
  const frame = await encodeFrame({ type: 'delta' }, new Blob([FILE]));
  const other = frame.slice(0);
  new Uint8Array(other)[3] = 2;
  assert.throws(() => decodeFrame(other), /unknown kind/);
  assert.throws(() => decodeFrame(frame.slice(0, 12)), /truncated/);
  assert.throws(() => decodeFrame(new ArrayBuffer(0)), /unknown kind/);
});

test('messages of unknown types are ignored', () => {
  assert.equal(parseMessage('{"type":"ack","image_path":"a"}')?.type, 'ack');
  assert.equal(parseMessage('{"type":"news"}'), undefined);
});

test('what is no message at all is an error', () => {
  for (const text of ['[]', '{"of":"no type"}', '{"type":7}', 'null', 'hello']) {
    assert.throws(() => parseMessage(text), InvalidResponseError, text);
  }
});
