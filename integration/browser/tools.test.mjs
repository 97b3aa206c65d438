// The tools of the view: picture, full screen, distances, hidden points, and the cameras' photos.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { perspective } from './support/perspective.mjs';
import { drawn } from './support/pixels.mjs';
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

/** A page with the final result of three photos. */
async function finished({ base } = server) {
  const opened = await openPage(browser.context, `${base}/`);
  const { page } = opened;
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(3));
  await stored(page, 3);
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 3 images');
  await page.locator('#facts', { hasText: '3 cameras' }).waitFor();
  return { ...opened, canvas: page.locator('#view canvas') };
}

const button = (page, name) => page.getByRole('button', { name, exact: true });

test('the view is saved as a picture, and fills the screen', async () => {
  const { page, well, canvas } = await finished();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    button(page, 'Picture').click(),
  ]);
  assert.match(download.suggestedFilename(), /^pointstream-[\d-]+\.png$/);
  const png = await readFile(await download.path());
  const box = await canvas.boundingBox();
  assert.equal(png.readUInt32BE(16), Math.round(box.width));
  const colors = await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return new Set(new Uint32Array(data.buffer)).size;
  }, png.toString('base64'));
  assert.ok(colors > 500, `the picture has ${colors} colours`);

  const full = button(page, 'Full screen');
  await full.click();
  await page.waitForFunction(() => document.fullscreenElement?.id === 'view');
  await expect(full).toHaveAttribute('aria-pressed', 'true');
  await full.click();
  await page.waitForFunction(() => document.fullscreenElement === null);
  well();
  await page.close();
});

test('distances are measured, in a unit that a known one sets', async () => {
  const { page, well, canvas } = await finished();
  await page.getByLabel('Cameras', { exact: true }).uncheck();
  await button(page, 'Measure').click();
  const said = page.locator('#distance');
  await said.getByText('Click a point of the scene').waitFor();
  const box = await canvas.boundingBox();
  const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const measure = async (reach) => {
    await button(page, 'Begin again').click();
    await page.mouse.click(middle.x - reach, middle.y);
    await said.getByText('Click the other end').waitFor();
    await page.mouse.click(middle.x + reach, middle.y);
    await said.filter({ hasText: /^[\d.]/ }).waitFor();
    return Number((await said.innerText()).split(' ')[0]);
  };
  const wide = await measure(60);
  await expect(said).toHaveText(/units of the scene/);
  // The same pixels at the distance of the middle: the relief is seen nearly from the front.
  const { position, target } = await perspective(canvas);
  const far = Math.hypot(...position.map((value, axis) => value - target[axis]));
  const expected = ((2 * far * Math.tan((25 * Math.PI) / 180)) / box.height) * 120;
  assert.ok(wide > 0.5 * expected && wide < 2 * expected, `${wide}, about ${expected} expected`);

  await page.getByLabel('It is really').fill('3');
  await button(page, 'Set the scale').click();
  await said.getByText('3 m', { exact: true }).waitFor();
  const narrow = await measure(30);
  await expect(said).toHaveText(/^[\d.]+ m$/);
  assert.ok(narrow > 1.2 && narrow < 1.8, `half of 3 m is ${narrow} m`);

  // With the keyboard: the middle of the view.
  await button(page, 'Begin again').click();
  await canvas.focus();
  await page.keyboard.press('Enter');
  await said.getByText('Click the other end').waitFor();
  for (let step = 0; step < 3; step += 1) {
    await page.keyboard.press('Shift+ArrowRight');
  }
  await page.keyboard.press('Enter');
  await said.filter({ hasText: /^[\d.]+ m$/ }).waitFor();

  // The scale stays with the session.
  await page.getByLabel('Unit of length').fill('cm');
  await page.reload();
  await page.locator('#facts', { hasText: 'camera' }).waitFor();
  await page.getByLabel('Cameras', { exact: true }).uncheck();
  await button(page, 'Measure').click();
  await measure(30);
  await expect(said).toHaveText(/^[\d.]+ cm$/);
  well();
  await page.close();
});

