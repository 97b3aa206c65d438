import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Server } from '../src/shared/api';
import { Backoff } from '../src/shared/backoff';
import { age, bytes, count, duration, plural } from '../src/shared/format';

test('numbers are written for people', () => {
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

test('pauses double up to a limit, and begin anew', () => {
  const backoff = new Backoff(500, 3000);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => backoff.next()),
    [500, 1000, 2000, 3000],
  );
  backoff.reset();
  assert.equal(backoff.next(), 500);
});
