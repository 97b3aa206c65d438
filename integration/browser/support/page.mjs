// Opens a page under test, with checks for the end of every test.

import assert from 'node:assert/strict';

/** Timeout in milliseconds of any single step, for a busy machine. */
export const PATIENCE = 240_000;

const LOCAL = ['localhost', '127.0.0.1', '[::1]'];

/**
 * Opens an address. `well` then checks that the console has no unexpected messages and that no
 * request left this machine.
 */
export async function openPage(context, address, { allowed = [] } = {}) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') {
      complaints.push(message.text());
    }
  });
  const foreign = [];
  const look = (url) => {
    const { protocol, hostname } = new URL(url);
    if (!['data:', 'blob:', 'about:', 'file:'].includes(protocol) && !LOCAL.includes(hostname)) {
      foreign.push(url);
    }
  };
  page.on('request', (request) => look(request.url()));
  page.on('websocket', (socket) => look(socket.url()));
  await page.goto(address);
  const well = () => {
    const others = complaints.filter((text) => !allowed.some((pattern) => pattern.test(text)));
    assert.deepEqual(others, [], 'the console is clean');
    assert.deepEqual(foreign, [], 'no request leaves this machine');
  };
  return { page, well };
}

/** Waits until the page has drawn what was asked for before. */
export async function nextFrame(page) {
  await page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
  );
}
