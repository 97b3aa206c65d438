/** The server's REST interface. */

/** The server refused a request, in its own words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

/** The server does not answer at all. */
export class UnreachableError extends Error {}

/** How long an answer may take. */
const TIMEOUT_MS = 30_000;

/** A server by its address, like `http://localhost:8000`. */
export class Server {
  readonly base: string;

  /** @throws TypeError if it is no address of a web server. */
  constructor(address: string) {
    const url = new URL(address.includes('://') ? address : `http://${address}`);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw new TypeError('the address must begin with http:// or https://');
    }
    this.base = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
  }

  url(path: string, query?: Record<string, string>): string {
    const parameters = new URLSearchParams(query).toString();
    return `${this.base}${path}${parameters && `?${parameters}`}`;
  }

  /** The address of a session's socket. */
  socketUrl(session: string, query?: Record<string, string>): string {
    return this.url(`/ws/reconstruct/${encodeURIComponent(session)}`, query).replace(/^http/, 'ws');
  }

  async get<T>(path: string, query?: Record<string, string>): Promise<T> {
    return (await this.request('GET', path, query)).json();
  }

  async getBytes(path: string, query?: Record<string, string>): Promise<ArrayBuffer> {
    return (await this.request('GET', path, query)).arrayBuffer();
  }

  async post<T>(path: string, query?: Record<string, string>): Promise<T> {
    return (await this.request('POST', path, query)).json();
  }

  async delete(path: string): Promise<void> {
    await this.request('DELETE', path);
  }

  private async request(method: string, path: string, query?: Record<string, string>) {
    let response: Response;
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      response = await fetch(this.url(path, query), { method, signal, cache: 'no-store' });
    } catch {
      throw new UnreachableError(`${this.base} does not answer`);
    }
    if (!response.ok) {
      throw new ApiError(response.status, await detail(response));
    }
    return response;
  }
}

async function detail(response: Response): Promise<string> {
  try {
    const body: unknown = await response.json();
    if (body && typeof body === 'object' && 'detail' in body) {
      return String(body.detail);
    }
  } catch {
    // Not from the server itself, but from something in front of it.
  }
  return `the server answers ${response.status} ${response.statusText}`;
}

/** What went wrong, as a sentence. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
