// The client page from a static web server, with the service at another origin.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { serveFiles } from './support/files.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, logged, photos, sessionOf } from './support/scene.mjs';
import { archive, REPOSITORY, startServer } from './support/server.mjs';

const PAGE = '/examples/websocket_client.html';

let server;
let files;
let browser;

before(async () => {
  server = await startServer('--model', archive('flat'));
  files = await serveFiles(REPOSITORY);
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
  await files?.stop();
  await server?.stop();
});

test('the example uses the server named in its address', async () => {
  const address = `${files.base}${PAGE}?server=${encodeURIComponent(server.base)}`;
  const { page, well } = await openPage(browser.context, address);
  await expect(page.getByLabel('Server', { exact: true })).toHaveValue(server.base);
  await chooseResolution(page, 112);
  await page.locator('#photos').setInputFiles(photos(3));
  await logged(page, 'update, 3 images');
  well();
  await page.close();
});

test('a server that refuses the page is distinguished from a missing one', async () => {
  const strict = await startServer('--model', archive('flat'), '--cors-origins', 'http://a.test');
  const address = `${files.base}${PAGE}?server=${encodeURIComponent(strict.base)}`;
  const { page } = await openPage(browser.context, address);
  await page.locator('#notice', { hasText: `--cors-origins ${files.base}` }).waitFor();
  await page.close();
  await strict.stop();
});

test('files are saved under their name, and none is offered of a deleted session', async () => {
  const address = `${files.base}${PAGE}?server=${encodeURIComponent(server.base)}`;
  const { page, well } = await openPage(browser.context, address);
  await chooseResolution(page, 112);
  await page.locator('#photos').setInputFiles(photos(3));
  await logged(page, 'update, 3 images');
  await page.getByLabel('Name of this one').fill('Yard');
  const before = page.url();
  await page.locator('#save > summary').click();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: /^PLY / }).click(),
  ]);
  assert.match(download.suggestedFilename(), /^Yard-\d{4}-\d\d-\d\d\.ply$/);
  assert.equal(page.url(), before);

  await fetch(`${server.base}/ws/session/${sessionOf(page)}`, { method: 'DELETE' });
  await page.locator('#save').waitFor({ state: 'hidden' });
  assert.ok(await page.locator('#facts').innerText());
  await expect(page.locator('.session', { hasText: 'Yard' })).toHaveCount(0);
  well();
  await page.close();
});

test('the example remembers the server that was entered', async () => {
  // No server listens at the default address.
  const refused = [/ERR_CONNECTION_REFUSED/];
  const { page, well } = await openPage(browser.context, `${files.base}${PAGE}`, {
    allowed: refused,
  });
  await page.getByLabel('Server', { exact: true }).fill(server.base);
  await page.getByRole('button', { name: 'Use' }).click();
  await logged(page, `server ${server.base}`);
  await page.reload();
  await logged(page, `server ${server.base}`);
  await expect(page.getByLabel('Server', { exact: true })).toHaveValue(server.base);
  well();
  await page.close();
});

test('the example is the page that the server serves', async () => {
  const served = await (await fetch(`${server.base}/`)).text();
  const file = await (await fetch(`${files.base}${PAGE}`)).text();
  const mark = /<meta name="pointstream-server" content="(self)?">/;
  assert.equal(served.replace(mark, ''), file.replace(mark, ''), 'both pages are equal');
});
