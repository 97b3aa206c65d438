// Photos that the page makes smaller: what their EXIF says of the camera reaches the server.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startChromium } from './support/chromium.mjs';
import { CAMERA, PLACE, phonePhoto } from './support/exif.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, logged, sessionOf, stored } from './support/scene.mjs';
import { archive, startServer } from './support/server.mjs';

let server;
let browser;

before(async () => {
  // Its cameras have the focal lengths that the server derives.
  server = await startServer('--model', archive('hinted'));
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
  await server?.stop();
});

test('a smaller copy is upright and has the focal length of the original, but no place', async () => {
  const { page, well } = await openPage(browser.context, 'about:blank');
  const sent = [];
  page.on('websocket', (socket) => {
    socket.on('framesent', ({ payload }) => {
      if (typeof payload !== 'string') {
        sent.push(payload);
      }
    });
  });
  await page.goto(`${server.base}/`);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  const turned = { width: 1600, height: 1200, orientation: 6 };
  await page.locator('#photos').setInputFiles(await phonePhoto(page, 'a.jpg', turned));
  await stored(page, 1);
  await page.getByText('Make large images smaller').click();
  await page.locator('#photos').setInputFiles(await phonePhoto(page, 'b.jpg', turned));
  await stored(page, 2);

  const [smaller, original] = sent;
  assert.ok(smaller.length < original.length / 4, `${smaller.length} of ${original.length} bytes`);
  assert.ok(smaller.includes(CAMERA) && original.includes(CAMERA));
  assert.ok(original.includes(PLACE) && !smaller.includes(PLACE));

  const { body } = await server.json(`/ws/session/${sessionOf(page)}/images`);
  for (const { width, height } of body.images) {
    assert.deepEqual([width, height], [84, 112]);
  }
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 2 images');
  const result = await server.json(`/ws/session/${sessionOf(page)}/result?format=json`);
  for (const [[focal]] of result.body.metadata.intrinsics) {
    // 26 mm on film, whose diagonal is 43.27 mm; that of the images is 140 pixels.
    assert.ok(Math.abs(focal - (26 / 43.2666) * 140) < 0.1, `${focal} pixels`);
  }
  well();
  await page.close();
});

test('a HEIC photo goes to the server as it is', async () => {
  const { page, well } = await openPage(browser.context, server.base);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  const folder = new URL('../../reconstruction/tests/golden/heic-large/', import.meta.url);
  await page.locator('#photos').setInputFiles(fileURLToPath(new URL('grid.heic', folder)));
  await stored(page, 1);
  const { body } = await server.json(`/ws/session/${sessionOf(page)}/images`);
  assert.equal(body.images.length, 1);
  well();
  await page.close();
});
