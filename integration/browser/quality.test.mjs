// The client page: what it says about a result that is not good.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { openPage } from './support/page.mjs';
import { plain } from './support/pictures.mjs';
import { chooseResolution, logged, photos } from './support/scene.mjs';
import { archive, startServer } from './support/server.mjs';

let server;
let browser;

before(async () => {
  server = await startServer('--model', archive('reporting'));
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
  await server?.stop();
});

test('the verdict and the advice stand beside the result', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.getByLabel('Images between two updates').fill('3');
  const quality = page.locator('#quality');
  assert.ok(await quality.isHidden());
  // The model of this server leaves out blue images.
  const files = photos(2).map(async (path) => ({
    name: basename(path),
    mimeType: 'image/jpeg',
    buffer: await readFile(path),
  }));
  files.push(plain(page, 'blue.png', 'rgb(0, 0, 200)'));
  await page.locator('#photos').setInputFiles(await Promise.all(files));
  await page.locator('#facts', { hasText: /2 cameras · partial/ }).waitFor();
  await quality.getByText('the camera turned but did not move').waitFor();
  assert.equal(await quality.getAttribute('data-verdict'), 'partial');
  await logged(page, 'blue.png is left out: rotation only');

  await page.getByRole('button', { name: 'New session' }).click();
  await page.getByRole('button', { name: 'Delete it' }).click();
  await quality.waitFor({ state: 'hidden' });
  well();
  await page.close();
});
