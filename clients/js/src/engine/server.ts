/** The server's REST interface. */

import {
  InvalidResponseError,
  PointstreamError,
  ResultTooLargeError,
  ServerError,
  serverError,
  UnreachableError,
} from '../errors.js';
import { delayBefore, pause, type Retry } from './retry.js';
import type { Tokens } from './tokens.js';

/** Time between bytes of a response, in milliseconds; large responses may take longer in total. */
const SILENCE_MS = 30_000;
/** Timeout of the request that checks whether the server responds. */
const PROBE_MS = 5000;
const UNAUTHENTICATED = 401;
/** After these nothing has happened on the server, so any request may be sent again. */
const NOT_BEGUN = [429, 503];
const NEVER_AGAIN: Retry = { attempts: 0, first: 1, longest: 1 };

export type Query = Record<string, string | number | boolean | null | undefined>;

/** A file with its `ETag` and its length, if the server says them. */
export interface Tagged {
  blob: Blob;
  tag: string | null;
  length: number | undefined;
}

export interface ServerOptions {
  tokens: (base: string) => Tokens;
  /** How often a request is sent again that the server could not begin; by default never. */
  retry?: Retry;
  /** The longest time without data, in milliseconds. */
  silence?: number;
}

/** What a request has beside its path. */
export interface RequestOptions {
  query?: Query | undefined;
  body?: object | undefined;
  /** Sent as the body, in place of `body`. */
  file?: Blob;
  /** The longest time without data, in milliseconds. */
  silence?: number;
  /** The most bytes of the answer. */
  longest?: number;
}

/** A server at an address like `http://localhost:8000`. */
export class Server {
  readonly base: string;
  readonly tokens: Tokens;
  private readonly retry: Retry;
  private readonly silence: number;

  /** @throws TypeError if it is not an HTTP address. */
  constructor(address: string, { tokens, retry, silence }: ServerOptions) {
    const url = new URL(address.includes('://') ? address : `http://${address}`);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw new TypeError('the address must begin with http:// or https://');
    }
    this.base = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
    this.tokens = tokens(this.base);
    this.retry = retry ?? NEVER_AGAIN;
    this.silence = silence ?? SILENCE_MS;
  }

  url(path: string, query?: Query): string {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined && value !== null) {
        parameters.set(name, String(value));
      }
    }
    const text = parameters.toString();
    return `${this.base}${path}${text && `?${text}`}`;
  }

  /** A path on the host, as the server gives it, as one below its address. */
  below(path: string): string {
    const prefix = new URL(this.base).pathname.replace(/\/$/, '');
    return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path;
  }

  /** Opens a session's socket. A token goes beside the subprotocol: it never is in the address. */
  openSocket(session: string, query?: Query): WebSocket {
    const token = this.tokens.for(`/ws/reconstruct/${encodeURIComponent(session)}`);
    const protocols = token ? ['pointstream', `pointstream.bearer.${token}`] : [];
    return new WebSocket(this.socketUrl(session, query), protocols);
  }

  /** The address of a session's socket. */
  socketUrl(session: string, query?: Query): string {
    return this.url(`/ws/reconstruct/${encodeURIComponent(session)}`, query).replace(/^http/, 'ws');
  }

  async get<T>(path: string, query?: Query): Promise<T> {
    return parsed<T>(await this.send('GET', path, { query }));
  }

  getFile(path: string, query?: Query, silence?: number): Promise<Tagged> {
    return this.send('GET', path, { query, ...(silence === undefined ? {} : { silence }) });
  }

  /** The `ETag` that `getFile` would return. */
  async tag(path: string, query?: Query): Promise<string | null> {
    return (await this.send('HEAD', path, { query })).tag;
  }

  /** The bytes that `getFile` would return; undefined if the server does not say. */
  async size(path: string, query?: Query): Promise<number | undefined> {
    return (await this.send('HEAD', path, { query })).length;
  }

  async post<T>(path: string, query?: Query, body?: object): Promise<T> {
    return parsed<T>(await this.send('POST', path, { query, body }));
  }

  async delete(path: string): Promise<void> {
    await this.send('DELETE', path);
  }

  /** Sends a request: again with another token if there is one, or later if the server asks for it. */
  async send(method: string, path: string, options: RequestOptions = {}): Promise<Tagged> {
    for (let attempt = 1; ; ) {
      const token = this.tokens.for(path);
      try {
        return await this.attempt(method, path, token, options);
      } catch (error) {
        if (!(error instanceof ServerError)) {
          throw error;
        }
        if (error.status === UNAUTHENTICATED) {
          if (!(await this.tokens.renew(path, token, error.message))) {
            throw error;
          }
          continue;
        }
        const delay = delayBefore(this.retry, attempt, error.retryAfter);
        if (!NOT_BEGUN.includes(error.status ?? 0) || delay === undefined) {
          throw error;
        }
        attempt += 1;
        await pause(delay);
      }
    }
  }

  private async attempt(
    method: string,
    path: string,
    token: string | undefined,
    { query, body, file, silence: patience = this.silence, longest }: RequestOptions,
  ): Promise<Tagged> {
    const silence = new Silence(patience);
    const headers = {
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
      ...(body ? { 'Content-Type': 'application/json' } : {}),
    };
    const sent = file ?? (body && JSON.stringify(body));
    const content = sent ? { body: sent } : {};
    try {
      let response: Response;
      try {
        const { signal } = silence;
        const request = { method, headers, signal, cache: 'no-store' as const, ...content };
        response = await fetch(this.url(path, query), request);
      } catch {
        throw await this.explain();
      }
      silence.broken();
      if (!response.ok) {
        throw await refusal(response);
      }
      const blob = await received(response, silence, longest).catch((error: unknown) => {
        throw error instanceof PointstreamError
          ? error
          : new UnreachableError(`the response of ${this.base} was interrupted`);
      });
      const length = response.headers.get('Content-Length');
      const known = length === null ? undefined : Number(length);
      return { blob, tag: response.headers.get('ETag'), length: known };
    } finally {
      silence.end();
    }
  }

  /** Explains a failed request: no server, or a server that refuses this page's origin. */
  private async explain(): Promise<UnreachableError> {
    const { origin } = globalThis.location ?? {};
    if (origin && origin !== new URL(this.base).origin) {
      try {
        const signal = AbortSignal.timeout(PROBE_MS);
        await fetch(this.url('/healthz'), { mode: 'no-cors', signal, cache: 'no-store' });
        return new UnreachableError(
          `${this.base} responds, but refuses pages of ${origin}; ` +
            `start it with --cors-origins ${origin} to allow them`,
        );
      } catch {
        // The server does not respond.
      }
    }
    return new UnreachableError(`${this.base} does not answer; is the server running?`);
  }
}

