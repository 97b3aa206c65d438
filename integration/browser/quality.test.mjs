// The client page: what it says about a result that is not good.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { plain } from './support/pictures.mjs';
import { chooseResolution, logged, photos, stored } from './support/scene.mjs';
import { archive, startServer } from './support/server.mjs';

let server;
let browser;

before(async () => {
  server = await startServer('--model', archive('reporting'));
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
  await server?.stop();
});

test('the verdict and the advice stand beside the result', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.getByLabel('Images between two updates').fill('3');
  const quality = page.locator('#quality');
  await expect(quality).toBeHidden();
  // The model of this server leaves out blue images.
  const files = photos(2).map(async (path) => ({
    name: basename(path),
    mimeType: 'image/jpeg',
    buffer: await readFile(path),
  }));
  files.push(plain(page, 'blue.png', 'rgb(0, 0, 200)'));
  await page.locator('#photos').setInputFiles(await Promise.all(files));
  await page.locator('#facts', { hasText: /2 cameras · partial/ }).waitFor();
  await quality.getByText('the camera turned but did not move').waitFor();
  await expect(quality).toHaveAttribute('data-verdict', 'partial');
  await logged(page, 'blue.png is left out: the camera only turned');
  await expect
    .poll(() => badges(page))
    .toEqual([
      { name: '000.jpg', use: 'used', text: 'in the cloud' },
      { name: '001.jpg', use: 'used', text: 'in the cloud' },
      { name: 'blue.png', use: 'left', text: 'left out the camera only turned' },
    ]);
  await expect(page.locator('#counts')).toHaveText('3 of 3 stored, 1 left out');
  await page.reload();
  await page.locator('.thumbnail[data-use="left"]').waitFor();
  await expect
    .poll(async () => (await badges(page))[2].text)
    .toBe('left out the camera only turned');

  await page.getByRole('button', { name: 'New session' }).click();
  await page.getByRole('button', { name: 'Delete it' }).click();
  await quality.waitFor({ state: 'hidden' });
  well();
  await page.close();
});

test('without points there is advice in place of a cloud, and nothing to save', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.getByLabel('Images between two updates').fill('3');
  const panel = page.locator('#no-cloud');
  const save = page.locator('#save');
  const blue = await Promise.all(
    [150, 170, 190].map((level) => plain(page, `${level}.png`, `rgb(0, 0, ${level})`)),
  );
  await page.locator('#photos').setInputFiles(blue);
  await panel.getByText('These photos give no point cloud').waitFor();
  await panel.getByText('The camera turned but did not move').waitFor();
  await expect(save).toBeHidden();
  await expect(page.locator('#facts')).toHaveText('');
  await expect(page.locator('.thumbnail[data-use="left"]')).toHaveCount(3);

  await page.reload();
  await panel.getByText('These photos give no point cloud').waitFor();
  await expect(save).toBeHidden();

  await page.locator('#photos').setInputFiles(photos(4));
  await page.locator('#facts', { hasText: '4 cameras' }).waitFor();
  await expect(panel).toBeHidden();
  await expect(save).toBeVisible();
  well();
  await page.close();
});

test('a request that fails says why in place of a cloud', async () => {
  const failing = await startServer('--model', archive('raises_on_black'));
  const { page, well } = await openPage(browser.context, `${failing.base}/`);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  // The model of this server fails if the first image is black.
  await page.locator('#photos').setInputFiles(await plain(page, 'black.png', 'rgb(0, 0, 0)'));
  await stored(page, 1);
  await page.getByRole('button', { name: 'Update' }).click();
  const panel = page.locator('#no-cloud');
  await panel.getByText('The point cloud could not be made').waitFor();
  const why = await panel.locator('li').innerText();
  assert.match(why, /^The model .*\.$/);
  await expect(page.locator('#save')).toBeHidden();
  await page.reload();
  await panel.getByText(why).waitFor();
  well();
  await page.close();
  await failing.stop();
});

/** What the thumbnails say of their images. */
function badges(page) {
  return page.locator('.thumbnail').evaluateAll((items) =>
    items.map((item) => {
      const text = (part) => item.querySelector(part).textContent;
      const said = `${text('.state')} ${text('.why')}`.trim();
      return { name: text('.name'), use: item.dataset.use, text: said };
    }),
  );
}
