// Runs the unit tests: bundles each file for Node and passes it to Node's test runner.

import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

const here = import.meta.dirname;
const tests = (await readdir(here)).filter((name) => name.endsWith('.test.ts'));
const folder = await mkdtemp(join(here, '../node_modules/.tests-'));
try {
  await build({
    entryPoints: tests.map((name) => join(here, name)),
    bundle: true,
    platform: 'node',
    format: 'esm',
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    sourcemap: 'inline',
  });
  const files = tests.map((name) => join(folder, name.replace(/\.ts$/, '.mjs')));
  const run = spawnSync(process.execPath, ['--enable-source-maps', '--test', ...files], {
    stdio: 'inherit',
  });
  process.exitCode = run.status ?? 1;
} finally {
  await rm(folder, { recursive: true });
}
