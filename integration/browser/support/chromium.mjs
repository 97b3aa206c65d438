// Starts the browser at the path in CHROMIUM, which run.sh sets.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--use-angle=swiftshader',
  '--enable-unsafe-swiftshader',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
];

/** How often the browser is started if it crashes before it has a page, as it does now and then. */
const STARTS = 3;

/** Starts a browser with an empty profile; `stop` closes it and removes the profile. */
export async function startChromium(options = {}) {
  for (let start = 1; ; start += 1) {
    const profile = await mkdtemp(join(tmpdir(), 'pointstream-browser-'));
    try {
      return await launch(profile, options);
    } catch (error) {
      await remove(profile);
      if (start === STARTS || !/signal=SIG(SEGV|ILL|ABRT|TRAP)/.test(error.message)) {
        throw error;
      }
      console.error(`the browser crashed when it was started:\n${error.message}`);
    }
  }
}

async function launch(profile, options) {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: FLAGS,
    viewport: { width: 1360, height: 820 },
    acceptDownloads: true,
    ...options,
  });
  return {
    context,
    async stop() {
      await context.close();
      await remove(profile);
    },
  };
}

async function remove(profile) {
  // The browser's last processes may still be writing to it.
  await rm(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}
