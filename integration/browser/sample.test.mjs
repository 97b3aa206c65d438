// The client page before the first photo: what photos work, and photos to try it with.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, logged, photos, sessionOf, stored } from './support/scene.mjs';
import { archive, startServer } from './support/server.mjs';

let server;
let browser;

before(async () => {
  server = await startServer('--model', archive('flat'));
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
  await server?.stop();
});

test('one click makes a cloud of the sample photos', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await expect(page.locator('.guide li')).toHaveCount(4);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await page.getByRole('button', { name: 'Try it with photos' }).click();
  await stored(page, 8);
  await expect(page.locator('#welcome')).toBeHidden();
  await expect(page.getByLabel('Name of this one')).toHaveValue('Sample room');
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 8 images');
  assert.equal((await server.json(`/ws/session/${sessionOf(page)}`)).body.image_count, 8);

  const [first] = photos(1);
  const served = await fetch(`${server.base}/sample/000.jpg`);
  assert.deepEqual(Buffer.from(await served.arrayBuffer()), await readFile(first));
  assert.equal((await server.json('/sample/008.jpg')).status, 404);
  well();
  await page.close();
});
