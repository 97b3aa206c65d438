// Updates that have only what is new: the page keeps the frames of a long stream.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { nextFrame, openPage } from './support/page.mjs';
import { plain } from './support/pictures.mjs';
import { drawn } from './support/pixels.mjs';
import { startProxy } from './support/proxy.mjs';
import { logged, stored } from './support/scene.mjs';
import { archive, startServer } from './support/server.mjs';

/** Six images are one run of the model; it places later ones two at a time. */
const PARAMETERS = 'window=6&process_res=56&max_images=60&finalize_mode=refine';

let server;
let proxy;
let browser;

before(async () => {
  server = await startServer('--model', archive('extending'));
  proxy = await startProxy(server.base);
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
  await proxy?.stop();
  await server?.stop();
});

/** Images that the model places in a row. */
function row(page, from, to) {
  const levels = Array.from({ length: to - from }, (_, index) => from + index);
  return Promise.all(levels.map((level) => plain(page, `${level}.png`, `rgb(${level}, 60, 40)`)));
}

/** What updates change, as the page receives them. */
function changes(page) {
  const found = [];
  page.on('websocket', (socket) => {
    socket.on('framereceived', ({ payload }) => {
      if (typeof payload !== 'string') {
        const header = payload.subarray(8, 8 + payload.readUInt32LE(4));
        found.push(JSON.parse(header.toString()).metadata.append);
      }
    });
  });
  return found;
}

async function openSession(parameters = PARAMETERS) {
  const created = await fetch(`${server.base}/ws/session/create?${parameters}`, { method: 'POST' });
  const { session_id } = await created.json();
  const opened = await openPage(browser.context, 'about:blank');
  const { page } = opened;
  const updates = changes(page);
  await page.goto(`${proxy.base}/?session=${session_id}`);
  await page.getByLabel('Images between two updates').fill('4');
  const canvas = page.locator('#view canvas');
  /** Adds images, and waits for the update with the last one. */
  const grow = async (from, to) => {
    await page.locator('#photos').setInputFiles(await row(page, from, to));
    await stored(page, to);
    await logged(page, `update, ${to} images`);
    await page.locator('#facts', { hasText: `${to} cameras` }).waitFor();
  };
  /** Checks that the page shows all points of the newest result. */
  const complete = async () => {
    const { body } = await server.json(`/ws/session/${session_id}/result?format=json`);
    const points = body.metadata.num_points;
    await canvas.and(page.locator(`[data-points="${points}"][data-drawn="${points}"]`)).waitFor();
  };
  return { ...opened, canvas, updates, grow, complete };
}

test('a long stream grows by its new frames, also after a lost connection', async () => {
  const { page, well, canvas, updates, grow, complete } = await openSession();
  const empty = await drawn(page);
  await grow(0, 8);
  await complete();
  // Points and image of each frame, and the frustums.
  await expect(canvas).toHaveAttribute('data-geometries', '17');
  const view = await canvas.getAttribute('data-view');
  await grow(8, 12);
  await complete();
  await canvas.and(page.locator('[data-gliding="false"]')).waitFor();
  await expect(canvas, 'the larger scene is framed').not.toHaveAttribute('data-view', view);
  assert.equal(updates.at(-1).reset, false);
  assert.deepEqual(
    updates.at(-1).frames.map(({ image }) => image),
    [8, 9, 10, 11],
  );

  const resumed = page.waitForEvent('websocket', (socket) => /since=\d+/.test(socket.url()));
  proxy.cut();
  await resumed;
  await logged(page, 'reconnected');
  await canvas.focus();
  await page.keyboard.press('ArrowLeft');
  await nextFrame(page);
  const own = await canvas.getAttribute('data-view');
  await grow(12, 16);
  await complete();
  await expect(canvas, 'a view that was chosen stays').toHaveAttribute('data-view', own);
  assert.equal(updates.at(-1).reset, false);
  assert.equal(updates.at(-1).frames.length, 4);
  // An image that is out of view has none.
  const geometries = Number(await canvas.getAttribute('data-geometries'));
  assert.ok(geometries > 17 && geometries <= 33, `${geometries} geometries`);
  const full = await drawn(page);
  assert.ok(full.share > empty.share + 0.02, `${full.share} of the view is not background`);

  // Everything is read again after a lost WebGL context.
  await canvas.evaluate(async (canvas) => {
    const loss = canvas.getContext('webgl2').getExtension('WEBGL_lose_context');
    const lost = new Promise((resolve) => {
      canvas.addEventListener('webglcontextlost', () => setTimeout(resolve), { once: true });
    });
    loss.loseContext();
    await lost;
    canvas.dataset.drawn = '';
    loss.restoreContext();
  });
  await complete();
  const again = await drawn(page);
  assert.ok(Math.abs(again.share - full.share) < 0.01, `${again.share} instead of ${full.share}`);

  // A whole result in between changes nothing for the next update.
  await page.getByText('All at once').click();
  await page.getByRole('button', { name: 'Update' }).click();
  await logged(page, 'result, 16 images');
  await complete();
  await page.getByText('Grow while images arrive').click();
  await grow(16, 20);
  await complete();
  assert.equal(updates.at(-1).reset, false);

  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 20 images');
  await complete();
  well();
  await page.close();
});

test('a limited cloud drops points of old frames', async () => {
  const { page, well, updates, grow, complete } = await openSession(
    `${PARAMETERS}&num_max_points=5000`,
  );
  await grow(0, 8);
  await complete();
  await grow(8, 12);
  await complete();
  assert.ok(updates.at(-1).kept.length > 0);
  assert.equal(updates.at(-1).reset, false);
  well();
  await page.close();
});
