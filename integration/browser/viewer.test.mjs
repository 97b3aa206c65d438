// The view with a large cloud: GPU objects, and the number of points drawn while moving.
// The page is the real one; the test controls the server's end of its socket.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { frame, pointCloud } from './support/glb.mjs';
import { openPage } from './support/page.mjs';
import { drawn } from './support/pixels.mjs';
import { archive, startServer } from './support/server.mjs';

const MILLION = 1_000_000;
/** Pointer moves after which the view must have adapted. */
const MOVES = 200;

let server;
let browser;
/** Receives the socket of the opened page. */
let connected;

before(async () => {
  server = await startServer('--model', archive('flat'));
  // Rendering is in software: a small view leaves time for the points.
  browser = await startChromium({ viewport: { width: 900, height: 480 } });
  await browser.context.routeWebSocket(/\/ws\/reconstruct\//, (socket) => connected(socket));
});

after(async () => {
  await browser?.stop();
  await server?.stop();
});

/** Opens a session; `show` sends a result and waits until it is drawn. */
async function openView() {
  const created = await fetch(`${server.base}/ws/session/create`, { method: 'POST' });
  const { session_id } = await created.json();
  const socket = new Promise((resolve) => {
    connected = resolve;
  });
  const opened = await openPage(browser.context, `${server.base}/?session=${session_id}`);
  const far = await socket;
  const greeting = { type: 'connected', session_id, image_count: 0, max_images: 100 };
  far.send(JSON.stringify({ ...greeting, binary: true }));
  const canvas = opened.page.locator('#view canvas');
  const show = async (points) => {
    const metadata = { num_frames: 0, session_id, num_points: points };
    far.send(frame({ type: 'delta', image_count: 2, metadata }, pointCloud(points)));
    await canvas.and(opened.page.locator(`[data-drawn="${points}"]`)).waitFor();
  };
  return { ...opened, canvas, show };
}

test('a million points are replaced without leaks, and move smoothly', async () => {
  const { page, well, canvas, show } = await openView();
  const empty = await drawn(page);
  for (let turn = 0; turn < 10; turn += 1) {
    await show(MILLION + turn);
    await expect(canvas).toHaveAttribute('data-points', String(MILLION + turn));
    await expect(canvas).toHaveAttribute('data-geometries', '1');
    await expect(canvas).toHaveAttribute('data-textures', '0');
  }
  const full = await drawn(page);
  assert.ok(full.share > empty.share + 0.1, `${full.share} of the view is not background`);

  const count = async () => Number(await canvas.getAttribute('data-drawn'));
  const all = await count();
  const box = await canvas.boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  let fewest = all;
  for (let move = 0; fewest === all && move < MOVES; move += 1) {
    await page.mouse.move(x + 60 * Math.sin(move / 5), y);
    fewest = Math.min(fewest, await count());
  }
  assert.ok(fewest < all && fewest >= 20_000, `${fewest} points are drawn while it moves`);
  await page.mouse.up();
  await canvas.and(page.locator(`[data-drawn="${all}"]`)).waitFor();
  well();
  await page.close();
});

test('the scene is drawn again after a lost WebGL context', async () => {
  const { page, well, canvas, show } = await openView();
  const empty = await drawn(page);
  await show(50_000);
  await canvas.evaluate(async (canvas) => {
    const loss = canvas.getContext('webgl2').getExtension('WEBGL_lose_context');
    const lost = new Promise((resolve) => {
      // The context can be restored after all listeners have run.
      canvas.addEventListener('webglcontextlost', () => setTimeout(resolve), { once: true });
    });
    loss.loseContext();
    await lost;
    canvas.dataset.drawn = '';
    loss.restoreContext();
  });
  await canvas.and(page.locator('[data-drawn="50000"]')).waitFor();
  const again = await drawn(page);
  assert.ok(again.share > empty.share + 0.1, `${again.share} of the view is not background`);
  well();
  await page.close();
});
