/** The server's REST interface. */

import { Credentials } from './credentials';

/** An error response, with the server's message. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

/** The server does not respond. */
export class UnreachableError extends Error {}

/** Timeout between bytes of a response; large responses may take longer in total. */
const SILENCE_MS = 30_000;
const UNAUTHENTICATED = 401;
/** Timeout of the request that checks whether the server responds. */
const PROBE_MS = 5000;

/** A file with its `ETag`, if any. */
export interface Tagged {
  blob: Blob;
  tag: string | null;
}

/** A server at an address like `http://localhost:8000`. */
export class Server {
  readonly base: string;
  readonly credentials: Credentials;

  /** @throws TypeError if it is not an HTTP address. */
  constructor(address: string) {
    const url = new URL(address.includes('://') ? address : `http://${address}`);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw new TypeError('the address must begin with http:// or https://');
    }
    this.base = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
    this.credentials = new Credentials(this.base);
  }

  /** The server of this page, which a proxy may show below any path. */
  static ofPage(): Server {
    return new Server(new URL('.', location.href).href);
  }

  url(path: string, query?: Record<string, string>): string {
    const parameters = new URLSearchParams(query).toString();
    return `${this.base}${path}${parameters && `?${parameters}`}`;
  }

  /** Opens a session's socket. A token goes beside the subprotocol: it never is in the address. */
  openSocket(session: string, query?: Record<string, string>): WebSocket {
    const token = this.credentials.for(`/ws/reconstruct/${encodeURIComponent(session)}`);
    const protocols = token ? ['pointstream', `pointstream.bearer.${token}`] : [];
    return new WebSocket(this.socketUrl(session, query), protocols);
  }

  /** The address of a session's socket. */
  socketUrl(session: string, query?: Record<string, string>): string {
    return this.url(`/ws/reconstruct/${encodeURIComponent(session)}`, query).replace(/^http/, 'ws');
  }

  async get<T>(path: string, query?: Record<string, string>): Promise<T> {
    return JSON.parse(await (await this.getFile(path, query)).blob.text());
  }

  /** @param silence the longest time without data, in milliseconds. */
  getFile(path: string, query?: Record<string, string>, silence = SILENCE_MS): Promise<Tagged> {
    return this.request('GET', path, query, silence);
  }

  /** The `ETag` that `getFile` would return. */
  async tag(path: string, query?: Record<string, string>): Promise<string | null> {
    return (await this.request('HEAD', path, query)).tag;
  }

  async post<T>(path: string, query?: Record<string, string>): Promise<T> {
    return JSON.parse(await (await this.request('POST', path, query)).blob.text());
  }

  async delete(path: string): Promise<void> {
    await this.request('DELETE', path);
  }

  private async request(
    method: string,
    path: string,
    query?: Record<string, string>,
    silence = SILENCE_MS,
  ): Promise<Tagged> {
    for (;;) {
      const token = this.credentials.for(path);
      try {
        return await this.attempt(method, this.url(path, query), token, silence);
      } catch (error) {
        const refused = error instanceof ApiError && error.status === UNAUTHENTICATED;
        if (!refused || !(await this.credentials.renew(path, token, error.message))) {
          throw error;
        }
      }
    }
  }

  private async attempt(
    method: string,
    url: string,
    token: string | undefined,
    silenceMs: number,
  ): Promise<Tagged> {
    const silence = new Silence(silenceMs);
    const headers: HeadersInit = token ? { Authorization: `Bearer ${token}` } : {};
    try {
      let response: Response;
      try {
        const { signal } = silence;
        response = await fetch(url, { method, headers, signal, cache: 'no-store' });
      } catch {
        throw await this.explain();
      }
      silence.broken();
      if (!response.ok) {
        throw new ApiError(response.status, await detail(response));
      }
      const blob = await body(response, silence).catch(() => {
        throw new UnreachableError(`the response of ${this.base} was interrupted`);
      });
      return { blob, tag: response.headers.get('ETag') };
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

async function body(response: Response, silence: Silence): Promise<Blob> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const reader = response.body?.getReader();
  for (let piece = await reader?.read(); piece?.value; piece = await reader?.read()) {
    silence.broken();
    pieces.push(piece.value);
  }
  return new Blob(pieces, { type: response.headers.get('Content-Type') ?? '' });
}

async function detail(response: Response): Promise<string> {
  try {
    const body: unknown = await response.json();
    if (body && typeof body === 'object' && 'detail' in body) {
      return String(body.detail);
    }
  } catch {
    // Not JSON: the response comes from a proxy in front of the server.
  }
  return `the server responded ${response.status} ${response.statusText}`;
}

/** The message of an error. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
