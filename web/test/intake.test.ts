import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sendSize } from '../src/intake/downscale';
import { sortFiles } from '../src/intake/files';
import { frameTimes } from '../src/intake/video';

const need = (method: string) => ({ resolution: 500, method });

test('images keep twice the resolution on the side that the method selects', () => {
  const photo = { width: 4000, height: 3000 };
  assert.deepEqual(sendSize(photo, need('upper_bound_resize')), { width: 1000, height: 750 });
  assert.deepEqual(sendSize(photo, need('lower_bound_crop')), { width: 1333, height: 1000 });
  const portrait = { width: 3000, height: 4000 };
  assert.deepEqual(sendSize(portrait, need('upper_bound_crop')), { width: 750, height: 1000 });
});

test('images that are small enough are not changed', () => {
  const photo = { width: 1000, height: 750 };
  assert.equal(sendSize(photo, need('upper_bound_resize')), undefined);
});

test('sides have at least one pixel', () => {
  const strip = { width: 100_000, height: 3 };
  assert.deepEqual(sendSize(strip, need('upper_bound_resize')), { width: 1000, height: 1 });
});

test('photos are sorted by name in natural order, and videos are separate', () => {
  const file = (name: string, type = 'image/jpeg') => new File([], name, { type });
  const sorted = sortFiles([
    file('b10.jpg'),
    file('walk.mov', ''),
    file('b9.jpg'),
    file('x', 'video/webm'),
  ]);
  assert.deepEqual(
    sorted.photos.map(({ name }) => name),
    ['b9.jpg', 'b10.jpg'],
  );
  assert.deepEqual(
    sorted.videos.map(({ name }) => name),
    ['walk.mov', 'x'],
  );
});

test('frame times are the middles of equal parts of the video', () => {
  assert.deepEqual(frameTimes(8, 4), [1, 3, 5, 7]);
});
