// The live camera: Chromium's fake device, whose picture moves.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, logged, sessionOf, stored } from './support/scene.mjs';
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

test('the camera sends an image every so many frames, and asks for updates', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByLabel('Images between two updates').fill('3');
  await page.getByRole('tab', { name: 'Camera' }).click();
  await page.getByLabel('Take one image every').fill('5');
  await page.getByRole('button', { name: 'Start the camera' }).click();
  await page.locator('#preview').waitFor();
  await stored(page, 4);
  // Nothing in this picture is a scene, so the model may say so; it is asked in any case.
  await logged(page, 'asked for an update');
  await page.getByRole('button', { name: 'Stop the camera' }).click();
  await page.locator('#preview').waitFor({ state: 'hidden' });
  const sent = await page.locator('.thumbnail').count();
  await stored(page, sent);
  const { body } = await server.json(`/ws/session/${sessionOf(page)}`);
  assert.equal(body.image_count, sent);
  assert.deepEqual((await page.locator('.thumbnail .name').allInnerTexts()).slice(0, 2), [
    'camera_0001.jpg',
    'camera_0002.jpg',
  ]);
  well();
  await page.close();
});

test('another tab switches the camera off', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await page.getByRole('tab', { name: 'Camera' }).click();
  await page.getByRole('button', { name: 'Start the camera' }).click();
  await page.locator('#preview').waitFor();
  await page.getByRole('tab', { name: 'Photos' }).click();
  assert.equal(await page.locator('#preview').evaluate((video) => video.srcObject), null);
  well();
  await page.close();
});
