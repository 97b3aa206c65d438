// The client page, served by the program: upload photos, view the points, save files.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { validateBytes } from 'gltf-validator';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { nextFrame, openPage } from './support/page.mjs';
import { drawn } from './support/pixels.mjs';
import { chooseResolution, drop, logged, photos, sessionOf, stored } from './support/scene.mjs';
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

test('dropped photos give a growing point cloud and a valid file', async () => {
  const real = await startServer('--model', 'mvs');
  const { page, well } = await openPage(browser.context, `${real.base}/`);
  await chooseResolution(page, 112);
  await page.getByLabel('Images between two updates').fill('2');
  const empty = await drawn(page);
  await drop(page, photos(4));
  await stored(page, 4);
  await page.locator('#progress').waitFor();
  await logged(page, 'update, 2 images');
  // The first cloud sets the view, and whoever moves it keeps it.
  await page.locator('#facts', { hasText: /[24] cameras/ }).waitFor();
  await page.locator('#view canvas').press('+');
  await nextFrame(page);
  const view = await page.locator('#view canvas').getAttribute('data-view');
  await logged(page, 'update, 4 images');
  await page.locator('#facts', { hasText: '4 cameras' }).waitFor();

  const full = await drawn(page);
  assert.ok(full.share > empty.share + 0.1, `${full.share} of the view is not background`);
  assert.ok(full.colors > 1000, `${full.colors} colours`);
  const canvas = page.locator('#view canvas');
  await expect(canvas, 'the view does not move').toHaveAttribute('data-view', view);
  // Points and images of four frames, and frustums: the first cloud has been released.
  await expect(canvas).toHaveAttribute('data-geometries', '9');
  await expect(canvas).toHaveAttribute('data-textures', '4');

  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 4 images');
  await page.getByRole('button', { name: 'Update' }).waitFor({ state: 'hidden' });
  const status = async () => (await real.json(`/ws/session/${sessionOf(page)}`)).body.status;
  await expect.poll(status).toBe('completed');

  await page.locator('#save > summary').click();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: /^GLB / }).click(),
  ]);
  assert.match(download.suggestedFilename(), /^pointstream-\d{4}-\d\d-\d\d-\d{4}\.glb$/);
  const file = new Uint8Array(await readFile(await download.path()));
  const { issues, info } = await validateBytes(file);
  assert.equal(issues.numErrors + issues.numWarnings, 0, JSON.stringify(issues.messages));
  assert.ok(info.totalVertexCount > 10_000, `${info.totalVertexCount} vertices`);
  well();
  await page.close();
  await real.stop();
});

test('the other formats can be saved', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.locator('#photos').setInputFiles(photos(3));
  await logged(page, 'update, 3 images');
  await page.getByLabel('Name of this one').fill('The garden: 1/2');
  const size = /, [\d.]+ [KM]iB$/;
  const about = /, about [\d.]+ [KM]iB$/;
  const unknown = /full size$/;
  // Each with how far its size may be from what the menu says, as a factor.
  for (const [name, ending, said, factor] of [
    ['GLB', 'glb', size, 1.02],
    ['NPZ', 'npz', size, 1.02],
    ['PLY', 'ply', about, 1.02],
    ['Web page', 'html', about, 1.1],
    ['E57', 'e57', about, 1.2],
    ['CSV', 'csv', about, 1.2],
    ['LAZ', 'laz', about, 2],
    ['COLMAP', 'colmap.zip', about, 2],
    ['nerfstudio', 'nerfstudio.zip', about, 3],
    // A flat scene has other surfaces than a real one.
    ['Mesh', 'mesh.glb', about, 10],
    ['Mesh, PLY', 'mesh.ply', about, 10],
    ['Mesh, OBJ', 'obj', about, 10],
    ['COLMAP, full size', 'original.colmap.zip', unknown],
    ['nerfstudio, full size', 'original.nerfstudio.zip', unknown],
  ]) {
    await page.locator('#save > summary').click();
    const button = page.getByRole('button', { name: new RegExp(`^${name} `) });
    const note = button.locator('small', { hasText: said });
    await note.waitFor();
    const text = await note.innerText();
    const [download] = await Promise.all([page.waitForEvent('download'), button.click()]);
    const suggested = download.suggestedFilename();
    assert.match(suggested, /^The-garden-1-2-\d{4}-\d\d-\d\d\./);
    assert.ok(suggested.endsWith(`.${ending}`), suggested);
    const bytes = await readFile(await download.path());
    assert.ok(bytes.length > 1000, `${name}: ${bytes.length} bytes`);
    const [, number, unit] = /([\d.]+) ([KM])iB$/.exec(text) ?? [];
    if (number) {
      const expected = Number(number) * (unit === 'K' ? 1024 : 1024 ** 2);
      const off = Math.max(expected / bytes.length, bytes.length / expected);
      assert.ok(off < factor, `${name}, ${text}: ${bytes.length} bytes, off by ${off}`);
    }
    await page.locator('#save:not([open])').waitFor();
  }
  well();
  await page.close();
});

