import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { verifyWebhook, WebhookError, type WebhookHeaders } from '../src/index.js';

const KEY = Buffer.from('a key of the test, long enough');
const SECRET = `whsec_${KEY.toString('base64')}`;
const NOW = 1_700_000_000;
const BODY = JSON.stringify({
  type: 'result.made',
  timestamp: '2023-11-14T22:13:20Z',
  data: { session_id: 's', ü: 1 },
});

function signature(body: string, id = 'msg_1', timestamp = NOW, key = KEY): string {
  const mac = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`);
  return `v1,${mac.digest('base64')}`;
}

function headers(change: Record<string, string> = {}): Record<string, string> {
  return {
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(NOW),
    'webhook-signature': signature(BODY),
    ...change,
  };
}

function verify(given: WebhookHeaders, { secret = SECRET, body = BODY as string, now = NOW } = {}) {
  return verifyWebhook(secret, given, body, { now });
}

test('a signed message is read, whatever its headers are in', async () => {
  const capital = Object.entries(headers()).map(([name, value]) => [name.toUpperCase(), value]);
  for (const given of [headers(), new Headers(headers()), Object.fromEntries(capital)]) {
    const message = await verify(given);
    assert.deepEqual(message, { id: 'msg_1', ...JSON.parse(BODY) });
  }
  const bytes = new TextEncoder().encode(BODY);
  const { type } = await verifyWebhook(SECRET, headers(), bytes, { now: NOW });
  assert.equal(type, 'result.made');
});

test('the example of Standard Webhooks is verified', async () => {
  // From the specification.
  const given = {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  };
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  // The signature fits, and the body of the example has other fields than ours.
  const read = verifyWebhook(secret, given, '{"test": 2432232314}', { now: 1_614_265_330 });
  await assert.rejects(read, /not a message of a webhook/);
});

test('one of several signatures is enough', async () => {
  const other = signature(BODY, 'msg_1', NOW, Buffer.from('another key'));
  for (const signatures of [
    `${other} ${signature(BODY)}`,
    `v2,x ${signature(BODY)}`,
    `v1,%% ${signature(BODY)}`,
  ]) {
    await verify(headers({ 'webhook-signature': signatures }));
  }
});

test('what was not signed so is refused', async () => {
  const cases: [RegExp, WebhookHeaders, object?][] = [
    [/no signature fits/, headers(), { body: `${BODY} ` }],
    [/no signature fits/, headers({ 'webhook-id': 'msg_2' })],
    [/no signature fits/, headers({ 'webhook-signature': signature(BODY).replace('v1', 'v2') })],
    [/no signature fits/, headers({ 'webhook-signature': '' })],
    [/no signature fits/, headers(), { secret: `whsec_${btoa('another key')}` }],
    [/too old/, headers(), { now: NOW + 301 }],
    [/too old/, headers(), { now: NOW - 301 }],
    [/not a number/, headers({ 'webhook-timestamp': '1e9' })],
    [/webhook-signature is missing/, { 'webhook-id': 'a', 'webhook-timestamp': '1' }],
    [/not `whsec_` and base64/, headers(), { secret: 'whsec_%%' }],
    [/empty/, headers(), { secret: 'whsec_' }],
    [/not a message/, headers({ 'webhook-signature': signature('[]') }), { body: '[]' }],
  ];
  for (const [text, given, options] of cases) {
    await assert.rejects(verify(given, options), (error) => {
      assert.ok(error instanceof WebhookError);
      assert.match(error.message, text);
      return true;
    });
  }
});
