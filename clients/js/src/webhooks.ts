/**
 * Verifies messages of webhooks, which follow https://www.standardwebhooks.com.
 *
 * WebCrypto does all of it, so there is no dependency for it.
 */

import { fromBase64 } from './engine/base64.js';
import { WebhookError } from './errors.js';

/** A message that was verified. */
export interface WebhookMessage {
  /** The same for all attempts to deliver a message: handle each only once. */
  id: string;
  /** `result.made`, `request.failed`, `session.ended`, `session.failed`, or a later addition. */
  type: string;
  /** When it happened, as the server writes it (RFC 3339). */
  timestamp: string;
  data: Record<string, unknown>;
}

/** Headers as the servers of Node.js, fetch and most frameworks give them. */
export type WebhookHeaders =
  | Headers
  | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyOptions {
  /** Seconds: who has read a message cannot send it again later. */
  tolerance?: number;
  /** The time in seconds since 1970, by default that of this machine. */
  now?: number;
}

/**
 * Checks that a message is from the server and recent.
 *
 * @param body the body as it came, before any parser.
 * @throws WebhookError if it is not.
 */
export async function verifyWebhook(
  secret: string,
  headers: WebhookHeaders,
  body: string | Uint8Array,
  { tolerance = 300, now = Date.now() / 1000 }: VerifyOptions = {},
): Promise<WebhookMessage> {
  const id = header(headers, 'webhook-id');
  const timestamp = header(headers, 'webhook-timestamp');
  const signatures = header(headers, 'webhook-signature');
  if (!/^[0-9]{1,12}$/.test(timestamp)) {
    throw new WebhookError('webhook-timestamp is not a number of seconds');
  }
  if (Math.abs(now - Number(timestamp)) > tolerance) {
    throw new WebhookError('the message is too old, or the clocks differ');
  }
  const key = await importKey(secret);
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
  const prefix = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(prefix.length + bytes.length);
  signed.set(prefix);
  signed.set(bytes, prefix.length);
  // There are several signatures while a secret is replaced.
  for (const one of signatures.split(' ')) {
    const [version, value = ''] = one.split(',', 2);
    const signature = version === 'v1' ? decoded(value) : undefined;
    // WebCrypto compares in equal time whatever the value is.
    if (signature && (await crypto.subtle.verify('HMAC', key, signature, signed))) {
      return parsed(id, bytes);
    }
  }
  throw new WebhookError('no signature fits: the secret is another one, or the body was changed');
}

function header(headers: WebhookHeaders, name: string): string {
  if (headers instanceof Headers) {
    const value = headers.get(name);
    if (value !== null) {
      return value;
    }
  } else {
    for (const [key, value] of Object.entries(headers)) {
      if (key.toLowerCase() === name && value !== undefined) {
        return typeof value === 'string' ? value : value.join(' ');
      }
    }
  }
  throw new WebhookError(`the header ${name} is missing`);
}

async function importKey(secret: string): Promise<CryptoKey> {
  const bytes = decoded(secret.replace(/^whsec_/, ''));
  if (!bytes) {
    throw new WebhookError('the secret is not `whsec_` and base64');
  }
  if (bytes.length === 0) {
    // Anybody could sign with an empty key.
    throw new WebhookError('the secret is empty');
  }
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  return crypto.subtle.importKey('raw', bytes, algorithm, false, ['verify']);
}

function decoded(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return fromBase64(text);
  } catch {
    return undefined;
  }
}

function parsed(id: string, body: Uint8Array): WebhookMessage {
  try {
    const fields = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    const { type, timestamp, data } = fields;
    if (typeof type === 'string' && typeof timestamp === 'string' && typeof data === 'object') {
      return { id, type, timestamp, data };
    }
  } catch {
    // It has the same error as one whose fields are missing.
  }
  throw new WebhookError('the body is not a message of a webhook');
}
