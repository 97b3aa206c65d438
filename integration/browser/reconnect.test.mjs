// Network failures: the page reconnects to its session by itself.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { bitmap } from './support/pictures.mjs';
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
  await logged(page, 'reconnected');
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
  await page.locator('#photos').setInputFiles(photos(1));
  await stored(page, 1);
  // The server stores the images, but its answers are held back.
  proxy.hold();
  await page.locator('#photos').setInputFiles(photos(8).slice(1));
  await page.locator('.thumbnail[data-state="sent"]').first().waitFor();
  await expect(page.locator('.thumbnail[data-state="acknowledged"]')).toHaveCount(1);
  proxy.cut();
  await logged(page, 'reconnected');
  await stored(page, 8);
  const { body } = await server.json(`/ws/session/${sessionOf(page)}`);
  assert.equal(body.image_count, 8);
  well();
  await page.close();
});

for (const [when, settled] of [
  ['in transit', false],
  ['processed, with their answers held back', true],
]) {
  test(`each image is stored once and the bad one refused: cut while they are ${when}`, async () => {
    const { page, well } = await openPage(browser.context, `${proxy.base}/`);
    await chooseResolution(page, 112);
    await page.getByText('All at once').click();
    await page.locator('#photos').setInputFiles(photos(1));
    await stored(page, 1);
    const session = sessionOf(page);
    const before = await refusals();
    proxy.hold();
    const files = photos(6).slice(1);
    const buffers = files.map(async (path) => ({
      name: basename(path),
      mimeType: 'image/jpeg',
      buffer: await readFile(path),
    }));
    await page
      .locator('#photos')
      .setInputFiles([bitmap('003a.png'), ...(await Promise.all(buffers))]);
    await page
      .locator('.thumbnail[data-state="sent"]')
      .nth(settled ? 5 : 2)
      .waitFor();
    if (settled) {
      await until(async () => {
        const { body } = await server.json(`/ws/session/${session}`);
        return body.image_count === 6 && (await refusals()) > before;
      });
    }
    proxy.cut();
    await logged(page, 'reconnected');
    await stored(page, 6);
    const refused = page.locator('.thumbnail[data-state="refused"]');
    await refused.waitFor();
    await expect(refused).toHaveText(/003a\.png[\s\S]*not supported/);
    await expect(page.locator('#counts')).toHaveText('6 of 7 stored, 1 refused');
    const { body } = await server.json(`/ws/session/${session}/images`);
    assert.deepEqual(
      body.images.map(({ image_path }) => image_path).sort(),
      photos(6).map((path) => basename(path)),
    );
    assert.equal(new Set(body.images.map(({ id }) => id)).size, 6);
    assert.ok(body.images.every(({ id }) => id));
    well();
    await page.close();
  });
}

test('a page reloaded during finalizing learns that the session is completed', async () => {
  const { page, well } = await openPage(browser.context, `${proxy.base}/`);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(6));
  await stored(page, 6);
  await page.getByRole('button', { name: 'Finish' }).click();
  await page.locator('#progress[data-stage="inference"]').waitFor();
  await page.reload();
  await page.locator('#facts', { hasText: '6 cameras' }).waitFor();
  await page.getByRole('button', { name: 'Finish' }).waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: 'Update' }).waitFor({ state: 'hidden' });
  await page.locator('#next', { hasText: 'This session is finished' }).waitFor();
  well();
  await page.close();
});

test('a page without a server opens its session once the server responds', async () => {
  const created = await fetch(`${server.base}/ws/session/create`, { method: 'POST' });
  const { session_id } = await created.json();
  const page = await browser.context.newPage();
  let down = true;
  await page.route('**/info', (route) => (down ? route.abort() : route.continue()));
  await page.goto(`${server.base}/?session=${session_id}`);
  await page.locator('#log li', { hasText: 'does not answer' }).first().waitFor({
    state: 'attached',
  });
  assert.equal(sessionOf(page), session_id);
  down = false;
  await page.getByRole('button', { name: 'New session' }).waitFor();
  await page.getByRole('button', { name: 'Try now' }).click();
  await logged(page, 'the session has 0 images');
  assert.equal(sessionOf(page), session_id);
  await page.close();
});

test('a session deleted during an outage is shown as ended', async () => {
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

/** Number of images refused by the server. */
async function refusals() {
  const { body } = await server.json('/stats');
  return body.errors.filter(({ kind }) => kind === 'image').length;
}

/** Waits for a condition, with a timeout. */
async function until(done) {
  for (let looks = 0; !(await done()); looks += 1) {
    assert.ok(looks < 600, 'the condition was not met in time');
    await setTimeout(100);
  }
}
