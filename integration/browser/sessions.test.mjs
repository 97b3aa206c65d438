// What the client page does with sessions: stop, reopen, run again.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, logged, photos, SCENE, sessionOf, stored } from './support/scene.mjs';
import { archive, startServer } from './support/server.mjs';

let browser;

before(async () => {
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
});

const button = (page, name) => page.getByRole('button', { name, exact: true });

test('a completed session is reopened, and run again with other parameters', async () => {
  const server = await startServer('--model', archive('flat'));
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  const info = async () => (await server.json(`/ws/session/${sessionOf(page)}`)).body;
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(2));
  await stored(page, 2);
  await expect(button(page, 'Reopen')).toBeHidden();
  await button(page, 'Finish').click();
  await logged(page, 'final result, 2 images');

  const first = sessionOf(page);
  await button(page, 'Reopen').click();
  await button(page, 'Finish').waitFor();
  assert.equal(sessionOf(page), first);
  await page.locator('#photos').setInputFiles(photos(3).slice(2));
  await stored(page, 3);
  await button(page, 'Finish').click();
  await logged(page, 'final result, 3 images');

  await page.getByRole('spinbutton', { name: 'Resolution' }).fill('168');
  await button(page, 'Run again').click();
  await button(page, 'Finish').waitFor();
  await stored(page, 3);
  await expect.poll(() => sessionOf(page)).not.toBe(first);
  const again = await info();
  assert.equal(again.config.process_res, 168);
  assert.equal(again.image_count, 3);
  await page.locator('#facts:empty').waitFor({ state: 'attached' });
  await button(page, 'Finish').click();
  await page.locator('#facts', { hasText: '3 cameras' }).waitFor();
  await expect.poll(async () => (await info()).status).toBe('completed');
  well();
  await page.close();
  await server.stop();
});

test('a request says what it does and for how long, and is taken back', async () => {
  const server = await startServer('--model', archive('endless'));
  const { page, well } = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(8));
  await stored(page, 8);
  const cancel = button(page, 'Cancel');
  await expect(cancel).toBeHidden();
  await button(page, 'Update').click();
  await page.locator('#stage', { hasText: /^Looking at the photos · .*\d %$/ }).waitFor();
  await page.locator('#times', { hasText: /^[1-9]\d* s/ }).waitFor();
  await cancel.click();
  await page.locator('#progress').waitFor({ state: 'hidden' });
  await logged(page, 'the request was taken back');
  await expect(page.locator('#no-cloud')).toBeHidden();
  const { body } = await server.json(`/ws/session/${sessionOf(page)}`);
  assert.equal(body.has_result, false);
  assert.equal(body.status, 'active');
  await expect(button(page, 'Update')).toBeEnabled();
  well();
  await page.close();
  await server.stop();
});

test('a request behind others says that it waits for its turn', async () => {
  const server = await startServer('--model', archive('endless'));
  const long = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(long.page, 56);
  await long.page.getByText('All at once').click();
  await long.page.locator('#photos').setInputFiles(photos(3));
  await stored(long.page, 3);
  await button(long.page, 'Finish').click();
  await long.page.locator('#progress[data-stage="inference"]').waitFor();
  const other = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(other.page, 56);
  await other.page.getByText('All at once').click();
  await other.page.locator('#photos').setInputFiles(photos(2));
  await stored(other.page, 2);
  await button(other.page, 'Finish').click();
  await other.page.locator('#stage', { hasText: 'Waiting for its turn' }).waitFor();
  await button(other.page, 'Cancel').click();
  await other.page.locator('#progress').waitFor({ state: 'hidden' });
  await expect(button(other.page, 'Finish')).toBeEnabled();
  long.well();
  other.well();
  await long.page.close();
  await other.page.close();
  await server.stop();
});

test('sessions are listed with their names, also after a restart of the server', async () => {
  const server = await startServer('--model', archive('flat'));
  const { page, well } = await openPage(browser.context, `${server.base}/`, {
    allowed: [/ERR_CONNECTION_REFUSED|WebSocket connection/],
  });
  await expect(page.locator('#sessions-card')).toBeHidden();
  await chooseResolution(page, 56);
  await page.getByText('All at once').click();
  const chosen = page.waitForEvent('filechooser');
  await button(page, 'Choose a folder').click();
  await (await chosen).setFiles(SCENE);
  await stored(page, 8);
  await expect(page.getByLabel('Name of this one')).toHaveValue('sample_scene');
  const first = sessionOf(page);
  await button(page, 'New session').click();
  await button(page, 'Keep it').click();
  await page.locator('#photos').setInputFiles(photos(2));
  await stored(page, 2);
  const second = sessionOf(page);
  await page.getByLabel('Name of this one').fill('Kitchen');
  await page.getByLabel('Name of this one').press('Enter');
  await page.locator('.session', { hasText: /^Kitchen\s*2 photos, / }).waitFor();

  await server.restart();
  await page.goto(`${server.base}/`);
  const listed = page.locator('.session');
  await listed.filter({ hasText: /^sample_scene\s*8 photos, / }).waitFor();
  await expect(listed).toHaveCount(2);
  const pictures = () =>
    page
      .locator('.session img')
      .evaluateAll((images) => images.map(({ naturalWidth }) => naturalWidth));
  await expect.poll(pictures).toEqual([96, 96]);
  const kept = await page.evaluate(() => JSON.stringify(localStorage));
  assert.doesNotMatch(kept, /token/i);

  await listed.filter({ hasText: 'sample_scene' }).click();
  await page.locator('.thumbnail').nth(7).waitFor();
  assert.equal(sessionOf(page), first);
  await expect(page.locator('.session[aria-current="true"]')).toHaveCount(1);

  // What the server no longer has is not listed any more.
  await fetch(`${server.base}/ws/session/${second}`, { method: 'DELETE' });
  await page.reload();
  await page.locator('.session', { hasText: 'Kitchen' }).waitFor({ state: 'detached' });
  await listed.filter({ hasText: 'sample_scene' }).waitFor();
  well();
  await page.close();
  await server.stop();
});
