import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Append, FramePose, FrameQuality, Metadata } from 'pointstream/engine';
import {
  BufferAttribute,
  BufferGeometry,
  Matrix4,
  Points,
  type ShaderMaterial,
  Vector3,
} from 'three';
import { Updates } from '../src/client/updates';
import { posesOf } from '../src/viewer/cameras';
import { Followed } from '../src/viewer/followed';
import { Parts } from '../src/viewer/parts';

function identity(x = 0): number[][] {
  return [
    [1, 0, 0, x],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 1],
  ];
}

function pose(frame: number, x = 0): FramePose {
  return {
    frame,
    image: frame - 1,
    name: `${frame}.jpg`,
    chunk: 0,
    camera_to_glb: identity(x),
    points_to_glb: identity(x),
    intrinsics: [
      [100, 0, 49.5],
      [0, 100, 29.5],
      [0, 0, 1],
    ],
    distortion: [0, 0],
  };
}

function update(number: number, change: Partial<Append> = {}): Append {
  return {
    number,
    reset: number === 1,
    images: [],
    frames: [],
    corrections: [],
    kept: [],
    ...change,
  };
}

function metadata(append: Append, names: string[] = []): Metadata {
  const frames: FrameQuality[] = names.map((name) => ({
    name,
    used: true,
    reason: null,
    known_share: 1,
  }));
  return {
    num_frames: 9,
    session_id: '',
    glb_size_bytes: 0,
    processed_size: [100, 60],
    quality: { verdict: 'good', reasons: [], advice: [], frames },
    append,
  };
}

test('the lists of updates add up to those of all images', () => {
  const updates = new Updates();
  const apply = (append: Append, names: string[]) => {
    const whole = updates.apply(metadata(append, names), append);
    return {
      names: whole.quality?.frames.map(({ name }) => name),
      lost: whole.unregistered_frames,
    };
  };
  assert.deepEqual(apply(update(1, { images: [0, 1], frames: [pose(1)] }), ['a', 'b']), {
    names: ['a', 'b'],
    lost: ['b'],
  });
  // The second image is placed later, with a third one.
  assert.deepEqual(apply(update(2, { images: [1, 2], frames: [pose(2), pose(3)] }), ['b', 'c']), {
    names: ['a', 'b', 'c'],
    lost: [],
  });
  assert.deepEqual(apply(update(3, { reset: true, images: [0] }), ['a']).names, ['a']);
});

test('frames are kept with their places until a reset', () => {
  const followed = new Followed();
  const [first, second] = [new Blob(['1']), new Blob(['2'])];
  followed.apply(update(1, { frames: [pose(1), pose(2)] }), first);
  followed.apply(
    update(2, {
      frames: [pose(3)],
      corrections: [pose(1, 5)],
      kept: [{ frame: 2, points: 10 }],
    }),
    second,
  );
  assert.deepEqual(followed.glbs, [first, second]);
  assert.deepEqual([...followed.poses.keys()], [1, 2, 3]);
  assert.deepEqual([...followed.kept], [[2, 10]]);
  const all = posesOf(followed.poses.values(), metadata(update(2), ['a', 'a', 'b']));
  assert.deepEqual(
    all.map(({ name, index }) => [name, index]),
    [
      ['a', 0],
      ['a (2)', 1],
      ['b', 2],
    ],
  );
  assert.ok(all[0]?.center.equals(new Vector3(5, 0, 0)));
  assert.ok((all[0]?.corners[2]?.distanceTo(new Vector3(0.5, 0.3, 1)) ?? 1) < 1e-9);
  // Nothing new needs no file.
  followed.apply(update(3), new Blob());
  assert.equal(followed.glbs.length, 2);
  followed.apply(update(4, { reset: true, frames: [pose(4)] }), first);
  assert.deepEqual([...followed.poses.keys()], [4]);
  assert.deepEqual([...followed.kept], []);
});

function part(count: number) {
  const geometry = new BufferGeometry();
  const positions = Float32Array.from({ length: 3 * count }, (_, index) => index % 3);
  geometry.setAttribute('position', new BufferAttribute(positions, 3));
  const points = new Points(geometry, undefined as unknown as ShaderMaterial);
  // Stored in steps of a tenth.
  return { points, grid: new Matrix4().makeScale(0.1, 0.1, 0.1) };
}

test('parts are moved, cut and drawn evenly', () => {
  const parts = new Parts(() => true);
  const [large, small] = [part(1000), part(100)];
  parts.add(1, large, new Matrix4());
  parts.add(2, small, new Matrix4().makeTranslation(3, 0, 0));
  assert.equal(parts.count, 1100);
  parts.keep(1, 500);
  parts.keep(7, 1);
  assert.equal(parts.count, 600);
  parts.draw(600);
  assert.equal(large.points.geometry.drawRange.count, 500);
  parts.draw(60);
  assert.equal(large.points.geometry.drawRange.count, 50);
  assert.equal(small.points.geometry.drawRange.count, 10);
  parts.move(1, new Matrix4().makeTranslation(0, 7, 0));
  const moved = new Vector3(0, 1, 2).applyMatrix4(large.points.matrix);
  assert.ok(moved.distanceTo(new Vector3(0, 7.1, 0.2)) < 1e-6);
  const sample = parts.sample();
  assert.ok(sample.some((point) => point.distanceTo(new Vector3(3, 0.1, 0.2)) < 1e-6));
  assert.ok(sample.some((point) => point.distanceTo(new Vector3(0, 7.1, 0.2)) < 1e-6));
  parts.clear();
  assert.equal(parts.count, 0);
});

test('a corrected part glides to its place', () => {
  const parts = new Parts(() => false);
  const moving = part(10);
  parts.add(1, moving, new Matrix4());
  const turned = new Matrix4().makeRotationZ(Math.PI / 2).setPosition(4, 0, 0);
  parts.move(1, turned);
  const now = () => new Vector3(0, 1, 2).applyMatrix4(moving.points.matrix);
  const [start, end] = [new Vector3(0, 0.1, 0.2), new Vector3(3.9, 0, 0.2)];
  assert.ok(now().distanceTo(start) < 1e-6, 'it does not jump');
  assert.ok(
    parts.sample().some((point) => point.distanceTo(end) < 1e-6),
    'the extent is that of the place it goes to',
  );
  assert.equal(parts.step(1000), true);
  assert.ok(now().distanceTo(start) < 1e-6);
  assert.equal(parts.step(1350), true);
  const half = now();
  assert.ok(half.x > 1.5 && half.x < 2.5, `${half.x}`);
  // Another correction on the way begins where the part is.
  parts.move(1, new Matrix4());
  assert.equal(parts.step(1400), true);
  assert.ok(now().distanceTo(half) < 1e-6);
  assert.equal(parts.step(3000), false);
  assert.ok(now().distanceTo(start) < 1e-6);
  parts.move(1, new Matrix4());
  assert.equal(parts.step(4000), false, 'the same place is no move');
});
