import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { ServerError } from 'pointstream/engine';
import { Server } from '../src/shared/api';
import { Credentials } from '../src/shared/credentials';

const originals = { fetch: globalThis.fetch, WebSocket: globalThis.WebSocket };
/** Tokens that the fake server accepts. */
let valid: string[];
/** What was asked for: the path and the token. */
let asked: [string, string | undefined][];

beforeEach(() => {
  valid = [];
  asked = [];
  const stored = new Map<string, string>();
  globalThis.sessionStorage = {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => stored.set(key, value),
    removeItem: (key: string) => stored.delete(key),
  } as unknown as Storage;
  globalThis.fetch = (async (url: string, { headers }: { headers: Record<string, string> }) => {
    const token = headers.Authorization?.replace('Bearer ', '');
    asked.push([new URL(url).pathname, token]);
    return token && valid.includes(token)
      ? Response.json({ token })
      : Response.json({ detail: 'a token is needed' }, { status: 401 });
  }) as typeof fetch;
});

afterEach(() => {
  Credentials.ask = undefined;
  Object.assign(globalThis, originals);
});

test('the user is asked once, and the request is repeated with the token', async () => {
  const server = new Server('http://localhost');
  valid = ['pst_a'];
  const reasons: string[] = [];
  Credentials.ask = async (why) => {
    reasons.push(why);
    return 'pst_a';
  };
  await server.get('/stats');
  await server.get('/actors');
  assert.deepEqual(reasons, ['a token is needed']);
  const tokens = asked.map(([, token]) => token);
  assert.deepEqual(tokens, [undefined, 'pst_a', 'pst_a']);
  // Another page of the tab, and another server.
  assert.equal(new Server('http://localhost').credentials.token, 'pst_a');
  assert.equal(new Server('http://localhost:8001').credentials.token, undefined);
});

test('without an answer of the user the request fails with the reason', async () => {
  const server = new Server('http://localhost');
  Credentials.ask = async () => undefined;
  await assert.rejects(server.get('/stats'), (error) => {
    assert.ok(error instanceof ServerError);
    assert.equal(error.status, 401);
    return error.message === 'a token is needed';
  });
});

test('a session is used with its own token', async () => {
  const server = new Server('http://localhost');
  server.credentials.token = 'pst_a';
  server.credentials.keep('one', 'pss_one');
  // It creates another session, for which the token of this one does not suffice.
  assert.equal(server.credentials.for('/ws/session/one/rerun'), 'pst_a');
  assert.equal(server.credentials.for('/ws/session/one/reopen'), 'pss_one');
  valid = ['pst_a', 'pss_one'];
  await server.get('/ws/session/one/images');
  await server.get('/ws/session/other');
  assert.deepEqual(asked, [
    ['/ws/session/one/images', 'pss_one'],
    ['/ws/session/other', 'pst_a'],
  ]);
  let offered: unknown;
  globalThis.WebSocket = class {
    constructor(url: string, protocols: string[]) {
      offered = [url, protocols];
    }
  } as unknown as typeof WebSocket;
  server.openSocket('one', { binary: 'true' });
  const protocols = ['pointstream', 'pointstream.bearer.pss_one'];
  assert.deepEqual(offered, ['ws://localhost/ws/reconstruct/one?binary=true', protocols]);
});

test('a token of a session that is refused gives way to that of the user', async () => {
  const server = new Server('http://localhost');
  server.credentials.token = 'pst_a';
  server.credentials.keep('one', 'pss_old');
  valid = ['pst_a'];
  await server.get('/ws/session/one');
  assert.deepEqual(
    asked.map(([, token]) => token),
    ['pss_old', 'pst_a'],
  );
  assert.equal(server.credentials.for('/ws/reconstruct/one'), 'pst_a');
});
