// Opens GLB files with three.js and compares those with compressed points with the plain one of
// the same scene: node compare.mjs PLAIN.glb COMPRESSED.glb...
//
// Prints a line about each compressed file and, as the last line, "N passed, N failed". Exits with
// 1 if a file cannot be opened or differs from the plain one, or if there is nothing to compare.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Matrix4, Vector3 } from 'three';
import { GLTFLoader } from 'three/examples/jsm/loaders/GLTFLoader.js';
import { MeshoptDecoder } from 'three/examples/jsm/libs/meshopt_decoder.module.js';

const QUANTIZATION = 'KHR_mesh_quantization';
const MESHOPT = 'EXT_meshopt_compression';

// Half a step, plus the rounding of the grid's origin and step to single precision.
const STEPS_OFF = 0.503;
const SINGLE_PRECISION = 2 ** -23;

// Fewer points may be smaller than the description of their compression.
const MANY_POINTS = 1000;

const COMPONENTS = ['getX', 'getY', 'getZ'];

async function open(path, decoder = MeshoptDecoder) {
  const bytes = await readFile(path);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const loader = new GLTFLoader();
  if (decoder) {
    loader.setMeshoptDecoder(decoder);
  }
  const { scene, parser } = await loader.parseAsync(buffer, '');
  scene.updateMatrixWorld(true);
  return { bytes: bytes.length, scene, json: parser.json };
}

/** The extensions that a file with compressed points has to require, by its name. */
function expectedExtensions(path, hasPoints) {
  const compression = basename(path).split('.').at(-2);
  assert.ok(['quantized', 'meshopt'].includes(compression), 'the file name gives the compression');
  if (!hasPoints) {
    return [];
  }
  return compression === 'meshopt' ? [QUANTIZATION, MESHOPT] : [QUANTIZATION];
}

function sameNumbers(found, expected, what) {
  assert.equal(found.count, expected.count, `number of ${what}`);
  assert.equal(found.itemSize, expected.itemSize, what);
  for (let index = 0; index < found.count; index += 1) {
    for (let component = 0; component < found.itemSize; component += 1) {
      if (found.getComponent(index, component) !== expected.getComponent(index, component)) {
        assert.fail(`${what} ${index} differs`);
      }
    }
  }
}

/** Compares positions; returns the largest distance along an axis in quantization steps. */
function comparePositions(found, expected) {
  const step = found.getWorldScale(new Vector3()).toArray();
  const origin = found.getWorldPosition(new Vector3()).toArray();
  const allowed = step.map(
    (size, axis) => STEPS_OFF * size + SINGLE_PRECISION * Math.abs(origin[axis]),
  );
  const [here, there] = [found, expected].map((points) => points.geometry.getAttribute('position'));
  assert.equal(here.count, there.count, 'number of points');
  let most = 0;
  for (let index = 0; index < here.count; index += 1) {
    for (let axis = 0; axis < 3; axis += 1) {
      const get = COMPONENTS[axis];
      // Two products and a sum: the node has no rotation.
      const distance = Math.abs(origin[axis] + step[axis] * here[get](index) - there[get](index));
      if (!(distance <= allowed[axis])) {
        assert.fail(`point ${index} is ${distance / step[axis]} steps off`);
      }
      most = Math.max(most, distance / step[axis]);
    }
  }
  return most;
}

async function compare(path, plain) {
  const file = await open(path);
  const [found, expected] = [file, plain].map(({ scene }) => scene.getObjectByName('points'));
  assert.equal(found?.isPoints, expected?.isPoints, 'points');
  const required = expectedExtensions(path, Boolean(expected?.isPoints));
  assert.deepEqual(file.json.extensionsRequired ?? [], required, 'extensions required');
  for (const extension of required) {
    assert.ok(file.json.extensionsUsed.includes(extension), `${extension} is used`);
  }
  assert.equal(plain.json.extensionsRequired, undefined, 'the plain file requires nothing');

  let report = 'no points';
  if (expected?.isPoints) {
    assert.deepEqual(found.quaternion.toArray(), [0, 0, 0, 1], 'no rotation');
    assert.ok(expected.matrixWorld.equals(new Matrix4()), 'the plain file has no transform');
    const off = comparePositions(found, expected);
    sameNumbers(found.geometry.getAttribute('color'), expected.geometry.getAttribute('color'),
      'color');
    const { count } = found.geometry.getAttribute('position');
    if (count >= MANY_POINTS) {
      assert.ok(file.bytes < 0.8 * plain.bytes, 'the file is at least 20 % smaller');
    }
    report = `${count} points, at most ${off.toFixed(3)} steps off`;
  }
  if (required.includes(MESHOPT)) {
    await assert.rejects(open(path, null), /setMeshoptDecoder/, 'read without decoding');
  }

  const [lines, expectedLines] = [file, plain].map(({ scene }) => scene.getObjectByName('frustums'));
  assert.equal(lines?.isLineSegments, expectedLines?.isLineSegments, 'frustums');
  for (const name of lines ? ['position', 'color'] : []) {
    sameNumbers(lines.geometry.getAttribute(name), expectedLines.geometry.getAttribute(name),
      `frustum ${name}`);
  }
  const smaller = `${(100 * file.bytes / plain.bytes).toFixed(0)} % of the plain file`;
  return `${report}; ${smaller}`;
}

const [plainPath, ...paths] = process.argv.slice(2);
let passed = 0;
for (const path of paths) {
  try {
    const report = await compare(path, await open(plainPath));
    passed += 1;
    console.log(`pass ${path}: ${report}`);
  } catch (error) {
    console.error(`FAIL ${path}: ${error.message ?? error}`);
  }
}
const failed = paths.length - passed;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || paths.length === 0 ? 1 : 0;
