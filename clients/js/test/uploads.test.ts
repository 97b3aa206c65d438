import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Image, Uploads } from '../src/engine/uploads.js';

const FILE = new Blob(['picture']);

/** Uploads with these images, as many as possible in transit. */
function sending(...names: string[]): { uploads: Uploads; images: Image[] } {
  const uploads = new Uploads(() => {});
  const images = names.map((name) => uploads.reserve(name));
  for (const image of images) {
    uploads.ready(image, FILE);
  }
  sendAll(uploads);
  return { uploads, images };
}

function sendAll(uploads: Uploads): string[] {
  const sent = [];
  for (let image = uploads.next(); image; image = uploads.next()) {
    uploads.sent(image);
    sent.push(image.name);
  }
  return sent;
}

function states(images: Image[]): string {
  return images.map(({ state }) => state).join(' ');
}

test('images are sent in order, a few at a time', () => {
  const names = Array.from({ length: 12 }, (_, index) => `${index}.jpg`);
  const { uploads } = sending(...names);
  assert.equal(uploads.in('sent').length, 8);
  assert.equal(uploads.next(), undefined);
  uploads.acknowledged('0.jpg', 1);
  assert.deepEqual(sendAll(uploads), ['8.jpg']);
});

test('an image in preparation holds back those behind it', () => {
  const uploads = new Uploads(() => {});
  const first = uploads.reserve('a');
  uploads.ready(uploads.reserve('b'), FILE);
  assert.equal(uploads.next(), undefined);
  assert.equal(uploads.drained, false);
  uploads.ready(first, FILE);
  assert.deepEqual(sendAll(uploads), ['a', 'b']);
  assert.equal(uploads.drained, true);
});

test('names are unique, so that an acknowledgement identifies its image', () => {
  const { images } = sending('a.jpg', 'a.jpg', 'a.jpg');
  assert.deepEqual(
    images.map(({ name }) => name),
    ['a.jpg', 'a.jpg (2)', 'a.jpg (3)'],
  );
});

test('a refusal belongs to the oldest image until an acknowledgement shows otherwise', () => {
  const { uploads, images } = sending('a', 'b', 'c');
  uploads.refused('it is no picture');
  assert.equal(states(images), 'refused sent sent');
  uploads.acknowledged('a', 1);
  assert.equal(states(images), 'acknowledged refused sent');
  assert.equal(images[1]?.reason, 'it is no picture');
  assert.equal(images[0]?.reason, '');
  uploads.acknowledged('c', 2);
  assert.equal(states(images), 'acknowledged refused acknowledged');
});

test('a refusal without an image in transit is not assigned', () => {
  const { uploads } = sending();
  assert.equal(uploads.refused('what?'), false);
});

test('after a drop, only images that did not arrive are sent again', () => {
  const { uploads, images } = sending('a', 'b', 'c', 'd');
  uploads.acknowledged('a', 1);
  uploads.reconnected(3);
  assert.equal(states(images), 'acknowledged acknowledged acknowledged queued');
  assert.deepEqual(sendAll(uploads), ['d']);
});

test('images of others in the session do not count as arrived', () => {
  const { uploads, images } = sending('a', 'b');
  uploads.foreign = 5;
  uploads.reconnected(6);
  assert.equal(states(images), 'acknowledged queued');
});

test('images beyond the limit are refused without being sent', () => {
  const uploads = new Uploads(() => {});
  uploads.connected(0, 2);
  const images = ['a', 'b', 'c'].map((name) => uploads.reserve(name));
  for (const image of images) {
    uploads.ready(image, FILE);
  }
  assert.deepEqual(sendAll(uploads), ['a', 'b']);
  uploads.acknowledged('a', 1);
  uploads.acknowledged('b', 2);
  assert.equal(states(images), 'acknowledged acknowledged refused');
  assert.match(images[2]?.reason ?? '', /2 images/);
});

test('a refusal makes room for one more', () => {
  const uploads = new Uploads(() => {});
  uploads.connected(0, 1);
  for (const name of ['a', 'b']) {
    uploads.ready(uploads.reserve(name), FILE);
  }
  assert.deepEqual(sendAll(uploads), ['a']);
  uploads.refused('broken');
  assert.deepEqual(sendAll(uploads), ['b']);
});

test('images added to a full session are refused at once', () => {
  const uploads = new Uploads(() => {});
  uploads.connected(2, 2);
  const late = uploads.reserve('late');
  uploads.ready(late, FILE);
  assert.equal(late.state, 'refused');
  assert.equal(uploads.full, true);
  assert.equal(uploads.drained, true);
});

test('an image refused during preparation stays refused, and its file is released', () => {
  const uploads = new Uploads(() => {});
  const image = uploads.reserve('a');
  uploads.refuse(image, 'the session has ended');
  uploads.ready(image, FILE);
  assert.equal(image.state, 'refused');
  assert.equal(image.data, undefined);
});

test('refused images do not keep their files', () => {
  const { uploads, images } = sending('a', 'b');
  uploads.refused('it is no picture');
  assert.equal(images[0]?.data, undefined);
  assert.equal(images[1]?.data, FILE);
});

test('answers with identifiers need no order', () => {
  const { uploads, images } = sending('a', 'b', 'c');
  assert.equal(uploads.refused('it is no picture', images[2]?.id), true);
  uploads.acknowledged('another name', 1, images[1]?.id);
  assert.equal(states(images), 'sent acknowledged refused');
  assert.equal(uploads.refused('whose?', 'unknown'), false);
});

test('the oldest image that did not arrive is blamed for a closed connection', () => {
  const { uploads, images } = sending('a', 'b', 'c');
  uploads.reconnected(1, undefined, 'too large');
  assert.equal(states(images), 'acknowledged refused queued');
  assert.equal(images[1]?.reason, 'too large');
});

/** An image in the server's list. */
function listed(index: number, image_path: string, id: string | null = null) {
  return { index, id, image_path, width: 64, height: 48 };
}

test('images have the server’s indices, even if names repeat', () => {
  const { uploads, images } = sending('a', 'b', 'c', 'd');
  uploads.acknowledged('a', 2, images[0]?.id);
  uploads.reconnected(4, new Map([[images[2]?.id ?? '', listed(3, 'c')]]));
  assert.deepEqual(
    images.map(({ index }) => index),
    [1, undefined, 3, undefined],
  );
  const stored = [
    listed(0, 'a'),
    listed(1, 'a', images[0]?.id),
    listed(2, 'a', 'another page'),
    // Its acknowledgement is in transit.
    listed(3, 'b', images[1]?.id),
  ];
  assert.deepEqual(uploads.nameOthers(stored), [
    { index: 0, name: 'a (2)' },
    { index: 2, name: 'a (3)' },
  ]);
  stored.push(listed(4, 'e'));
  assert.deepEqual(uploads.nameOthers(stored), [{ index: 4, name: 'e' }]);
});

test('images are settled when the server has answered to all of them', async () => {
  const { uploads, images } = sending('a', 'b');
  let settled = false;
  const waiting = uploads.settled(images).then(() => {
    settled = true;
  });
  uploads.acknowledged('a', 1);
  await Promise.resolve();
  assert.equal(settled, false);
  uploads.refused('no picture');
  await waiting;
  assert.equal(states(images), 'acknowledged refused');
  await uploads.settled([]);
});