test('uncertain points and a part of the scene are hidden', async () => {
  const real = await startServer('--model', 'mvs');
  const { page, well } = await finished(real);
  // Neither what tells of the past nor a panel may cover a part of the view.
  await page.locator('#progress').waitFor({ state: 'hidden' });
  await page.getByLabel('Cameras', { exact: true }).uncheck();
  const share = async () => (await drawn(page)).share;
  const set = (label, value) =>
    page.getByLabel(label).evaluate((input, value) => {
      input.value = value;
      input.dispatchEvent(new Event('input', { bubbles: true }));
    }, value);
  await button(page, 'Hide').click();
  await page.locator('#filter-panel').waitFor();
  await button(page, 'Hide').click();
  const all = await share();
  await set('From the left', 70);
  await expect.poll(share).toBeLessThan(0.6 * all);
  await button(page, 'Hide').click();
  await button(page, 'Show all').click();
  await button(page, 'Hide').click();
  await expect.poll(share).toBeCloseTo(all, 2);

  await set('Hide the least certain', 60);
  await page.getByText(/^[56]\d of 100 points are hidden/).waitFor({ state: 'attached' });
  await expect.poll(share).toBeLessThan(0.8 * all);
  expect(await share()).toBeGreaterThan(0.05 * all);
  await set('Hide the least certain', 0);
  await expect.poll(share).toBeCloseTo(all, 2);
  well();
  await page.close();
  await real.stop();
});

test('a camera shows its photo where it was taken', async () => {
  const { page, well, canvas } = await finished();
  await canvas.and(page.locator('[data-textures="3"]')).waitFor();
  const before = await canvas.getAttribute('data-view');
  const still = () => canvas.and(page.locator('[data-gliding="false"]')).waitFor();
  const place = async () => (await perspective(canvas)).position;
  const shown = page.locator('#through');
  // The cameras of this model look along -z. Their images are 0.09 radii before them.
  const { body } = await server.json(`/ws/session/${sessionOf(page)}/result?format=json`);
  const centers = body.metadata.extrinsics.map((extrinsic) =>
    body.metadata.world_to_glb
      .slice(0, 3)
      .map(([a, b, c, d]) => d - a * extrinsic[0][3] - b * extrinsic[1][3] - c * extrinsic[2][3]),
  );
  const isAt = async (index) => {
    const seen = await place();
    const away = Math.hypot(...seen.map((value, axis) => value - centers[index][axis]));
    assert.ok(away < 1e-3, `the view is from ${seen}, the camera at ${centers[index]}`);
  };
  const { project, radius } = await perspective(canvas);
  const [cx, cy, cz] = centers[0];
  const { x, y } = project([cx, cy, cz - 0.09 * radius]);
  await page.mouse.click(x, y);
  await shown.getByText('000.jpg').waitFor();
  await still();
  await isAt(0);
  const photo = page.locator('#through-photo[src]');
  const size = await photo.evaluate(async (image) => {
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
  });
  assert.deepEqual(size, [672, 504], 'the photo itself');

  await button(page, 'Next').click();
  await shown.getByText('001.jpg').waitFor();
  await still();
  await isAt(1);
  await page.keyboard.press('Escape');
  await shown.waitFor({ state: 'hidden' });
  await canvas.and(page.locator(`[data-view="${before}"]`)).waitFor();

  // Also from the list of images, after a reload: the thumbnail of 112 pixels, and then what the page
  // sent from the server.
  await page.reload();
  await page.getByRole('button', { name: 'Look through the camera of 002.jpg' }).click();
  await shown.getByText('002.jpg').waitFor();
  await page.waitForFunction(() => document.querySelector('#through-photo')?.naturalWidth === 224);
  await still();
  await canvas.press('ArrowLeft');
  await shown.waitFor({ state: 'hidden' });
  await expect(page.getByLabel('Cameras', { exact: true })).toBeChecked();
  well();
  await page.close();
});
