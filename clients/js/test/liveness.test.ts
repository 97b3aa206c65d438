import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Liveness } from '../src/engine/liveness.js';

test('an idle connection gets a ping, and is dropped without an answer', () => {
  const liveness = new Liveness(0);
  assert.equal(liveness.look(9000, 0, false), 'fine');
  assert.equal(liveness.look(11_000, 0, false), 'ask');
  assert.equal(liveness.look(13_000, 0, false), 'fine', 'only one ping is sent');
  assert.equal(liveness.look(31_000, 0, false), 'dead');
});

test('any received message counts as traffic', () => {
  const liveness = new Liveness(0);
  assert.equal(liveness.look(11_000, 0, false), 'ask');
  liveness.sign(12_000);
  assert.equal(liveness.look(21_000, 0, false), 'fine');
  assert.equal(liveness.look(40_000, 0, false), 'ask');
});

test('bytes that leave the buffer count as traffic, buffered bytes do not', () => {
  const liveness = new Liveness(0);
  assert.equal(liveness.look(11_000, 0, false), 'ask');
  assert.equal(liveness.look(30_000, 500, false), 'fine');
  assert.equal(liveness.look(41_000, 500, false), 'ask');
  assert.equal(liveness.look(62_000, 500, false), 'dead');
});

test('a large answer in transit extends the deadline', () => {
  const liveness = new Liveness(0);
  assert.equal(liveness.look(11_000, 0, true), 'ask');
  assert.equal(liveness.look(100_000, 0, true), 'fine');
  assert.equal(liveness.look(191_000, 0, true), 'dead');
});

test('a page that checks rarely sends a ping before it drops the connection', () => {
  const liveness = new Liveness(0);
  assert.equal(liveness.look(600_000, 0, false), 'ask');
  liveness.sign(600_100);
  assert.equal(liveness.look(660_000, 0, false), 'ask');
});
