// A page under test, and what every test asks of it in the end.

import assert from 'node:assert/strict';

/** How long anything may take on a busy machine. */
export const PATIENCE = 240_000;

const LOCAL = ['localhost', '127.0.0.1', '[::1]'];

/**
 * Opens an address. `well` then says whether the page behaved: nothing on the console that it
 * should not say, and no request to anywhere but this machine.
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
    if (!['data:', 'blob:', 'about:'].includes(protocol) && !LOCAL.includes(hostname)) {
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
