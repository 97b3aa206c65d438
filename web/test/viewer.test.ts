import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BufferAttribute,
  BufferGeometry,
  InterleavedBuffer,
  InterleavedBufferAttribute,
  Vector3,
} from 'three';

import { PointBudget } from '../src/viewer/budget';
import { poses } from '../src/viewer/cameras';
import { keepOnGpu } from '../src/viewer/cloud';
import { plyConfidence } from '../src/viewer/ply';
import { depthOf } from '../src/viewer/points';
import { Ruler } from '../src/viewer/ruler';
import { shuffle } from '../src/viewer/shuffle';

const MILLION = 1_000_000;

test('slow frames get fewer points, and fast ones more again', () => {
  const budget = new PointBudget();
  const frame = (ms: number) => budget.measure(ms, budget.of(MILLION));
  assert.equal(budget.of(MILLION), MILLION);
  frame(300);
  assert.equal(budget.of(MILLION), MILLION, 'a single slow frame is ignored');
  frame(300);
  assert.equal(budget.of(MILLION), MILLION / 4);
  frame(60);
  assert.equal(budget.of(MILLION), MILLION / 8);
  frame(30);
  assert.equal(budget.of(MILLION), MILLION / 8, 'a smooth frame rate keeps the limit');
  for (let turn = 0; turn < 20; turn += 1) {
    frame(16);
  }
  assert.equal(budget.of(MILLION), MILLION);
});

test('the limit has a minimum, however slow the frames', () => {
  const budget = new PointBudget();
  for (let turn = 0; turn < 30; turn += 1) {
    budget.measure(1000, budget.of(MILLION));
  }
  assert.equal(budget.of(MILLION), 20_000);
  assert.equal(budget.of(300), 300);
});

/** Points whose coordinates and colours identify them. */
function numbered(count: number): number[][] {
  return Array.from({ length: count }, (_, index) => [index, 2 * index, 3 * index, index % 251]);
}

test('points are shuffled with all their attributes', async () => {
  const points = numbered(1000);
  const geometry = new BufferGeometry();
  const positions = Float32Array.from(points.flatMap((point) => point.slice(0, 3)));
  const colors = Uint8Array.from(points.flatMap(([, , , shade = 0]) => [shade, 1, 2, 3]));
  geometry.setAttribute('position', new BufferAttribute(positions, 3));
  geometry.setAttribute('color', new BufferAttribute(colors, 4));
  await shuffle(geometry);
  const position = geometry.getAttribute('position');
  const color = geometry.getAttribute('color');
  const order = points.map((_, index) => position.getX(index));
  assert.deepEqual(
    [...order].sort((a, b) => a - b),
    points.map(([x]) => x),
  );
  order.forEach((x, index) => {
    assert.equal(position.getY(index), 2 * x);
    assert.equal(position.getZ(index), 3 * x);
    assert.equal(color.getX(index), x % 251);
    assert.equal(color.getW(index), 3);
  });
  // The first tenth has points of all quarters.
  const quarters = new Set(order.slice(0, 100).map((x) => Math.floor(x / 250)));
  assert.equal(quarters.size, 4);
});

test('interleaved points with padding are shuffled as well', async () => {
  const packed = Uint16Array.from(numbered(100).flatMap(([x = 0, y = 0]) => [x, y, 7, 0]));
  const buffer = new InterleavedBuffer(packed, 4);
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new InterleavedBufferAttribute(buffer, 3, 0));
  await shuffle(geometry);
  const position = geometry.getAttribute('position');
  const order = Array.from({ length: 100 }, (_, index) => position.getX(index));
  assert.notDeepEqual(
    order,
    numbered(100).map(([x]) => x),
  );
  order.forEach((x, index) => {
    assert.equal(position.getY(index), 2 * x);
    assert.equal(position.getZ(index), 7);
  });
});

test('points are not kept in memory after their upload to the GPU', () => {
  const geometry = new BufferGeometry();
  const plain = new BufferAttribute(new Float32Array(3), 3);
  const buffer = new InterleavedBuffer(new Uint16Array(4), 4);
  geometry.setAttribute('position', plain);
  geometry.setAttribute('color', new InterleavedBufferAttribute(buffer, 3, 0));
  keepOnGpu(geometry);
  plain.onUploadCallback();
  buffer.onUploadCallback();
  assert.equal(plain.array, null);
  assert.equal(buffer.array, null);
  assert.equal(plain.count, 1);
});

test('the corners of a distorted image are where its lens saw them', () => {
  const identity = [0, 1, 2, 3].map((row) => [0, 1, 2, 3].map((column) => +(row === column)));
  const intrinsics = [
    [100, 0, 49.5],
    [0, 100, 29.5],
    [0, 0, 1],
  ];
  const corner = (distortion: [number, number]) => {
    const [pose] = poses({
      num_frames: 1,
      session_id: '',
      glb_size_bytes: 0,
      intrinsics: [intrinsics],
      distortion: [distortion],
      extrinsics: [identity],
      world_to_glb: identity,
      processed_size: [100, 60],
      frames: ['a.jpg'],
    });
    const last = pose?.corners[2];
    assert.ok(last);
    return last;
  };
  assert.ok(corner([0, 0]).distanceTo(new Vector3(0.5, 0.3, 1)) < 1e-9);
  const { x, y, z } = corner([-0.2, 0.05]);
  const squared = x * x + y * y;
  const factor = 1 - 0.2 * squared + 0.05 * squared * squared;
  assert.ok(Math.abs(x * factor - 0.5) < 1e-9 && Math.abs(y * factor - 0.3) < 1e-9);
  assert.equal(z, 1);
  assert.ok(x > 0.5);
});

test('a depth is read from the bytes that the GPU writes', () => {
  // As the shader packs it, rounded to bytes.
  const packed = (depth: number) => {
    const parts = [1, 255, 65025, 16581375].map((factor) => (depth * factor) % 1);
    const bytes = parts.map((part, index) => part - (parts[index + 1] ?? 0) / 255);
    return Uint8Array.from(bytes.map((value) => Math.round(255 * value)));
  };
  for (const depth of [0, 0.25, 0.5, 0.9734567, 0.999999]) {
    assert.ok(Math.abs(depthOf(packed(depth)) - depth) < 1e-7, `${depth}`);
  }
  assert.ok(depthOf(Uint8Array.from([255, 255, 255, 255])) >= 1, 'nothing');
});

test('a ruler has two ends', () => {
  const ruler = new Ruler();
  ruler.add(new Vector3(1, 0, 0));
  assert.equal(ruler.length, undefined);
  ruler.add(new Vector3(4, 4, 0));
  assert.equal(ruler.length, 5);
  ruler.add(new Vector3());
  assert.deepEqual([ruler.count, ruler.length], [1, undefined]);
  ruler.clear();
  assert.equal(ruler.group.children.length, 0);
});

test('confidences are read from a PLY file', () => {
  const header =
    'ply\nformat binary_little_endian 1.0\nelement vertex 2\nproperty float x\n' +
    'property uchar red\nproperty float confidence\nend_header\n';
  const file = new Uint8Array(header.length + 18);
  file.set(new TextEncoder().encode(header));
  const view = new DataView(file.buffer, header.length);
  view.setFloat32(5, 1.5, true);
  view.setFloat32(14, 7, true);
  assert.deepEqual([...plyConfidence(file.buffer)], [1.5, 7]);
  assert.throws(() => plyConfidence(file.slice(0, -1).buffer), /not a PLY/);
  assert.throws(() => plyConfidence(new ArrayBuffer(3)), /not a PLY/);
});
