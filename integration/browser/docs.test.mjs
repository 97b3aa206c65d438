// The page to browse the HTTP API: it loads nothing from other hosts.

import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { expect } from './support/expect.mjs';
import { openPage } from './support/page.mjs';
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

test('every operation is shown, and one can be tried', async () => {
  const { page, well } = await openPage(browser.context, `${server.base}/docs`);
  const { body } = await server.json('/openapi.json');
  const operations = Object.values(body.paths).flatMap((item) => Object.keys(item));
  await page.locator('.opblock').first().waitFor();
  await expect(page.locator('.opblock')).toHaveCount(operations.length);

  const health = page.locator('.opblock', { has: page.locator('[data-path="/healthz"]') });
  await health.locator('.opblock-summary-control').click();
  await health.getByRole('button', { name: 'Try it out' }).click();
  await health.getByRole('button', { name: 'Execute' }).click();
  const answer = health.locator('.live-responses-table .microlight').first();
  await answer.waitFor();
  await expect(answer).toHaveText(/"status": "ok"/);
  well();
});
