// Videos: the browser extracts their frames.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, logged, photos, stored, times } from './support/scene.mjs';
import { archive, startServer } from './support/server.mjs';

let server;
let browser;

before(async () => {
  // Most tests are of what the browser does alone.
  server = await startServer('--model', archive('flat'), '--videos', 'off');
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
  await server?.stop();
});

/** Chooses a video and the number of frames to extract. */
async function chooseVideo(page, frames, file) {
  await page.getByRole('tab', { name: 'Video' }).click();
  await page.getByLabel('Frames to take').fill(String(frames));
  const video = file ?? Buffer.from(await record(page), 'base64');
  await page
    .locator('#video')
    .setInputFiles({ name: 'walk.webm', mimeType: 'video/webm', buffer: video });
}

test('frames of a video become images', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await chooseVideo(page, 5);
  await stored(page, 5);
  const names = await page.locator('.thumbnail .name').allInnerTexts();
  assert.deepEqual(
    names,
    [1, 2, 3, 4, 5].map((number) => `walk_${number}.jpg`),
  );
  well();
  await page.close();
});

test('of each part of a video the sharpest frame is taken', async (t) => {
  // Frames are blurred up to the middle of each second, and a little beyond.
  const blurred = "gblur=sigma=12:enable='lt(mod(t,1),0.55)+gt(mod(t,1),0.95)'";
  const video = await encode(t, 'walk.webm', ['-vf', blurred, '-c:v', 'libvpx', '-b:v', '2M']);
  if (!video) {
    return;
  }
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await chooseVideo(page, 4, video);
  await stored(page, 4);
  const steps = await page.locator('.thumbnail canvas').evaluateAll((canvases) =>
    canvases.map((canvas) => {
      const { width, height } = canvas;
      const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
      const step = (at) => Math.abs(data[at] - data[at - 4]);
      return Array.from({ length: data.length / 4 - 1 }, (_, pixel) => step(4 * pixel + 4));
    }),
  );
  const largest = steps.map((all) => all.reduce((most, step) => Math.max(most, step)));
  assert.ok(Math.min(...largest) > 80, `the largest steps in the frames are ${largest}`);
  well();
  await page.close();
});

test('frames are taken for each second', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByText('All at once').click();
  await page.getByRole('tab', { name: 'Video' }).click();
  await page.getByLabel('Counted').selectOption('per second');
  await expect(page.getByLabel('Frames to take')).toHaveValue('2');
  const video = await record(page, { seconds: 2 });
  await chooseVideo(page, 3, Buffer.from(video, 'base64'));
  await stored(page, 5);
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result');
  const count = await page.locator('.thumbnail').count();
  assert.ok(count >= 5 && count <= 8, `${count} frames of two seconds`);
  well();
  await page.close();
});

test('finishing waits for the frames of each second, as far as the session takes them', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByLabel('Most images').fill('4');
  await page.getByText('All at once').click();
  const video = Buffer.from(await record(page, { seconds: 3 }), 'base64');
  await page.locator('#photos').setInputFiles(photos(1));
  await stored(page, 1);
  await page.getByRole('tab', { name: 'Video' }).click();
  await page.getByLabel('Counted').selectOption('per second');
  await chooseVideo(page, 2, video);
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 4 images');
  await expect(page.locator('#counts')).toHaveText('4 of 4 stored');
  well();
  await page.close();
});

test('a video updates the cloud like photos, and finishing waits for its frames', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByLabel('Images between two updates').fill('4');
  await chooseVideo(page, 8);
  await stored(page, 1);
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 8 images');
  // Without the image counter there would be an update after each frame.
  assert.ok((await times(page, 'asked for an update')) <= 2);
  well();
  await page.close();
});

test('a video that the browser cannot play is read by the server', async (t) => {
  const buffer = await encode(t, 'walk.avi', ['-c:v', 'mpeg4', '-q:v', '3']);
  if (!buffer) {
    return;
  }
  const reading = await startServer('--model', archive('flat'), '--videos', 'on');
  for (const [unit, number, names] of [
    ['in all', '3', ['walk_1.jpg', 'walk_2.jpg', 'walk_3.jpg']],
    ['per second', '1', ['walk_001.jpg', 'walk_002.jpg', 'walk_003.jpg', 'walk_004.jpg']],
  ]) {
    const { page, well } = await openPage(browser.context, `${reading.base}/`);
    await chooseResolution(page, 112);
    await page.getByText('All at once').click();
    await page.getByRole('tab', { name: 'Video' }).click();
    await page.getByLabel('Counted').selectOption(unit);
    await page.getByLabel('Frames to take').fill(number);
    const video = { name: 'walk.avi', mimeType: 'video/x-msvideo', buffer };
    await page.locator('#video').setInputFiles(video);
    await stored(page, names.length);
    await expect(page.locator('.thumbnail .name')).toHaveText(names);
    await logged(page, 'sending walk.avi to the server for its frames');
    well();
    await page.close();
  }
  await reading.stop();
});

test('a video that cannot be played is refused as a whole', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await page.getByText('All at once').click();
  await chooseVideo(page, 3, Buffer.from('no video'));
  await page.locator('#notice', { hasText: 'cannot play this video' }).waitFor();
  const refused = page.locator('.thumbnail[data-state="refused"]', { hasText: 'cannot play' });
  await refused.nth(2).waitFor();
  well();
  await page.close();
});

test('frames beyond the image limit are not added, and the page says so', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByLabel('Most images').fill('2');
  await page.getByText('All at once').click();
  await chooseVideo(page, 9);
  await page.locator('#notice', { hasText: '7 frames of 9 were not added' }).waitFor();
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 2 images');
  well();
  await page.close();
});

/** A short video of moving squares, as base64. */
function record(page, { seconds = 1.5 } = {}) {
  return page.evaluate(async (seconds) => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [320, 240];
    const context = canvas.getContext('2d');
    const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: 'video/webm' });
    const pieces = [];
    recorder.ondataavailable = ({ data }) => pieces.push(data);
    recorder.start();
    const begin = performance.now();
    const passed = () => (performance.now() - begin) / 1000;
    while (passed() < seconds) {
      context.fillStyle = `hsl(${passed() * 200} 80% 15%)`;
      context.fillRect(0, 0, 320, 240);
      context.fillStyle = 'white';
      context.fillRect(passed() * 40, 60, 60, 60);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const stopped = new Promise((resolve) => {
      recorder.onstop = resolve;
    });
    recorder.stop();
    await stopped;
    const bytes = new Uint8Array(await new Blob(pieces).arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  }, seconds);
}

/** Four seconds of a moving picture, encoded by ffmpeg; undefined if that is not installed. */
async function encode(t, name, options) {
  const folder = await mkdtemp(join(tmpdir(), 'pointstream-video-'));
  const path = join(folder, name);
  const picture = ['-f', 'lavfi', '-i', 'testsrc=duration=4:size=320x240:rate=15'];
  try {
    execFileSync('ffmpeg', ['-v', 'error', ...picture, ...options, path]);
    return await readFile(path);
  } catch (error) {
    if (process.env.CI || error.code !== 'ENOENT') {
      throw error;
    }
    t.skip('ffmpeg is not installed');
    return undefined;
  } finally {
    await rm(folder, { recursive: true });
  }
}
