// The live camera, with Chromium's fake device, which shows a moving image.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { drawn } from './support/pixels.mjs';
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

test('the camera sends every n-th frame and requests updates', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByLabel('Images between two updates').fill('3');
  await page.getByRole('tab', { name: 'Camera' }).click();
  await page.getByLabel('Take one image every').fill('5');
  const empty = await drawn(page);
  await page.getByRole('button', { name: 'Start the camera' }).click();
  await page.locator('#preview').waitFor();
  await stored(page, 4);
  await page.locator('#facts', { hasText: /\d points · [1-9]\d* camera/ }).waitFor();
  const full = await drawn(page);
  assert.ok(full.share > empty.share + 0.1, `${full.share} of the view is not background`);
  await page.getByRole('button', { name: 'Stop the camera' }).click();
  await page.locator('#preview').waitFor({ state: 'hidden' });
  // The last frame may still be on its way to the thumbnails and to the server.
  let sent = -1;
  while (sent !== (await page.locator('.thumbnail').count())) {
    sent = await page.locator('.thumbnail').count();
    await stored(page, sent);
    await page.waitForTimeout(500);
  }
  const { body } = await server.json(`/ws/session/${sessionOf(page)}`);
  assert.equal(body.image_count, sent);
  assert.deepEqual((await page.locator('.thumbnail .name').allInnerTexts()).slice(0, 2), [
    'camera_0001.jpg',
    'camera_0002.jpg',
  ]);
  well();
  await page.close();
});

test('switching tabs stops the camera', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await page.getByRole('tab', { name: 'Camera' }).click();
  await page.getByRole('button', { name: 'Start the camera' }).click();
  await page.locator('#preview').waitFor();
  await page.getByRole('tab', { name: 'Photos' }).click();
  await expect(page.locator('#preview')).toHaveJSProperty('srcObject', null);
  well();
  await page.close();
});

test('a full session stops the camera', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByLabel('Most images').fill('2');
  await page.getByText('All at once').click();
  await page.getByRole('tab', { name: 'Camera' }).click();
  await page.getByLabel('Take one image every').fill('3');
  await page.getByRole('button', { name: 'Start the camera' }).click();
  await logged(page, 'takes no more images, so the camera was stopped');
  await page.getByRole('button', { name: 'Start the camera' }).waitFor();
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 2 images');
  well();
  await page.close();
});

/**
 * Opens a page whose camera permission comes late or whose preview cannot play. `isOff` waits until
 * the camera has stopped.
 */
async function openWithCamera(change) {
  const opened = await openPage(browser.context, `${server.base}/`);
  await opened.page.evaluate((change) => {
    const devices = navigator.mediaDevices;
    const ask = devices.getUserMedia.bind(devices);
    const answered = new Promise((resolve) => {
      globalThis.allowCamera = resolve;
    });
    devices.getUserMedia = async (wanted) => {
      globalThis.cameraAsked = true;
      await (change === 'late' && answered);
      globalThis.cameraStream = await ask(wanted);
      return globalThis.cameraStream;
    };
    if (change === 'no picture') {
      HTMLMediaElement.prototype.play = () => Promise.reject(new Error('no picture'));
    }
  }, change);
  await opened.page.getByRole('tab', { name: 'Camera' }).click();
  await opened.page.getByRole('button', { name: 'Start the camera' }).click();
  const isOff = () =>
    opened.page.waitForFunction(() =>
      globalThis.cameraStream?.getTracks().every(({ readyState }) => readyState === 'ended'),
    );
  return { ...opened, isOff };
}

test('a camera allowed after switching tabs does not run', async () => {
  const { page, well, isOff } = await openWithCamera('late');
  await page.waitForFunction(() => globalThis.cameraAsked);
  await page.getByRole('tab', { name: 'Photos' }).click();
  await page.evaluate(() => globalThis.allowCamera());
  await isOff();
  await expect(page.locator('#preview')).toHaveJSProperty('srcObject', null);
  well();
  await page.close();
});

test('a camera without a playable preview does not run', async () => {
  const { page, well, isOff } = await openWithCamera('no picture');
  await page.locator('#notice', { hasText: 'cannot be shown' }).waitFor();
  await isOff();
  well();
  await page.close();
});
