// The page in the README of the TypeScript client, with the built package beside it.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { serveFiles } from './support/files.mjs';
import { openPage } from './support/page.mjs';
import { photos } from './support/scene.mjs';
import { archive, REPOSITORY, startServer } from './support/server.mjs';

const PACKAGE = join(REPOSITORY, 'clients/js');

let server;
let folder;
let files;
let browser;

before(async () => {
  server = await startServer('--model', archive('flat'));
  folder = await mkdtemp(join(tmpdir(), 'pointstream-page-'));
  const readme = await readFile(join(PACKAGE, 'README.md'), 'utf8');
  const [, page] = /```html\n(.*?)```/s.exec(readme);
  await writeFile(join(folder, 'page.html'), page.replace('http://127.0.0.1:8000', server.base));
  // Browsers ask for it.
  await writeFile(join(folder, 'favicon.ico'), '');
  // run.sh builds it.
  await symlink(join(PACKAGE, 'dist'), join(folder, 'pointstream'));
  files = await serveFiles(folder);
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
  await files?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

test('the page of the README makes a cloud of the chosen photos', async () => {
  const { page, well } = await openPage(browser.context, `${files.base}/page.html`);
  await page.locator('input').setInputFiles(photos(3));
  await page.locator('p', { hasText: /points: (good|partial)/ }).waitFor();
  const [count] = (await page.locator('p').innerText()).split(' ');
  assert.ok(Number(count) > 1000, `${count} points`);
  const { body } = await server.json('/ws/sessions');
  assert.deepEqual(body.sessions, [], 'the session was deleted');
  well();
  await page.close();
});
