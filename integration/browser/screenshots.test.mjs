// Screenshots of the pages for the README and the guide. Every run takes them into a temporary folder. If
// POINTSTREAM_SCREENSHOTS names a folder (run.sh --screenshots: docs/images), they are taken there,
// of a larger scene.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, logged, photos } from './support/scene.mjs';
import { startServer } from './support/server.mjs';

const wanted = process.env.POINTSTREAM_SCREENSHOTS;
const [RESOLUTION, PHOTOS] = wanted ? [336, 8] : [112, 4];
/** JPEG, because points compress badly. */
const JPEG = { type: 'jpeg', quality: 82 };
const VIEWPORT = { width: 1280, height: 760 };

test('screenshots of the pages can be taken', async (context) => {
  const folder = wanted ?? (await mkdtemp(join(tmpdir(), 'pointstream-images-')));
  await mkdir(folder, { recursive: true });
  if (!wanted) {
    context.after(() => rm(folder, { recursive: true }));
  }
  const server = await startServer('--model', 'mvs');
  const dark = await startChromium({ colorScheme: 'dark', viewport: VIEWPORT });
  const light = await startChromium({ colorScheme: 'light', viewport: VIEWPORT });
  try {
    // An earlier session, so that the dashboard has a history.
    const early = await openPage(dark.context, `${server.base}/`);
    await chooseResolution(early.page, 84);
    await early.page.locator('#photos').setInputFiles(photos(3));
    await logged(early.page, 'update, 3 images');
    await early.page.close();

    const client = await openPage(dark.context, `${server.base}/`);
    // No timeout: the larger scene may take long.
    client.page.setDefaultTimeout(0);
    await chooseResolution(client.page, RESOLUTION);
    await client.page.locator('#parameters > summary').click();
    await client.page.getByLabel('Images between two updates').fill(String(PHOTOS));
    await client.page.locator('#photos').setInputFiles(photos(PHOTOS));
    await logged(client.page, 'asked for an update');
    await client.page.evaluate(() => document.activeElement?.blur());

    const dashboard = await openPage(light.context, `${server.base}/dashboard`);
    await dashboard.page.locator('#workers tr', { hasText: 'mvs' }).waitFor();
    if (wanted) {
      const job = `reconstruct, ${PHOTOS} frames`;
      await dashboard.page.locator('#workers tr', { hasText: job }).waitFor();
      await dashboard.page.locator('#workers .meter + span', { hasNotText: /^0 %$/ }).waitFor();
    }
    const overview = join(folder, 'dashboard.jpg');
    await dashboard.page.screenshot({ path: overview, fullPage: true, ...JPEG });

    const facts = client.page.locator('#facts', { hasText: `${PHOTOS} cameras` });
    await facts.waitFor();
    await client.page.locator('#progress').waitFor({ state: 'hidden' });
    const scene = join(folder, 'client.jpg');
    await client.page.screenshot({ path: scene, ...JPEG });
    const failure = join(folder, 'failed.jpg');
    await fail(light.context, server.base, failure);
    for (const path of [overview, scene, failure]) {
      const { width, height, colors } = await look(client.page, await readFile(path));
      assert.equal(width, 1280, path);
      assert.ok(height >= 760, `${path} is ${height} pixels high`);
      assert.ok(colors > 500, `${path} has ${colors} colours`);
    }
    client.well();
    dashboard.well();
  } finally {
    await dark.stop();
    await light.stop();
    await server.stop();
  }
});

/** Takes a picture of what the page says of photos that give no point cloud: copies of one. */
async function fail(context, base, path) {
  const { page, well } = await openPage(context, `${base}/`);
  await chooseResolution(page, RESOLUTION);
  await page.locator('#parameters > summary').click();
  await page.getByText('All at once').click();
  const [photo] = photos(1);
  const buffer = await readFile(photo);
  const copies = ['hall.jpg', 'hall (2).jpg', 'hall (3).jpg'].map((name) => {
    return { name, mimeType: 'image/jpeg', buffer };
  });
  await page.locator('#photos').setInputFiles(copies);
  await page.locator('.thumbnail[data-state="acknowledged"]').nth(2).waitFor();
  await page.getByRole('button', { name: 'Finish' }).click();
  await page.locator('#no-cloud').waitFor();
  await page.locator('#progress').waitFor({ state: 'hidden' });
  await expect(page.locator('#save')).toBeHidden();
  await page.mouse.move(0, 0);
  await page.evaluate(() => {
    document.activeElement?.blur();
    document.querySelector('#thumbnails').scrollIntoView({ block: 'center' });
  });
  await page.screenshot({ path, ...JPEG });
  well();
  await page.close();
}

/** Size and number of colours of a screenshot. */
function look(page, picture) {
  return page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/jpeg' }));
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext('2d');
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    return { width, height, colors: new Set(new Uint32Array(data.buffer)).size };
  }, picture.toString('base64'));
}
