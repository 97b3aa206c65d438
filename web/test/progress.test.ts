import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Pace } from '../src/client/pace';
import { said } from '../src/client/progress';

test('the rest is estimated from the work, not from the time before it', () => {
  let seconds = 0;
  const pace = new Pace(() => seconds);
  pace.begin();
  pace.step(0, false);
  seconds = 100;
  assert.equal(pace.elapsed, 100);
  assert.equal(pace.left, undefined);
  pace.step(0.1, true);
  seconds = 110;
  pace.step(0.3, true);
  assert.ok(Math.abs((pace.left ?? 0) - 35) < 1e-9, `${pace.left}`);
  seconds = 120;
  assert.ok(Math.abs((pace.left ?? 0) - 25) < 1e-9, 'it counts down between two messages');
  seconds = 300;
  assert.equal(pace.left, 1);
  // The work makes way for others, and goes on later.
  pace.step(0.4, false);
  assert.equal(pace.left, undefined);
  pace.step(0.4, true);
  assert.equal(pace.left, undefined);
});

test('a little work gives no estimate', () => {
  let seconds = 0;
  const pace = new Pace(() => seconds);
  pace.begin();
  pace.step(0.05, true);
  seconds = 1;
  pace.step(0.5, true);
  assert.equal(pace.left, undefined, 'too short');
  seconds = 60;
  pace.step(0.51, true);
  assert.notEqual(pace.left, undefined);
});

test('stages are said in words', () => {
  const step = (stage: string, progress: number, message: string) =>
    said({ type: 'progress', stage, progress, message });
  assert.match(step('loading_model', 0, 'Waiting for a worker'), /^Waiting for its turn/);
  assert.equal(
    step('inference', 0.4, 'Processing frame 3/8'),
    'Looking at the photos · photo 3 of 8 · 40 %',
  );
  assert.equal(step('later', 0.4, 'Something else'), 'Something else · 40 %');
});