/** Aborts a request after a timeout without data. */
class Silence {
  private readonly controller = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly patience: number) {
    this.broken();
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Restarts the timeout after data. */
  broken(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.controller.abort(), this.patience);
  }

  end(): void {
    clearTimeout(this.timer);
  }
}

async function received(response: Response, silence: Silence, longest?: number): Promise<Blob> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const reader = response.body?.getReader();
  for (let piece = await reader?.read(); piece?.value; piece = await reader?.read()) {
    silence.broken();
    size += piece.value.length;
    if (longest !== undefined && size > longest) {
      void reader?.cancel();
      throw new ResultTooLargeError(`the answer has more than ${longest} bytes`);
    }
    pieces.push(piece.value);
  }
  return new Blob(pieces, { type: response.headers.get('Content-Type') ?? '' });
}

/** The body of an answer as a JSON object. */
export async function parsed<T>({ blob }: Tagged): Promise<T> {
  let value: unknown;
  try {
    value = JSON.parse(await blob.text());
  } catch {
    value = undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidResponseError(
      'the answer is not a JSON object; check that the address is that of a server',
    );
  }
  return value as T;
}

/** What the server says of a request that it refuses. */
async function refusal(response: Response): Promise<ServerError> {
  const { status, headers, statusText } = response;
  const after = headers.get('Retry-After') ?? '';
  // Our server sends seconds. A date, which proxies may send, counts as missing.
  const retryAfter = /^\d+$/.test(after) ? Number(after) : undefined;
  try {
    const body: unknown = await response.json();
    if (body && typeof body === 'object' && 'detail' in body) {
      const code = 'code' in body && typeof body.code === 'string' ? body.code : undefined;
      return serverError(String(body.detail), { status, retryAfter, code });
    }
  } catch {
    // Not JSON: the response comes from a proxy in front of the server.
  }
  return serverError(`the server responded ${status} ${statusText}`, { status, retryAfter });
}
