// The dashboard: it follows what happens by itself, opens sessions, and deletes them.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, photos, sessionOf, stored } from './support/scene.mjs';
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

test('a session appears, shows its work, is opened and deleted', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/dashboard`);
  await page.locator('#fresh[data-fresh="live"]').waitFor();
  await page.locator('#no-sessions').waitFor();

  const client = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(client.page, 112);
  await client.page.locator('#photos').setInputFiles(photos(3));
  await stored(client.page, 3);
  const session = sessionOf(client.page);
  // A page in the background asks nothing, so each comes to the front to be looked at.
  await page.bringToFront();
  const row = page.locator(`tr[data-session="${session}"]`);
  await row.waitFor();
  assert.equal(await row.locator('td').nth(2).innerText(), '3');
  assert.match(await row.locator('td').nth(3).innerText(), /KiB/);
  assert.equal(await row.locator('td').nth(4).innerText(), '1');
  const tree = page.locator('#actors');
  await tree.getByText(session.slice(0, 8)).waitFor();
  for (const kind of ['supervisor', 'pool', 'worker']) {
    await tree.getByText(kind, { exact: true }).first().waitFor();
  }
  await page.locator('#workers tr', { hasText: 'cpu' }).waitFor();
  await page.locator('#workers tr', { hasText: 'flat' }).waitFor();
  await page.locator('#latencies tr[data-stage="model"]').waitFor();

  await client.page.close();
  await row.getByRole('link', { name: 'Open' }).click();
  await page.waitForURL(`**/?session=${session}`);
  await page.locator('#facts', { hasText: '3 cameras' }).waitFor();
  await page.goBack();

  const again = page.locator(`tr[data-session="${session}"]`);
  await again.getByRole('button', { name: 'Delete' }).click();
  assert.equal((await server.json(`/ws/session/${session}`)).status, 200, 'it asks once more');
  await again.getByRole('button', { name: 'Delete' }).click();
  await again.waitFor({ state: 'detached' });
  assert.equal((await server.json(`/ws/session/${session}`)).status, 404);
  well();
  client.well();
  await page.close();
});

test('errors are shown', async () => {
  const client = await openPage(browser.context, `${server.base}/`);
  await client.page.getByText('All at once').click();
  await client.page.locator('#photos').setInputFiles(photos(1));
  await stored(client.page, 1);
  await client.page.evaluate(async (session) => {
    const socket = new WebSocket(`ws://${location.host}/ws/reconstruct/${session}`);
    await new Promise((opened) => socket.addEventListener('open', opened));
    socket.send('{"type":"image","data":"bm8gcGljdHVyZQ=="}');
    await new Promise((answered) => {
      socket.addEventListener('message', ({ data }) => data.includes('"error"') && answered());
    });
    socket.close();
  }, sessionOf(client.page));
  await client.page.close();
  const { body } = await server.json('/stats');
  const { page, well } = await openPage(browser.context, `${server.base}/dashboard`);
  await page.locator('#errors li', { hasText: body.errors[0].message }).first().waitFor();
  well();
  client.well();
  await page.close();
});

test('what is old is shown as such, and what is new comes by itself', async () => {
  const { page } = await openPage(browser.context, `${server.base}/dashboard`);
  await page.locator('#fresh[data-fresh="live"]').waitFor();
  await page.context().setOffline(true);
  await page.locator('#fresh[data-fresh="stale"]', { hasText: 'no answer for' }).waitFor();
  await page.context().setOffline(false);
  await page.locator('#fresh[data-fresh="live"]').waitFor();
  await page.close();
});
