import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FrameQuality, Metadata } from 'pointstream/engine';
import { countUsed, faults } from '../src/client/quality';
import { poses } from '../src/viewer/cameras';

const IDENTITY = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
  [0, 0, 0, 1],
];

function frame(name: string, reason: string | null, known_share: number | null): FrameQuality {
  return { name, used: known_share !== null && known_share > 0, reason, known_share };
}

/** Four images, the second of which was set aside and the last of which has no camera. */
const METADATA: Metadata = {
  num_frames: 3,
  session_id: 'one',
  glb_size_bytes: 0,
  intrinsics: Array.from({ length: 3 }, () => [
    [10, 0, 5],
    [0, 10, 5],
    [0, 0, 1],
  ]),
  extrinsics: [IDENTITY, IDENTITY, IDENTITY],
  world_to_glb: IDENTITY,
  processed_size: [10, 10],
  frames: ['a.jpg', 'b.jpg', 'c.jpg'],
  unregistered_frames: ['banner.jpg', 'c.jpg'],
  quality: {
    verdict: 'partial',
    reasons: ['not_connected', 'odd_shape'],
    advice: ['one', 'two'],
    frames: [
      frame('a.jpg', null, 0.5),
      frame('banner.jpg', 'odd_shape', null),
      frame('b.jpg', 'blurred', 0.4),
      frame('c.jpg', 'not_connected', 0),
    ],
  },
};

test('cameras belong to the images that the model got', () => {
  const found = poses(METADATA).map(({ index, name }) => ({ index, name }));
  assert.deepEqual(found, [
    { index: 0, name: 'a.jpg' },
    { index: 2, name: 'b.jpg' },
  ]);
  const { quality, ...older } = METADATA;
  assert.ok(quality);
  const indices = poses(older).map(({ index }) => index);
  assert.deepEqual(indices, [0, 1], 'an older server sets nothing aside');
});

test('images are counted and blamed', () => {
  assert.equal(countUsed(METADATA), 2);
  assert.deepEqual(faults(METADATA), [
    'banner.jpg is left out: another shape',
    'b.jpg is doubtful: blurred',
    'c.jpg is left out: shows nothing of the others',
  ]);
  const { quality, ...older } = METADATA;
  assert.ok(quality);
  assert.equal(countUsed(older), 1);
  assert.deepEqual(faults(older), ['could not be placed: banner.jpg, c.jpg']);
});
