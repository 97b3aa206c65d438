/** The examples of README.md, each as a program of its own. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Program } from './program.js';

const PACKAGE = process.cwd();
const PHOTOS = join(PACKAGE, '../../examples/sample_scene');

test('examples of the documents run', async () => {
  const readme = readFileSync(join(PACKAGE, 'README.md'), 'utf8');
  const blocks = readme.split('```js\n').slice(1);
  assert.ok(blocks.length >= 4);
  const folder = mkdtempSync(join(tmpdir(), 'pointstream-readme-'));
  const program = await Program.start('flat');
  try {
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(PACKAGE, join(folder, 'node_modules/pointstream'));
    const photos = readdirSync(PHOTOS).filter((name) => name.endsWith('.jpg'));
    for (const photo of photos.sort().slice(0, 4)) {
      copyFileSync(join(PHOTOS, photo), join(folder, photo));
    }
    const printed: string[] = [];
    for (const block of blocks) {
      const [code = ''] = block.split('```');
      const path = join(folder, 'example.mjs');
      writeFileSync(path, code.replaceAll('http://127.0.0.1:8000', program.url));
      const run = promisify(execFile);
      const { stdout } = await run(process.execPath, [...process.execArgv, path], { cwd: folder });
      printed.push(stdout);
    }
    assert.match(printed[0] ?? '', /^(good|partial)/);
    assert.match(printed[1] ?? '', /100 % .*\n[\s\S]*points (good|partial)/);
    assert.match(printed[2] ?? '', /^invalid_image /);
    assert.equal(readFileSync(join(folder, 'scene.glb')).subarray(0, 4).toString(), 'glTF');
    assert.match(readFileSync(join(folder, 'scene.ply'), 'latin1').slice(0, 20), /^ply\n/);
  } finally {
    await program.stop();
    rmSync(folder, { recursive: true });
  }
});