test('compressed results are drawn as well', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.getByLabel('Size of the saved file').selectOption('meshopt');
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(2));
  await stored(page, 2);
  const empty = await drawn(page);
  await page.getByRole('button', { name: 'Finish' }).click();
  await page.locator('#facts', { hasText: '2 cameras' }).waitFor();
  const full = await drawn(page);
  assert.ok(full.share > empty.share + 0.1, `${full.share} of the view is not background`);
  well();
  await page.close();
});

test('an unusable image is refused with a reason, and the others continue', async () => {
  const strict = await startServer('--model', archive('flat'), '--max-image-pixels', '100000');
  const { page, well } = await openPage(browser.context, `${strict.base}/`);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  const [first, second, third] = photos(3);
  const text = { name: '000.png', mimeType: 'image/png', buffer: Buffer.from('no picture') };
  await page.locator('#photos').setInputFiles(text);
  await page.locator('#photos').setInputFiles(first);
  await stored(page, 1);
  const refused = page.locator('.thumbnail[data-state="refused"]');
  await expect(refused.first()).toHaveText(/000\.png[\s\S]*cannot read this file as an image/);
  // At full size it exceeds the server's pixel limit.
  await page.getByText('Make large images smaller').click();
  await page.locator('#photos').setInputFiles(second);
  await page.getByText('Make large images smaller').click();
  await page.locator('#photos').setInputFiles(third);
  await stored(page, 2);
  await expect(refused.nth(1)).toHaveText(/001\.jpg[\s\S]*pixels/);
  await expect(page.locator('#counts')).toHaveText('2 of 4 stored, 2 refused');
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 2 images');
  well();
  await page.close();
  await strict.stop();
});

test('an image file that is too large is refused before it is sent', async () => {
  const strict = await startServer('--model', archive('flat'), '--max-image-bytes', '50000');
  const { page, well } = await openPage(browser.context, `${strict.base}/`);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  const [first, second] = photos(2);
  await page.getByText('Make large images smaller').click();
  await page.locator('#photos').setInputFiles(first);
  await page
    .locator('.thumbnail[data-state="refused"]', { hasText: /accepts up to 48.8 KiB/ })
    .waitFor();
  await page.getByText('Make large images smaller').click();
  await page.locator('#photos').setInputFiles(second);
  await stored(page, 1);
  const { body } = await strict.json('/stats');
  assert.deepEqual(body.errors, [], 'the server never received it');
  well();
  await page.close();
  await strict.stop();
});

test('images added to a full session are refused, and the session can be finished', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByLabel('Most images').fill('2');
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(2));
  await stored(page, 2);
  await page.locator('#photos').setInputFiles(photos(3).slice(2));
  await page.locator('.thumbnail[data-state="refused"]', { hasText: 'has its 2 images' }).waitFor();
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 2 images');
  well();
  await page.close();
});

test('in batch mode an update has all images, and more may follow', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  const asked = [];
  page.on('websocket', (socket) => {
    socket.on('framesent', ({ payload }) => asked.push(String(payload)));
  });
  await chooseResolution(page, 56);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(2));
  await stored(page, 2);
  await page.getByRole('button', { name: 'Update' }).click();
  await page.locator('#log li', { hasText: /\d result, 2 images/ }).waitFor({ state: 'attached' });
  const requests = asked.filter((text) => text.includes('"generate"'));
  assert.equal(requests.length, 1);
  assert.equal(JSON.parse(requests[0]).incremental, false);
  await page.locator('#photos').setInputFiles(photos(3).slice(2));
  await stored(page, 3);
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 3 images');
  well();
  await page.close();
});

test('nothing of an old session appears in the next one', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(8));
  await stored(page, 1);
  const first = sessionOf(page);
  await page.getByRole('button', { name: 'New session' }).click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  assert.equal(sessionOf(page), first);
  await page.getByRole('button', { name: 'New session' }).click();
  await page.getByRole('button', { name: 'Keep it' }).click();
  await page.locator('#link[data-link="none"]').waitFor();
  await page.locator('#photos').setInputFiles(photos(2).slice(1));
  await stored(page, 1);
  const second = sessionOf(page);
  assert.notEqual(second, first);
  assert.equal((await server.json(`/ws/session/${first}`)).status, 200, 'it was kept');
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 1 image,');
  assert.equal((await server.json(`/ws/session/${second}`)).body.image_count, 1);
  await expect(page.locator('.thumbnail .name')).toHaveText(['001.jpg']);

  await page.getByRole('button', { name: 'New session' }).click();
  await page.getByText('its 1 image and its result').waitFor();
  await page.getByRole('button', { name: 'Delete it' }).click();
  await logged(page, 'was deleted');
  assert.equal((await server.json(`/ws/session/${second}`)).status, 404);
  well();
  await page.close();
});

test('the delete dialog shows other clients of the session', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(1));
  await stored(page, 1);
  const other = await openPage(browser.context, page.url());
  await other.page.locator('#link[data-link="open"]').waitFor();
  await page.bringToFront();
  await page.getByRole('button', { name: 'New session' }).click();
  await page.getByText('1 other client would lose it').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#leave').waitFor({ state: 'hidden' });
  assert.equal((await server.json(`/ws/session/${sessionOf(page)}`)).status, 200);
  well();
  await other.page.close();
  await page.close();
});

