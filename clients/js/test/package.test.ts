/** The package as users get it. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { VERSION } from '../src/index.js';

const PACKAGE = process.cwd();
let folder: string;
let installed: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'pointstream-package-'));
  // The build is there already: check.sh makes it.
  const options = ['--ignore-scripts', '--silent', '--pack-destination', folder];
  execFileSync('npm', ['pack', ...options], { cwd: PACKAGE });
  const modules = join(folder, 'node_modules');
  mkdirSync(modules);
  execFileSync('tar', ['-xzf', join(folder, `pointstream-${VERSION}.tgz`), '-C', modules]);
  installed = join(modules, 'pointstream');
  execFileSync('mv', [join(modules, 'package'), installed]);
});

after(() => rmSync(folder, { recursive: true, force: true }));

function files(under: string): string[] {
  const found = readdirSync(under, { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(under.length + 1))
    .sort();
}

test('the package has everything and nothing else', () => {
  const built = files(join(PACKAGE, 'src')).flatMap((path) => {
    const stem = `dist/${path.replace(/\.ts$/, '')}`;
    return [`${stem}.d.ts`, `${stem}.js`];
  });
  const expected = ['LICENSE', 'README.md', 'package.json', ...built].sort();
  assert.deepEqual(files(installed), expected);
  const licence = readFileSync(join(installed, 'LICENSE'), 'utf8');
  assert.equal(licence, readFileSync(join(PACKAGE, '../../LICENSE'), 'utf8'));
  const described = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  assert.equal(described.version, VERSION);
  assert.equal(described.dependencies, undefined);
});

test('the package is imported, and its types are found', () => {
  const source =
    "import { Client, VERSION } from 'pointstream';\n" +
    "import { Engine } from 'pointstream/engine';\n" +
    "const client: Client = new Client('http://127.0.0.1:8000');\n" +
    "const text: string = [client.url, VERSION, Engine.name].join(' ');\n" +
    'console.log(text);\n' +
    '// @ts-expect-error: the address is no number\n' +
    'export const wrong = () => new Client(8000);\n';
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  writeFileSync(join(folder, 'program.ts'), source);
  const compiler = join(PACKAGE, 'node_modules/typescript/bin/tsc');
  const options = [
    '--ignoreConfig',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--strict',
    '--types',
    'node',
  ];
  const types = ['--typeRoots', join(PACKAGE, 'node_modules/@types')];
  const command = [compiler, ...options, ...types, 'program.ts'];
  execFileSync(process.execPath, command, { cwd: folder, stdio: 'pipe' });
  const printed = execFileSync(process.execPath, ['program.js'], { cwd: folder });
  assert.equal(String(printed).trim(), `http://127.0.0.1:8000 ${VERSION} Engine`);
});
