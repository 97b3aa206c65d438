/** A server, and the sessions on it. */

import type { Cloud } from './cloud.js';
import type { Config, Limits } from './engine/messages.js';
import { deltasFor, requestSession } from './engine/open.js';
import type { EngineOptions } from './engine/options.js';
import { checkRetry, RETRY, type Retry } from './engine/retry.js';
import { type Query, Server } from './engine/server.js';
import { GivenTokens } from './engine/tokens.js';
import { IN_FLIGHT } from './engine/uploads.js';
import { IncompatibleServerError, InvalidResponseError, PointstreamError } from './errors.js';
import type { SessionEvent } from './events.js';
import type { SessionParameters, Webhook } from './parameters.js';
import { Session } from './session.js';
import { PROTOCOL_VERSION } from './version.js';

/** How a client talks to its server. */
export interface ClientOptions {
  /** The token of the caller. It is sent in a header, never in an address. */
  token?: string | undefined;
  /** Seconds without a byte of an HTTP answer. */
  timeout?: number;
  /** How often, and after how long, something is tried again. */
  retry?: Partial<Retry>;
  /** Bytes of a result that `Session.result` takes. */
  maxResultBytes?: number;
}

/** How a session is used. */
export interface SocketOptions {
  /** Images and results as bytes, which is the default: a quarter smaller than in JSON. */
  binary?: boolean;
  /**
   * `append`: each update has only what is new, and `Session.cloud` grows by it. `cumulative`: each
   * has the whole cloud. By default `append` if the parameters of the session allow it.
   */
  deltas?: 'append' | 'cumulative';
  /** Images that are sent and not acknowledged: 8 unless given. The server takes 16. */
  maxInFlight?: number;
  /** Called for each event. */
  onEvent?: (event: SessionEvent) => void;
  /** Whether the session goes on after `close`; by default it is deleted. */
  keep?: boolean;
}

export interface SessionOptions extends SocketOptions {
  webhook?: Webhook;
}

export interface AttachOptions extends SocketOptions {
  /** The token of the session. */
  token?: string | undefined;
  /** What an earlier `Session.cloud` has: updates continue it. */
  cloud?: Cloud;
  /** Whether it gets the answers that nobody has received, which is the default. */
  resume?: boolean;
}

/** What `GET /info` tells: versions, model, devices and limits of the server. */
export interface ServerInfo {
  protocol_version?: string;
  limits?: Limits;
  [field: string]: unknown;
}

/** The list of `GET /ws/sessions`. */
export interface SessionList {
  stats: Record<string, number>;
  sessions: Record<string, unknown>[];
}

const TIMEOUT = 60;
const LARGEST_RESULT = 2 ** 30;

/** A server. The first session checks that it speaks our protocol. */
export class Client {
  private readonly server: Server;
  private readonly retry: Retry;
  private readonly maxResultBytes: number;
  private checked: Promise<ServerInfo> | undefined;

  /** @throws TypeError if the address is not one like `http://127.0.0.1:8000`, or the token none. */
  constructor(
    address: string | URL,
    { token, timeout = TIMEOUT, retry, maxResultBytes = LARGEST_RESULT }: ClientOptions = {},
  ) {
    this.retry = checkRetry({ ...RETRY, ...retry });
    this.maxResultBytes = maxResultBytes;
    const tokens = new GivenTokens(sendable(token));
    const options = { tokens: () => tokens, retry: this.retry };
    this.server = new Server(plain(String(address)), { ...options, silence: 1000 * timeout });
  }

  /** The address of the server. */
  get url(): string {
    return this.server.base;
  }

  /** Versions, model, devices and limits of the server. */
  info(): Promise<ServerInfo> {
    return this.server.get<ServerInfo>('/info');
  }

  /** The caller's sessions, with statistics. */
  sessions(): Promise<SessionList> {
    return this.server.get<SessionList>('/ws/sessions');
  }

  /** Creates a session and connects to it. */
  session(parameters: SessionParameters = {}, options: SessionOptions = {}): Promise<Session> {
    return this.create('/ws/session/create', parameters, options);
  }

  /** A new session with the images of another one; `Session.rerun` calls it. */
  rerun(
    id: string,
    parameters: SessionParameters = {},
    options: SessionOptions = {},
  ): Promise<Session> {
    return this.create(`/ws/session/${encodeURIComponent(id)}/rerun`, parameters, options);
  }

