/**
 * A server that plays a scenario of clients/conformance, and says where a client departs from it.
 *
 * clients/conformance/README.md describes the files.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Fields = Record<string, Json>;

interface Reply {
  status: number;
  headers?: Record<string, string>;
  json?: Json;
  body_base64?: string;
}

interface Route {
  request: Fields;
  answers: Reply[];
  times?: number;
  seen: number;
}

interface Step {
  send?: Fields;
  send_binary?: { header: Fields; data_base64: string };
  expect?: Fields;
  quiet?: number;
  close?: { code: number; reason?: string };
  drop?: boolean;
}

interface SocketScript {
  query: Fields;
  request?: Fields;
  refused?: Reply;
  steps: Step[];
}

/** A file of clients/conformance. */
export interface Document {
  client: Fields;
  http?: Omit<Route, 'seen'>[];
  sockets: SocketScript[];
}

const INFO = { name: 'pointstream', protocol_version: '1.0.0', limits: {} };
const MAGIC = [0x50, 0x53, 0x42, 1];
const PRELUDE = 8;
const BEARER = 'pointstream.bearer.';

/** The client did something else than the scenario says. */
export class Departure extends Error {}

/** The server's part of a file. */
export class Scenario {
  readonly routes: Route[];
  readonly sockets: SocketScript[];
  readonly departures: string[] = [];
  connected = 0;
  /** Messages of the client that came, but for pings. */
  messages = 0;
  finished = 0;
  private readonly names = new Map<string, unknown>();

  constructor({ http = [], sockets }: Document) {
    this.sockets = sockets;
    const info = {
      request: { method: 'GET', path: '/info' },
      answers: [{ status: 200, json: INFO }],
    };
    this.routes = [...http, info].map((route) => ({ ...route, seen: 0 }));
  }

  /** Whether what was found has all that is expected. `$name` is the same value everywhere. */
  match(expected: unknown, found: unknown): boolean {
    if (typeof expected === 'string' && expected.startsWith('$')) {
      if (!this.names.has(expected)) {
        this.names.set(expected, found);
      }
      return this.names.get(expected) === found;
    }
    if (Array.isArray(expected)) {
      return (
        Array.isArray(found) &&
        found.length === expected.length &&
        expected.every((one, index) => this.match(one, found[index]))
      );
    }
    if (typeof expected === 'object' && expected !== null) {
      return (
        typeof found === 'object' &&
        found !== null &&
        Object.entries(expected).every(([key, value]) =>
          this.match(value, (found as Record<string, unknown>)[key]),
        )
      );
    }
    return expected === found;
  }

  /** A value with the names in it replaced. */
  filled(value: unknown): unknown {
    if (typeof value === 'string' && value.startsWith('$')) {
      if (!this.names.has(value)) {
        throw new Departure(`${value} was never seen`);
      }
      return this.names.get(value);
    }
    if (Array.isArray(value)) {
      return value.map((one) => this.filled(one));
    }
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, this.filled(one)]));
    }
    return value;
  }

  /** Throws if the client departed from the scenario, or did not do all of it. */
  checkEnd(): void {
    if (this.departures.length > 0) {
      throw new Departure(this.departures.join('; '));
    }
    if (this.finished !== this.sockets.length) {
      throw new Departure(`${this.finished} of ${this.sockets.length} sockets came to their end`);
    }
    for (const { request, times, seen } of this.routes) {
      if (times !== undefined && seen !== times) {
        throw new Departure(`${JSON.stringify(request)}: ${seen} requests, not ${times}`);
      }
    }
  }
}

/** Serves a scenario on a free port. */
export class ScriptedServer {
  readonly scenario: Scenario;
  private readonly http: Server;
  private readonly upgrades = new WebSocketServer({
    noServer: true,
    handleProtocols: () => 'pointstream',
  });

  constructor(document: Document) {
    this.scenario = new Scenario(document);
    this.http = createServer((request, response) => void this.answer(request, response));
    this.http.on('upgrade', (request, socket, head) => {
      void this.serve(request, socket, head).catch((error: unknown) => {
        this.scenario.departures.push(String(error));
        socket.destroy();
      });
    });
  }

