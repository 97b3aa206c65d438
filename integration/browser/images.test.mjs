// Images of a session that other clients or earlier loads of the page sent.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { avif, plain, shownPictures } from './support/pictures.mjs';
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

test('a reloaded page shows the images, also on their cameras', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.locator('#photos').setInputFiles(photos(3));
  await logged(page, 'update, 3 images');
  await page.reload();
  await page.locator('#view canvas[data-textures="3"]').waitFor();
  await expect(page.locator('#counts')).toHaveText('3 of 3 stored');
  await expect
    .poll(() => shownPictures(page, sessionOf(page)))
    .toEqual([
      { name: '000.jpg', places: [0] },
      { name: '001.jpg', places: [1] },
      { name: '002.jpg', places: [2] },
    ]);
  well();
  await page.close();
});

test('images with the same name from two loads of the page are distinguished', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(await plain(page, 'x.png', 'rgb(200 30 30)'));
  await stored(page, 1);
  await page.reload();
  await page.getByText('All at once').click();
  await page.locator('.thumbnail canvas').waitFor();
  await page.locator('#photos').setInputFiles(await plain(page, 'x.png', 'rgb(30 30 200)'));
  await stored(page, 2);
  await expect(page.locator('.thumbnail .name')).toHaveText(['x.png', 'x.png (2)']);
  await page.getByRole('button', { name: 'Update' }).click();
  await page.locator('#view canvas[data-textures="2"]').waitFor();
  await expect.poll(() => colors(page)).toEqual(['red', 'blue']);
  await page.reload();
  await page.locator('#view canvas[data-textures="2"]').waitFor();
  await expect
    .poll(() => shownPictures(page, sessionOf(page)))
    .toEqual([
      { name: 'x.png', places: [0] },
      { name: 'x.png (2)', places: [1] },
    ]);
  well();
  await page.close();
});

test('images with the same name from two pages at the same time are distinguished', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(1));
  await stored(page, 1);
  const other = await openPage(browser.context, page.url());
  await other.page.getByText('All at once').click();
  await other.page.locator('.thumbnail canvas').waitFor();
  // Neither page knows the other's image names.
  const red = await plain(other.page, 'x.png', 'rgb(200 30 30)');
  const blue = await plain(page, 'x.png', 'rgb(30 30 200)');
  await other.page.locator('#photos').setInputFiles(red);
  await stored(other.page, 2);
  await page.bringToFront();
  await page.locator('#photos').setInputFiles(blue);
  await stored(page, 2);
  const { body } = await server.json(`/ws/session/${sessionOf(page)}/images`);
  const paths = body.images.map(({ image_path }) => image_path);
  assert.deepEqual(paths, ['000.jpg', 'x.png', 'x.png']);

  await page.getByRole('button', { name: 'Update' }).click();
  await page.locator('#view canvas[data-textures="3"]').waitFor();
  const names = page.locator('.thumbnail .name');
  await expect(names).toHaveText(['000.jpg', 'x.png', 'x.png (2)']);
  await expect.poll(async () => (await colors(page)).slice(1)).toEqual(['blue', 'red']);
  await expect
    .poll(async () => (await shownPictures(page, sessionOf(page)))[2].places)
    .toEqual([1]);
  await page.reload();
  await page.locator('#view canvas[data-textures="3"]').waitFor();
  await expect.poll(async () => (await colors(page)).slice(1)).toEqual(['red', 'blue']);
  well();
  other.well();
  await other.page.close();
  await page.close();
});

test('AVIF photos are sent as JPEG, also at full size', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(avif('a.avif'));
  await stored(page, 1);
  await page.getByText('Make large images smaller').click();
  await page.locator('#photos').setInputFiles(avif('b.avif'));
  await stored(page, 2);
  for (const index of [0, 1]) {
    const path = `/ws/session/${sessionOf(page)}/images/${index}`;
    const photo = Buffer.from(await (await fetch(`${server.base}${path}`)).arrayBuffer());
    assert.equal(photo.subarray(0, 3).toString('hex'), 'ffd8ff');
  }
  well();
  await page.close();
});

/** The colours of the listed thumbnails at their centres. */
function colors(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll('.thumbnail canvas')].map((canvas) => {
      const { width, height } = canvas;
      const [red, , blue] = canvas.getContext('2d').getImageData(width / 2, height / 2, 1, 1).data;
      return red > blue ? 'red' : 'blue';
    }),
  );
}