test('large images are scaled down unless disabled', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByText('All at once').click();
  const [first, second, third] = photos(3);
  await page.locator('#photos').setInputFiles(first);
  await stored(page, 1);
  const path = `/ws/session/${sessionOf(page)}`;
  const small = (await server.json(path)).body.image_bytes;
  await page.getByText('Make large images smaller').click();
  await page.locator('#photos').setInputFiles(second);
  await stored(page, 2);
  const original = (await readFile(second)).length;
  assert.equal((await server.json(path)).body.image_bytes - small, original);
  assert.ok(small < original / 4, `${small} bytes instead of ${original}`);

  // Parameters for the next session do not affect this one.
  await page.getByText('Make large images smaller').click();
  await page.getByRole('spinbutton', { name: 'Resolution' }).fill('504');
  await expect(page.locator('#downscale-hint')).toHaveText(/112 pixels/);
  await page.locator('#photos').setInputFiles(third);
  await stored(page, 3);
  const more = (await server.json(path)).body.image_bytes - small - original;
  assert.ok(more < original / 4, `${more} bytes`);

  // The stored colours of transparent pixels matter, and a canvas would lose them.
  const buffer = await transparent(page);
  await page.locator('#photos').setInputFiles({ name: 'glass.png', mimeType: 'image/png', buffer });
  await stored(page, 4);
  const last = (await server.json(path)).body.image_bytes - small - original - more;
  assert.equal(last, buffer.length);
  well();
  await page.close();
});

test('reloading restores the session and its result', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.locator('#photos').setInputFiles(photos(3));
  await logged(page, 'update, 3 images');
  const facts = await page.locator('#facts').innerText();
  const session = sessionOf(page);
  await page.reload();
  await page.locator('#facts', { hasText: facts }).waitFor();
  assert.equal(sessionOf(page), session);
  await expect(page.locator('#parameter-process_res')).toHaveValue('112');
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 3 images');
  well();
  await page.close();
});

test('the view and the tabs work with the keyboard', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  const canvas = page.locator('#view canvas');
  await canvas.focus();
  const view = () => canvas.getAttribute('data-view');
  const changed = (before) =>
    page.waitForFunction(
      (before) => document.querySelector('#view canvas').dataset.view !== before,
      before,
    );
  const first = await view();
  for (const key of ['ArrowLeft', 'Shift+ArrowUp', '+']) {
    const before = await view();
    await page.keyboard.press(key);
    await changed(before);
  }
  await page.keyboard.press('r');
  await page.waitForFunction(
    (first) => document.querySelector('#view canvas').dataset.view === first,
    first,
  );
  await page.keyboard.press('c');
  await expect(page.locator('#cameras')).toBeChecked({ checked: false });
  await page.getByRole('tab', { name: 'Photos' }).focus();
  await page.keyboard.press('ArrowRight');
  await expect(page.getByLabel('Frames to take')).toBeVisible();
  well();
  await page.close();
});

/** A partly transparent PNG file. */
async function transparent(page) {
  const base64 = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(400, 300);
    const context = canvas.getContext('2d');
    context.fillStyle = 'rgb(200 80 40)';
    context.fillRect(0, 0, 400, 200);
    const blob = await canvas.convertToBlob({ type: 'image/png' });
    const bytes = new Uint8Array(await blob.arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  });
  return Buffer.from(base64, 'base64');
}

test('a saved web page shows the scene without a server', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.locator('#photos').setInputFiles(photos(3));
  await logged(page, 'update, 3 images');
  const shown = await page.locator('#facts').innerText();
  await page.locator('#save > summary').click();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: /^Web page / }).click(),
  ]);
  assert.ok(download.suggestedFilename().endsWith('.html'));
  const path = join(await mkdtemp(join(tmpdir(), 'pointstream-scene-')), 'scene.html');
  await download.saveAs(path);
  well();
  await page.close();

  const scene = await openPage(browser.context, pathToFileURL(path).href);
  const facts = scene.page.locator('#facts', { hasText: '3 cameras' });
  const [, points] = /([\d,]+) points/.exec(await facts.innerText()) ?? [];
  assert.ok(shown.includes(points), `${points} points, and before: ${shown}`);
  const { share } = await drawn(scene.page);
  assert.ok(share > 0.1, `${share} of the view is not background`);
  const canvas = scene.page.locator('#view canvas');
  const before = await canvas.getAttribute('data-view');
  await scene.page.mouse.move(200, 200);
  await scene.page.mouse.wheel(0, 400);
  await canvas.and(scene.page.locator(`:not([data-view="${before}"])`)).waitFor();
  await scene.page.getByRole('button', { name: 'Reset' }).click();
  await canvas.and(scene.page.locator(`[data-view="${before}"]`)).waitFor();
  scene.well();
  await scene.page.close();
  await rm(dirname(path), { recursive: true });
});