  async start(): Promise<string> {
    this.http.listen(0, '127.0.0.1');
    await once(this.http, 'listening');
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  stop(): void {
    for (const socket of this.upgrades.clients) {
      socket.terminate();
    }
    this.http.closeAllConnections();
    this.http.close();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { path, query } = target(request);
    let body = '';
    for await (const piece of request) {
      body += piece;
    }
    const { method = '', headers } = request;
    const found = { method, path, query, headers, json: body ? JSON.parse(body) : null };
    const route = this.scenario.routes.find((one) => this.scenario.match(one.request, found));
    if (!route) {
      this.scenario.departures.push(`unexpected request: ${method} ${request.url}`);
      response.destroy();
      return;
    }
    const reply = route.answers[Math.min(route.seen, route.answers.length - 1)] as Reply;
    route.seen += 1;
    const { status, headers: given = {} } = reply;
    response.writeHead(status, { ...given, Connection: 'close' });
    response.end(content(this.scenario.filled(reply) as Reply));
  }

  private async serve(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { scenario } = this;
    const index = scenario.connected;
    scenario.connected += 1;
    const script = scenario.sockets[index];
    if (!script) {
      throw new Departure('one connection too many');
    }
    const { path, query } = target(request);
    const same = Object.keys(query).length === Object.keys(script.query).length;
    if (!same || !scenario.match(script.query, query)) {
      throw new Departure(`socket ${index}: the query is ${JSON.stringify(query)}`);
    }
    const found = { path, headers: withToken(request) };
    if (!scenario.match(script.request ?? {}, found)) {
      throw new Departure(`socket ${index}: the request is ${JSON.stringify(found)}`);
    }
    if (script.refused) {
      const { status, headers = {} } = script.refused;
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      const body = content(script.refused);
      const size = `content-length: ${body.length}\r\nconnection: close\r\n`;
      socket.end(`HTTP/1.1 ${status} Scripted\r\n${lines.join('')}${size}\r\n${body}`);
      scenario.finished += 1;
      return;
    }
    const accepted = new Promise<WebSocket>((resolve) => {
      this.upgrades.handleUpgrade(request, socket, head, resolve);
    });
    const player = new Player(scenario, await accepted);
    for (const [number, step] of script.steps.entries()) {
      try {
        await player.play(step);
      } catch (error) {
        throw new Departure(`socket ${index}, step ${number}: ${error}`);
      }
    }
    scenario.finished += 1;
    // A message that crosses the end of the connection is lost.
    if (!script.steps.at(-1)?.drop && !script.steps.at(-1)?.close) {
      await player.untilClosed();
    }
  }
}

/** One connection of a WebSocket. */
class Player {
  private readonly received: Fields[] = [];
  private closed = false;
  private changed: () => void = () => {};

  constructor(
    private readonly scenario: Scenario,
    private readonly socket: WebSocket,
  ) {
    socket.on('message', (data, binary) => this.take(data, binary));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.changed();
    });
  }

  async play(step: Step): Promise<void> {
    if (step.send) {
      this.socket.send(JSON.stringify(this.scenario.filled(step.send)));
    } else if (step.send_binary) {
      const header = Buffer.from(JSON.stringify(this.scenario.filled(step.send_binary.header)));
      const prelude = Buffer.alloc(PRELUDE);
      prelude.set(MAGIC);
      prelude.writeUInt32LE(header.length, MAGIC.length);
      const data = Buffer.from(step.send_binary.data_base64, 'base64');
      this.socket.send(Buffer.concat([prelude, header, data]));
    } else if (step.expect) {
      const message = await this.next();
      this.scenario.messages += 1;
      if (!this.scenario.match(step.expect, message)) {
        throw new Departure(`expected ${short(step.expect)}, got ${short(message)}`);
      }
    } else if (step.quiet !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * (step.quiet ?? 0)));
      if (this.received.length > 0) {
        throw new Departure(`a message too early: ${short(this.received[0])}`);
      }
    } else if (step.close) {
      this.socket.close(step.close.code, step.close.reason);
    } else if (step.drop) {
      // Without a closing handshake, as when a network goes away.
      this.socket.terminate();
    } else {
      throw new Departure(`unknown step ${JSON.stringify(step)}`);
    }
  }

  /** Waits until the client goes. A further message is too much. */
  async untilClosed(): Promise<void> {
    while (!this.closed && this.received.length === 0) {
      await this.change();
    }
    if (this.received.length > 0) {
      throw new Departure(`a message too much: ${short(this.received[0])}`);
    }
  }

  private take(data: RawData, binary: boolean): void {
    const message = binary ? unpacked(data as Buffer) : (JSON.parse(String(data)) as Fields);
    if (message.type === 'ping') {
      this.socket.send('{"type": "pong", "session_id": "s"}');
    } else {
      this.received.push(message);
      this.changed();
    }
  }

  private async next(): Promise<Fields> {
    for (;;) {
      const message = this.received.shift();
      if (message) {
        return message;
      }
      if (this.closed) {
        throw new Departure('the client closed the connection');
      }
      await this.change();
    }
  }

  private change(): Promise<void> {
    return new Promise((resolve) => {
      this.changed = resolve;
    });
  }
}

/** A binary message: its header with `binary`, and its bytes as `data`. */
function unpacked(frame: Buffer): Fields {
  if (MAGIC.some((byte, index) => frame[index] !== byte)) {
    throw new Departure('a binary message of another layout');
  }
  const end = PRELUDE + frame.readUInt32LE(MAGIC.length);
  const header = JSON.parse(frame.subarray(PRELUDE, end).toString()) as Fields;
  return { ...header, binary: true, data: frame.subarray(end).toString('base64') };
}

function target({ url = '/' }: IncomingMessage): { path: string; query: Record<string, string> } {
  const { pathname, searchParams } = new URL(url, 'http://server');
  return { path: pathname, query: Object.fromEntries(searchParams) };
}

/** The headers of a handshake. A token that comes as a subprotocol counts as one in the header. */
function withToken({ headers }: IncomingMessage): Record<string, unknown> {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((one) => one.trim());
  const token = offered.find((one) => one.startsWith(BEARER))?.slice(BEARER.length);
  return { ...headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
}

function content({ body_base64, json = {} }: Reply): Buffer {
  return body_base64 === undefined
    ? Buffer.from(JSON.stringify(json))
    : Buffer.from(body_base64, 'base64');
}

function short(value: unknown): string {
  return JSON.stringify(value).slice(0, 300);
}
