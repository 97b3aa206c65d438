// The dashboard: it updates by itself, opens sessions and deletes them.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { shownPictures } from './support/pictures.mjs';
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

test('a session appears, shows its progress, can be opened and deleted', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/dashboard`);
  await page.locator('#fresh[data-fresh="live"]').waitFor();
  await page.locator('#no-sessions').waitFor();

  const client = await openPage(browser.context, `${server.base}/`);
  await chooseResolution(client.page, 112);
  await client.page.locator('#photos').setInputFiles(photos(3));
  await stored(client.page, 3);
  const session = sessionOf(client.page);
  // A page in the background does not poll, so bring each to the front.
  await page.bringToFront();
  const row = page.locator(`tr[data-session="${session}"]`);
  await row.waitFor();
  // The figures may be of a moment before the last image.
  await row.locator('td').nth(2).getByText('3', { exact: true }).waitFor();
  await expect(row.locator('td').nth(3)).toHaveText(/KiB/);
  await expect(row.locator('td').nth(4)).toHaveText('1');
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
  await page.locator('#view canvas[data-textures="3"]').waitFor();
  await expect
    .poll(() => shownPictures(page, session))
    .toEqual([
      { name: '000.jpg', places: [0] },
      { name: '001.jpg', places: [1] },
      { name: '002.jpg', places: [2] },
    ]);
  await page.goBack();

  const again = page.locator(`tr[data-session="${session}"]`);
  const sure = again.getByRole('button', { name: 'Delete? session' });
  // A double click or a held key counts as one press.
  await again.getByRole('button', { name: 'Delete' }).dblclick();
  await sure.waitFor();
  await sure.waitFor({ state: 'detached' });
  await again.getByRole('button', { name: 'Delete' }).focus();
  for (let press = 0; press < 3; press += 1) {
    await page.keyboard.down('Enter');
  }
  await page.keyboard.up('Enter');
  await sure.waitFor();
  assert.equal(
    (await server.json(`/ws/session/${session}`)).status,
    200,
    'deletion needs a second press',
  );
  await sure.click();
  await again.waitFor({ state: 'detached' });
  assert.equal((await server.json(`/ws/session/${session}`)).status, 404);
  well();
  client.well();
  await page.close();
});

test('running jobs are shown', async () => {
  const busy = await startServer('--model', archive('endless'));
  const { page, well } = await openPage(browser.context, `${busy.base}/dashboard`);
  await page.locator('#workers tr').waitFor();
  const sessions = [await reconstruct(busy), await reconstruct(busy)];
  const [first, second] = sessions.map((id) => page.locator(`tr[data-session="${id}"] td`));
  const worker = page.locator('#workers tr td');
  // The first job runs, and the jobs of the second session wait.
  await worker.nth(3).getByText('busy', { exact: true }).waitFor();
  await worker
    .nth(5)
    .getByText(/^reconstruct, 8 frames, session [\da-f]{8}, for /)
    .waitFor();
  await page.locator('#queue', { hasText: /^[1-9]\d* jobs? of 256 waiting$/ }).waitFor();
  await page.locator('#tiles li', { hasText: 'workers busy' }).getByText('1 / 1').waitFor();
  await expect(first.nth(1)).toHaveText('processing');
  await expect(first.nth(5)).toHaveText('1');
  await expect(first.nth(6)).toHaveText(/^\d+ s ago$/);
  await expect(second.nth(1)).toHaveText('processing');
  await expect(worker.nth(5)).toContainText(sessions[0].slice(0, 8));
  await expect(worker.nth(6)).toHaveText('0');
  await worker
    .nth(4)
    .getByText(/^[1-9]\d* %$/)
    .waitFor();
  const fact = (name) => page.locator('#memory dt', { hasText: name }).locator('+ dd');
  await expect(fact('Resident memory')).toHaveText(/^[\d.]+ [MG]iB$/);
  await expect(fact('Upload buffer')).toHaveText(/ of 512 MiB$/);
  await fetch(`${busy.base}/actors/workers/0/restart`, { method: 'POST' });
  await worker.nth(6).getByText('1', { exact: true }).waitFor();
  await expect(fact('Worker restarts')).toHaveText('1');
  well();
  await page.close();
  await busy.stop();
});

/** Starts an asynchronous reconstruction and returns its session. */
async function reconstruct({ base }) {
  const form = new FormData();
  for (const path of photos(8)) {
    form.append('images', new Blob([await readFile(path)]), basename(path));
  }
  const address = `${base}/reconstruct?async=true&process_res=112`;
  const response = await fetch(address, { method: 'POST', body: form });
  assert.equal(response.status, 202);
  return (await response.json()).session_id;
}

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

test('stale data are marked, and updates continue after an outage', async () => {
  const { page } = await openPage(browser.context, `${server.base}/dashboard`);
  await page.locator('#fresh[data-fresh="live"]').waitFor();
  await page.context().setOffline(true);
  await page.locator('#fresh[data-fresh="stale"]', { hasText: 'no answer for' }).waitFor();
  await page.context().setOffline(false);
  await page.locator('#fresh[data-fresh="live"]').waitFor();
  await page.close();
});
