// A network that drops: the page comes back to its session by itself.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { openPage } from './support/page.mjs';
import { startProxy } from './support/proxy.mjs';
import { chooseResolution, logged, photos, sessionOf, stored, times } from './support/scene.mjs';
import { archive, startServer } from './support/server.mjs';

let server;
let proxy;
let browser;

before(async () => {
  server = await startServer('--model', archive('slow'));
  proxy = await startProxy(server.base);
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
  await proxy?.stop();
  await server?.stop();
});

test('a cut in the middle of a request loses nothing', async () => {
  const { page, well } = await openPage(browser.context, `${proxy.base}/`);
  const resumed = page.waitForEvent('websocket', (socket) => socket.url().includes('resume=true'));
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(5));
  await stored(page, 5);
  await page.getByRole('button', { name: 'Finish' }).click();
  await page.locator('#progress[data-stage="inference"]').waitFor();
  proxy.cut();
  await logged(page, 'connection lost');
  await resumed;
  await logged(page, 'connected again');
  await logged(page, 'final result, 5 images');
  assert.equal(await times(page, 'asked to finish'), 1, 'the request is not repeated');
  await page.locator('#facts', { hasText: '5 cameras' }).waitFor();
  well();
  await page.close();
});

test('a cut in the middle of the upload sends each image once', async () => {
  const { page, well } = await openPage(browser.context, `${proxy.base}/`);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(8));
  await stored(page, 1);
  proxy.cut();
  await logged(page, 'connected again');
  await stored(page, 8);
  const { body } = await server.json(`/ws/session/${sessionOf(page)}`);
  assert.equal(body.image_count, 8);
  well();
  await page.close();
});

test('a session that was deleted meanwhile is said to have ended', async () => {
  const { page, well } = await openPage(browser.context, `${proxy.base}/`);
  await chooseResolution(page, 56);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(1));
  await stored(page, 1);
  await fetch(`${server.base}/ws/session/${sessionOf(page)}`, { method: 'DELETE' });
  await logged(page, 'session ended: the session was deleted');
  await page.getByRole('button', { name: 'New session' }).click();
  await page.locator('#photos').setInputFiles(photos(1));
  await stored(page, 1);
  well();
  await page.close();
});
