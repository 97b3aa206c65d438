// A server that asks for tokens: the pages ask the user once, and use the session's own token.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, photos, sessionOf, stored } from './support/scene.mjs';
import { archive, PROGRAM, startServer } from './support/server.mjs';

let folder;
let file;
let server;
let browser;

/** Adds a token and returns it, when the server knows it. */
async function add(name, scopes, ...limits) {
  const options = ['token', '--tokens-file', file, 'add', name, '--scopes', scopes, ...limits];
  const { stdout } = await promisify(execFile)(PROGRAM, options);
  const token = stdout.trim();
  // The server looks at the file every second.
  while (server && (await statusFor(token)) === 401) {
    await setTimeout(50);
  }
  return token;
}

/** The status of a request with a token. */
async function statusFor(token) {
  const headers = { authorization: `Bearer ${token}` };
  return (await fetch(`${server.base}/ws/sessions`, { headers })).status;
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pointstream-tokens-'));
  file = join(folder, 'tokens.json');
  await add('nobody', 'use');
  const model = ['--model', archive('flat')];
  server = await startServer(...model, '--auth', 'tokens', '--tokens-file', file);
  browser = await startChromium();
});

after(async () => {
  await browser?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Enters a token in the dialog, which must be open. */
async function enter(page, token) {
  await page.locator('#sign-in[open]').waitFor();
  await page.locator('#token').fill(token);
  await page.locator('#token').press('Enter');
}

test('the client asks once and uses the token of its session', async () => {
  const token = await add('user', 'create,use');
  const allowed = [/401 \(Unauthorized\)/];
  const { page, well } = await openPage(browser.context, `${server.base}/`, { allowed });
  const sent = [];
  page.on('request', (request) => {
    sent.push([new URL(request.url()).pathname, request.headers().authorization]);
    assert.doesNotMatch(request.url(), /ps[ts]_/, 'no token is in an address');
  });
  page.on('websocket', (socket) => assert.doesNotMatch(socket.url(), /ps[ts]_/));
  await chooseResolution(page, 112);
  await page.locator('#photos').setInputFiles(photos(3));
  await enter(page, 'pst_wrong');
  await enter(page, token);
  await stored(page, 3);
  await page.locator('#facts', { hasText: '3 cameras' }).waitFor();
  const session = sessionOf(page);
  assert.doesNotMatch(page.url(), /ps[ts]_/);

  // A file is fetched with the token, too.
  await page.locator('#save summary').click();
  const download = page.waitForEvent('download');
  await page.locator('#formats button', { hasText: /^PLY/ }).click();
  const saved = await download;
  assert.match(saved.suggestedFilename(), /^pointstream-[\d-]+\.ply$/);
  assert.ok((await stat(await saved.path())).size > 1000);

  // A reload asks for nothing.
  await page.reload();
  await page.locator('#facts', { hasText: '3 cameras' }).waitFor();
  await expect(page.locator('#sign-in[open]')).toHaveCount(0);
  const ofSession = sent.filter(([path]) => path.includes(session));
  assert.ok(ofSession.length > 0);
  for (const [path, header] of ofSession) {
    assert.match(header ?? 'nothing', /^Bearer pss_/, path);
  }
  const [, creation] = sent.findLast(([path]) => path === '/ws/session/create');
  assert.equal(creation, `Bearer ${token}`);
  well();
  await page.close();
});

test('a revoked token is asked for again, and the session goes on', async () => {
  const first = await add('again', 'create,use');
  const allowed = [/401 \(Unauthorized\)/];
  const { page, well } = await openPage(browser.context, `${server.base}/`, { allowed });
  await chooseResolution(page, 112);
  await page.locator('#photos').setInputFiles(photos(2));
  await enter(page, first);
  await stored(page, 2);
  const revoke = ['token', '--tokens-file', file, 'revoke', 'again'];
  await promisify(execFile)(PROGRAM, revoke);
  await page.locator('#sign-in[open]').waitFor();
  const second = await add('again', 'create,use');
  const known = async () => {
    const headers = { Authorization: `Bearer ${second}` };
    return (await fetch(`${server.base}/ws/sessions`, { headers })).ok;
  };
  while (!(await known())) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await enter(page, second);
  await page.locator('#link[data-link="open"]').waitFor();
  await page.locator('#finish').click();
  await page.locator('#facts', { hasText: '2 cameras' }).waitFor();
  well();
  await page.close();
});

test('a token with a limit of points runs a session again', async () => {
  const token = await add('few', 'create,use', '--max-points', '500');
  const allowed = [/401 \(Unauthorized\)/];
  const { page, well } = await openPage(browser.context, `${server.base}/`, { allowed });
  const limit = async () => {
    const headers = { authorization: `Bearer ${token}` };
    const path = `${server.base}/ws/session/${sessionOf(page)}`;
    return (await (await fetch(path, { headers })).json()).config.num_max_points;
  };
  await chooseResolution(page, 112);
  await page.getByText('All at once').click();
  await page.locator('#photos').setInputFiles(photos(2));
  await enter(page, token);
  await stored(page, 2);
  // The form has what the server answered.
  await expect(page.locator('#parameter-num_max_points')).toHaveValue('500');
  let session = sessionOf(page);
  for (const [change, expected] of [
    [undefined, 500],
    ['400', 400],
    [undefined, 400],
  ]) {
    await page.locator('#finish').click();
    await page.locator('#facts', { hasText: '2 cameras' }).waitFor();
    if (change) {
      await page.locator('#parameter-num_max_points').fill(change);
    }
    await page.locator('#rerun').click();
    await page.locator('#facts:empty').waitFor({ state: 'attached' });
    await page.locator('#finish').waitFor();
    await stored(page, 2);
    assert.notEqual(sessionOf(page), session);
    session = sessionOf(page);
    assert.equal(await limit(), expected);
  }
  well();
  await page.close();
});

test('the dashboard asks for the token of an operator', async () => {
  const user = await add('no-operator', 'use');
  const operator = await add('operator', 'operate');
  const allowed = [/401 \(Unauthorized\)/, /403 \(Forbidden\)/];
  const address = `${server.base}/dashboard`;
  const { page, well } = await openPage(browser.context, address, { allowed });
  await enter(page, user);
  await page.locator('#fresh', { hasText: 'lacks the scope operate' }).waitFor();
  await page.locator('#change-token').click();
  await enter(page, operator);
  await page.locator('#fresh[data-fresh="live"]').waitFor();
  await page.locator('#workers tr', { hasText: 'cpu' }).waitFor();
  const text = await readFile(file, 'utf8');
  assert.ok(!text.includes(operator.slice(4)));
  well();
  await page.close();
});
