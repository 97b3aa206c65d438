// The pages over HTTPS and below a path, as behind a reverse proxy.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, logged, photos, sessionOf } from './support/scene.mjs';
import { archive, REPOSITORY, startServer } from './support/server.mjs';

const PREFIX = '/scans/pointstream';
let folder;
let server;
let browser;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pointstream-certificate-'));
  execFileSync(join(REPOSITORY, 'scripts/local-certificate.sh'), ['--folder', folder]);
  const tls = ['--tls-cert', join(folder, 'cert.pem'), '--tls-key', join(folder, 'key.pem')];
  server = await startServer('--model', archive('flat'), '--path-prefix', PREFIX, ...tls);
  browser = await startChromium({ ignoreHTTPSErrors: true });
});

after(async () => {
  await browser?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

test('the page reconstructs, saves and leads to the dashboard', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}${PREFIX}`);
  assert.equal(new URL(page.url()).pathname, `${PREFIX}/`);
  assert.ok(await page.evaluate(() => isSecureContext && 'mediaDevices' in navigator));
  const sockets = [];
  page.on('websocket', (socket) => sockets.push(socket.url()));
  await chooseResolution(page, 112);
  await page.locator('#photos').setInputFiles(photos(3));
  await logged(page, 'update, 3 images');
  const session = sessionOf(page);
  const address = `${server.base.replace('https', 'wss')}${PREFIX}/ws/reconstruct/${session}`;
  assert.ok(sockets.length > 0 && sockets.every((url) => url.startsWith(address)), `${sockets}`);

  await page.locator('#save > summary').click();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: /^PLY / }).click(),
  ]);
  assert.match(download.suggestedFilename(), /^pointstream-[\d-]+\.ply$/);
  well();
  await page.goto(`${server.base}${PREFIX}/dashboard`);
  await page.locator('#sessions-card', { hasText: session.slice(0, 8) }).waitFor();
  await page.getByRole('link', { name: 'Client' }).click();
  await page.waitForURL(`${server.base}${PREFIX}/`);
  well();
});

test('the page of the HTTP API tries requests at the right address', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}${PREFIX}/docs`);
  const health = page.locator('.opblock', { has: page.locator('[data-path="/healthz"]') });
  await health.locator('.opblock-summary-control').click();
  await health.getByRole('button', { name: 'Try it out' }).click();
  await health.getByRole('button', { name: 'Execute' }).click();
  const answer = health.locator('.live-responses-table .microlight').first();
  await answer.waitFor();
  await expect(answer).toHaveText(/"status": "ok"/);
  await expect(health.locator('.request-url')).toHaveText(new RegExp(`${PREFIX}/healthz`));
  well();
});
