// Takes the pictures of the pages that the README shows: run.sh --screenshots

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startChromium } from './support/chromium.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, logged, photos } from './support/scene.mjs';
import { REPOSITORY, startServer } from './support/server.mjs';

const FOLDER = join(REPOSITORY, 'docs/images');
/** JPEG, because points compress badly. */
const JPEG = { type: 'jpeg', quality: 82 };
const RESOLUTION = 336;
const VIEWPORT = { width: 1280, height: 760 };

await mkdir(FOLDER, { recursive: true });
const server = await startServer();
const dark = await startChromium({ colorScheme: 'dark', viewport: VIEWPORT });
const light = await startChromium({ colorScheme: 'light', viewport: VIEWPORT });
try {
  // Something to show of the past.
  const early = await openPage(dark.context, `${server.base}/`);
  await chooseResolution(early.page, 84);
  await early.page.locator('#photos').setInputFiles(photos(3));
  await logged(early.page, 'update, 3 images');
  await early.page.close();

  const client = await openPage(dark.context, `${server.base}/`);
  // However long the machine takes.
  client.page.setDefaultTimeout(0);
  await chooseResolution(client.page, RESOLUTION);
  await client.page.locator('#parameters > summary').click();
  await client.page.getByLabel('Images between two updates').fill('8');
  await client.page.locator('#photos').setInputFiles(photos(8));
  await logged(client.page, 'asked for an update');
  await client.page.evaluate(() => document.activeElement?.blur());

  const dashboard = await openPage(light.context, `${server.base}/dashboard`);
  await dashboard.page.locator('#workers tr', { hasText: 'reconstruct, 8 frames' }).waitFor();
  await dashboard.page.locator('#workers .meter + span', { hasNotText: /^0 %$/ }).waitFor();
  await dashboard.page.screenshot({ path: join(FOLDER, 'dashboard.jpg'), fullPage: true, ...JPEG });

  await client.page.locator('#facts', { hasText: '8 cameras' }).waitFor();
  await client.page.locator('#progress').waitFor({ state: 'hidden' });
  await client.page.screenshot({ path: join(FOLDER, 'client.jpg'), ...JPEG });
  client.well();
  dashboard.well();
} finally {
  await dark.stop();
  await light.stop();
  await server.stop();
}
