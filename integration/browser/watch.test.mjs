// A link with which others watch a session: they see it grow, and change nothing.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { drawn } from './support/pixels.mjs';
import { chooseResolution, logged, photos, sessionOf, stored } from './support/scene.mjs';
import { archive, PROGRAM, startServer } from './support/server.mjs';

const PREFIX = '/scans';

let folder;
let server;
let token;
let browser;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pointstream-tokens-'));
  const file = join(folder, 'tokens.json');
  const add = ['token', '--tokens-file', file, 'add', 'owner', '--scopes', 'create,use'];
  token = (await promisify(execFile)(PROGRAM, add)).stdout.trim();
  const auth = ['--auth', 'tokens', '--tokens-file', file];
  server = await startServer('--model', archive('flat'), '--path-prefix', PREFIX, ...auth);
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const button = (page, name) => page.getByRole('button', { name, exact: true });

/** The link in the dialog, and what the page says of it. */
async function share(page) {
  await button(page, 'Share').click();
  const dialog = page.locator('#share-dialog[open]');
  await dialog.waitFor();
  const link = await dialog.getByLabel('Link').inputValue();
  const note = await dialog.locator('#share-note').innerText();
  await dialog.getByRole('button', { name: 'Close' }).click();
  return { link, note };
}

test('who has the link sees the session grow', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}${PREFIX}/`, {
    allowed: [/401 \(Unauthorized\)/],
  });
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(2));
  await page.locator('#token').fill(token);
  await page.locator('#token').press('Enter');
  await stored(page, 2);
  const { link, note } = await share(page);
  const session = sessionOf(page);
  assert.ok(link.startsWith(`${server.base}${PREFIX}/watch?session=${session}#psw_`), link);
  assert.match(note, /change nothing/);
  assert.match(note, /of this machine alone/);

  // It has a storage of its own, as the page of somebody else.
  const other = await startChromium({ acceptDownloads: true });
  const watcher = await openPage(other.context, link, { allowed: [/ERR_FAILED/] });
  const facts = watcher.page.locator('#facts');
  const state = watcher.page.locator('#link');
  await expect(facts).toHaveText('2 photos, and no point cloud yet');
  await expect(state).toHaveText('live');
  const empty = await drawn(watcher.page);
  // A result that cannot be fetched at first is fetched later.
  let failures = 1;
  await watcher.page.route('**/result?*', (route) => {
    failures -= 1;
    return failures >= 0 ? route.abort() : route.continue();
  });
  await button(page, 'Update').click();
  await expect(facts).toHaveText(/^[\d,]+ points, 2 cameras$/);
  const canvas = watcher.page.locator('#view canvas');
  await canvas.and(watcher.page.locator('[data-textures="2"]')).waitFor();
  const full = await drawn(watcher.page);
  assert.ok(full.share > empty.share + 0.1, `${full.share} of the view is not background`);

  await page.locator('#photos').setInputFiles(photos(3).slice(2));
  await stored(page, 3);
  await button(page, 'Finish').click();
  await logged(page, 'final result, 3 images');
  await expect(facts).toHaveText(/^[\d,]+ points, 3 cameras$/);
  await expect(state).toHaveText('finished');
  const [download] = await Promise.all([
    watcher.page.waitForEvent('download'),
    button(watcher.page, 'Save').click(),
  ]);
  const saved = await readFile(await download.path());
  assert.equal(saved.subarray(0, 4).toString(), 'glTF');

  assert.ok(failures < 0, 'it was fetched again');

  // Who uses the session may watch it in the same tab, and go back.
  const address = page.url();
  await page.goto(link);
  await expect(page.locator('#link')).toHaveText('finished');
  await page.goto(address);
  await expect(page.locator('#facts')).toHaveText(/3 cameras/);
  await expect(button(page, 'Reopen')).toBeVisible();

  // The session ends for both.
  await button(page, 'New session').click();
  await button(page, 'Delete it').click();
  await expect(state).toHaveText(/deleted/);
  watcher.well();
  well();
  await other.stop();
  await page.close();
});

test('a link without its token says that it does not work', async () => {
  const nobody = '3f0d3a0e-6f53-4f0c-9d0e-2f6e2f0f7c11';
  for (const [address, words] of [
    [`/watch?session=${nobody}`, /token/],
    [`/watch?session=${nobody}#psw_AAAA`, /token/],
    ['/watch', /names no session/],
  ]) {
    const { page } = await openPage(browser.context, `${server.base}${PREFIX}${address}`);
    await expect(page.locator('#link')).toHaveText(words);
    await expect(page.locator('#link')).toHaveAttribute('data-link', 'ended');
    await page.close();
  }
});

test('a server without tokens says that the link lets others in', async () => {
  const open = await startServer('--model', archive('flat'));
  const { page, well } = await openPage(browser.context, `${open.base}/`);
  await page.getByText('All at once').click();
  await expect(button(page, 'Share')).toBeHidden();
  await page.locator('#photos').setInputFiles(photos(1));
  await stored(page, 1);
  const { link, note } = await share(page);
  assert.equal(link, `${open.base}/watch?session=${sessionOf(page)}`);
  assert.match(note, /could open the session and change it/);
  const watcher = await openPage(browser.context, link);
  await expect(watcher.page.locator('#link')).toHaveText('live');
  watcher.well();
  well();
  await watcher.page.close();
  await page.close();
  await open.stop();
});
