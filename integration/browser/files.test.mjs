// Files that people give to the client page: folders, and files that are no photos.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import {
  chooseResolution,
  drop,
  logged,
  photos,
  SCENE,
  sessionOf,
  stored,
} from './support/scene.mjs';
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

test('a folder is chosen with a button, and what is no photo is named', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByText('All at once').click();
  const chosen = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: 'Choose a folder' }).click();
  await (await chosen).setFiles(SCENE);
  await stored(page, 8);
  await expect(page.locator('#left-out')).toHaveText(
    '2 files left out that are no photos or videos: 1 JSON, 1 NPZ',
  );
  await expect(page.locator('.thumbnail')).toHaveCount(8);
  well();
  await page.close();
});

test('files that are no photos begin no session', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await drop(page, [join(SCENE, 'cameras.json')]);
  const note = page.locator('#left-out');
  await note.getByText('1 file left out that is no photo or video: 1 JSON').waitFor();
  assert.equal(sessionOf(page), null);
  await chooseResolution(page, 56);
  await page.getByText('All at once').click();
  await drop(page, photos(1));
  await stored(page, 1);
  await expect(note).toBeHidden();
  well();
  await page.close();
});

test('photos dropped on a finished session begin a new one', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 56);
  await page.getByText('All at once').click();
  await drop(page, photos(2));
  await stored(page, 2);
  await page.getByRole('button', { name: 'Finish' }).click();
  await logged(page, 'final result, 2 images');
  await page.getByText('More images begin a new one; “Reopen” lets this one take them').waitFor();
  const first = sessionOf(page);
  await drop(page, photos(3).slice(2));
  await page.locator('.thumbnail .name').getByText('002.jpg').waitFor();
  await stored(page, 1);
  assert.notEqual(sessionOf(page), first);
  await expect(page.locator('.thumbnail')).toHaveCount(1);
  await expect(page.locator('#next')).toBeHidden();
  const { status, body } = await server.json(`/ws/session/${first}`);
  assert.equal(status, 200, 'the finished session was kept');
  assert.equal(body.image_count, 2);
  well();
  await page.close();
});

test('the parameters have names and values in words', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await page.locator('#parameters > summary').click();
  const form = page.locator('#form');
  await form.getByLabel('Uncertain points to leave out').waitFor();
  const words = `${await form.innerText()} ${await form.locator('option').allInnerTexts()}`;
  assert.doesNotMatch(words, /_|%|upper|percentile|voxel/i);
  // The name in the protocol is at hand.
  for (const control of await form.locator('input, select').all()) {
    const name = await control.getAttribute('name');
    await expect(control).toHaveAttribute('title', new RegExp(`\\(${name}\\)$`));
  }
  well();
  await page.close();
});
