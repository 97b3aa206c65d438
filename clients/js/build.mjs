// Builds the package into dist/: a module and its types for each source.

import { spawnSync } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

const here = import.meta.dirname;
const { version } = JSON.parse(await readFile(join(here, 'package.json'), 'utf8'));
const source = await readFile(join(here, 'src/version.ts'), 'utf8');
if (!source.includes(`VERSION = '${version}'`)) {
  console.error(`error: src/version.ts and package.json (${version}) have different versions`);
  process.exit(1);
}
await rm(join(here, 'dist'), { recursive: true, force: true });
const compiler = join(here, 'node_modules/typescript/bin/tsc');
const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], {
  cwd: here,
  stdio: 'inherit',
});
process.exitCode = status ?? 1;