  /**
   * Connects to a session that exists already, for example of a program that has ended.
   *
   * Answers that nobody has received come before it is connected: `onEvent` gets them.
   */
  async attach(
    id: string,
    { token, cloud, resume = true, keep = true, ...options }: AttachOptions = {},
  ): Promise<Session> {
    const { limits } = await this.check();
    if (token !== undefined) {
      this.server.tokens.keep(id, sendable(token));
    }
    return this.open(id, { ...options, keep }, { cloud, resume, limits });
  }

  private async create(
    path: string,
    parameters: SessionParameters,
    { webhook, ...options }: SessionOptions,
  ): Promise<Session> {
    const deltas = fitting(options.deltas, parameters);
    const { limits } = await this.check();
    const query = parameters as Query;
    const body = webhook && { webhook };
    const created = await requestSession(this.server, path, query, body);
    const webhookSecret = created.webhook?.secret;
    return this.open(
      created.session_id,
      // A session that runs again has parameters of the other one.
      { ...options, deltas: deltas ?? fitting(undefined, created.config ?? {}) ?? 'append' },
      { limits, webhookSecret, resume: false },
    );
  }

  private open(
    id: string,
    {
      keep = false,
      maxInFlight = IN_FLIGHT,
      onEvent,
      binary = true,
      deltas = 'append',
    }: SocketOptions,
    known: {
      limits: Limits | undefined;
      resume: boolean;
      cloud?: Cloud | undefined;
      webhookSecret?: string | undefined;
    },
  ): Promise<Session> {
    const engine: EngineOptions = { binary, deltas, retry: this.retry };
    const { limits = {}, resume, cloud, webhookSecret } = known;
    return Session.open({
      client: this,
      server: this.server,
      id,
      webhookSecret,
      keep,
      maxResultBytes: this.maxResultBytes,
      maxInFlight: positive(maxInFlight),
      cloud,
      onEvent,
      beginning: { ...engine, limits, resume },
    });
  }

  /** Asks once whether the server speaks our protocol. */
  private check(): Promise<ServerInfo> {
    this.checked ??= this.meet().catch((error: unknown) => {
      // The next session asks again.
      this.checked = undefined;
      throw error;
    });
    return this.checked;
  }

  private async meet(): Promise<ServerInfo> {
    if (typeof WebSocket === 'undefined') {
      throw new PointstreamError('there is no WebSocket here: use Node.js 22 or newer');
    }
    const info = await this.info();
    const { protocol_version: spoken } = info;
    if (typeof spoken !== 'string') {
      throw new InvalidResponseError(`${this.url} does not say which protocol it speaks`);
    }
    if (spoken.split('.')[0] !== PROTOCOL_VERSION.split('.')[0]) {
      throw new IncompatibleServerError(
        `the server speaks version ${spoken} of the protocol, and this client ` +
          `${PROTOCOL_VERSION}; install a version of the client for that server`,
      );
    }
    return info;
  }
}

/** An address without anything that does not belong into one. */
function plain(address: string): string {
  const url = new URL(address.includes('://') ? address : `http://${address}`);
  if (url.username || url.password) {
    throw new TypeError('pass the token as { token }, not in the address, which logs may show');
  }
  if (url.search || url.hash) {
    throw new TypeError('the address must be like http://127.0.0.1:8000, without a query');
  }
  return address;
}

/** A token that can be sent as a part of a subprotocol. */
function sendable(token: string | undefined): string | undefined {
  if (token !== undefined && !/^[\w!#$%&'*+.^`|~-]+$/.test(token)) {
    throw new TypeError('the token has characters that are in no token of a server');
  }
  return token;
}

function positive(maxInFlight: number): number {
  if (!(maxInFlight >= 1)) {
    throw new RangeError('at least one image must be allowed in flight');
  }
  return maxInFlight;
}

/** The updates of a session: those asked for, or what fits to its parameters; undefined if open. */
function fitting(
  deltas: 'append' | 'cumulative' | undefined,
  parameters: SessionParameters | Config,
): 'append' | 'cumulative' | undefined {
  // Voxels do not work with updates that append, and this package does not read meshopt.
  const meshopt = parameters.glb_compression === 'meshopt';
  const whole = meshopt || deltasFor(parameters as Query) === 'cumulative';
  if (whole && deltas === 'append') {
    const name = meshopt ? "glb_compression: 'meshopt'" : 'voxel_size';
    throw new TypeError(`${name} needs deltas: 'cumulative'`);
  }
  return whole ? 'cumulative' : deltas;
}
