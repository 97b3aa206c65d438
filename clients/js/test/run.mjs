// Runs tests: bundles each file for Node and passes it to Node's test runner.
// Usage: node test/run.mjs [FILE...]; by default all but those that need the real program.

import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { build } from 'esbuild';

const here = import.meta.dirname;
const tests = (await readdir(here)).filter((name) => name.endsWith('.test.ts'));
const named = process.argv.slice(2).map((path) => resolve(path));
const chosen = named.length > 0 ? named : tests.map((name) => join(here, name));
const modules = join(here, '../node_modules');
await mkdir(modules, { recursive: true });
const folder = await mkdtemp(join(modules, '.tests-'));
try {
  await build({
    entryPoints: chosen,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['ws'],
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    sourcemap: 'inline',
  });
  const files = chosen.map((path) => join(folder, basename(path).replace(/\.ts$/, '.mjs')));
  // Node.js 22 and newer have a WebSocket; the one of Node.js 20 waits behind an option.
  const options = typeof WebSocket === 'undefined' ? ['--experimental-websocket'] : [];
  const run = spawnSync(
    process.execPath,
    [
      '--enable-source-maps',
      '--disable-warning=ExperimentalWarning',
      ...options,
      // A test that fails may leave a session open, which would go on for ever.
      '--test-force-exit',
      '--test',
      ...files,
    ],
    { stdio: 'inherit' },
  );
  process.exitCode = run.status ?? 1;
} finally {
  await rm(folder, { recursive: true });
}
