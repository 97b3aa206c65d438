/** Starts the real program, and proxies whose connections break on demand. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, request as httpRequest } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { crc32, deflateSync } from 'node:zlib';
import { WebSocket, WebSocketServer } from 'ws';
import type { Image } from '../../src/index.js';

const REPOSITORY = join(process.cwd(), '../..');
const PROGRAM = process.env.POINTSTREAM_TEST_BINARY ?? join(REPOSITORY, 'target/debug/pointstream');
const ARCHIVES = process.env.POINTSTREAM_TEST_ARCHIVES ?? join(REPOSITORY, 'target/tmp/archives');
const WIDTH = 56;
const HEIGHT = 42;

/** Without what the developer has set for servers. */
function environment(): NodeJS.ProcessEnv {
  const all = Object.entries(process.env);
  return Object.fromEntries(all.filter(([name]) => !name.startsWith('POINTSTREAM_')));
}

/** Runs a command of the program; returns what it prints. */
export function runProgram(...args: string[]): string {
  return execFileSync(PROGRAM, args, { env: environment(), encoding: 'utf8' }).trim();
}

/** The program with a data directory of its own, and the model of a test archive. */
export class Program {
  url = '';

  private constructor(
    private readonly process: ChildProcess,
    private readonly folder: string,
  ) {}

  static async start(model: string, ...options: string[]): Promise<Program> {
    const folder = mkdtempSync(join(tmpdir(), 'pointstream-client-'));
    const settings = ['--host', '127.0.0.1', '--port', '0', '--device', 'cpu'];
    const places = ['--data-dir', join(folder, 'data'), '--model', join(ARCHIVES, `${model}.pt`)];
    const env = { ...environment(), POINTSTREAM_MODEL_STORE: join(folder, 'models') };
    const log = join(folder, 'log');
    const output = openSync(log, 'w');
    const child = spawn(PROGRAM, [...settings, ...places, ...options], {
      env,
      stdio: ['ignore', 'pipe', output],
    });
    closeSync(output);
    const program = new Program(child, folder);
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the program ended with ${code}:\n${readFileSync(log, 'utf8')}`);
    });
    ended.catch(() => undefined);
    program.url = await Promise.race([program.address(), ended]);
    return program;
  }

  async stop(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const ended = once(this.process, 'exit');
      this.process.kill('SIGKILL');
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  private address(): Promise<string> {
    return new Promise((resolve, reject) => {
      if (!this.process.stdout) {
        reject(new Error('the program has no output'));
        return;
      }
      createInterface({ input: this.process.stdout }).on('line', (line) => {
        const [, url] = /^listening on (\S+)/.exec(line) ?? [];
        if (url) {
          resolve(url);
        }
      });
    });
  }
}

/**
 * Passes connections on to a server. They can be cut, as by a network that goes away.
 *
 * With `keepAcks` it cuts them itself whenever so many acknowledgements have passed: the next one
 * never arrives, so that the client has to notice.
 */
export class Relay {
  url = '';
  cuts = 0;
  private readonly sockets = new Set<Socket>();
  private acks = 0;
  private readonly server = createServer((client) => this.pass(client));

  private constructor(
    private readonly target: URL,
    private readonly keepAcks: number,
  ) {}

  static async start(url: string, keepAcks = Number.POSITIVE_INFINITY): Promise<Relay> {
    const relay = new Relay(new URL(url), keepAcks);
    relay.server.listen(0, '127.0.0.1');
    await once(relay.server, 'listening');
    relay.url = `http://127.0.0.1:${(relay.server.address() as AddressInfo).port}`;
    return relay;
  }

  /** Breaks all connections, without a farewell. */
  cut(): void {
    this.cuts += 1;
    this.break();
  }

  stop(): void {
    this.server.close();
    this.break();
  }

  private break(): void {
    for (const socket of this.sockets) {
      socket.resetAndDestroy();
    }
  }

  private pass(client: Socket): void {
    const server = connect(Number(this.target.port), this.target.hostname);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        this.sockets.delete(from);
        to.destroy();
      });
      from.on('data', (data) => {
        if (from === client || !this.loses(data)) {
          to.write(data);
        }
      });
    }
  }

  /** Whether the connections were cut instead of passing these bytes on. */
  private loses(data: Buffer): boolean {
    this.acks += data.toString('latin1').split('"ack"').length - 1;
    if (this.acks <= this.keepAcks) {
      return false;
    }
    this.acks = 0;
    this.cut();
    return true;
  }
}

/** A proxy that refuses messages of the server above a size. */
export class NarrowProxy {
  url = '';
  /** Connections to the server. */
  connections = 0;
  private readonly upgrades = new WebSocketServer({ noServer: true });
  private readonly server = createHttpServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const there = httpRequest(new URL(url ?? '/', this.target), { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(there);
  });

  private constructor(
    private readonly target: string,
    private readonly maxPayload: number,
  ) {
    this.server.on('upgrade', (request, socket, head) => {
      this.upgrades.handleUpgrade(request, socket, head, (client) =>
        this.pass(client, request.url ?? '/'),
      );
    });
  }

  static async start(url: string, maxPayload: number): Promise<NarrowProxy> {
    const proxy = new NarrowProxy(url, maxPayload);
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.url = `http://127.0.0.1:${(proxy.server.address() as AddressInfo).port}`;
    return proxy;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
    for (const client of this.upgrades.clients) {
      client.terminate();
    }
  }

  private pass(client: WebSocket, path: string): void {
    this.connections += 1;
    const { maxPayload } = this;
    // It closes the connection with 1009 if a message is larger.
    const server = new WebSocket(this.target.replace('http', 'ws') + path, { maxPayload });
    const early: { data: Buffer; binary: boolean }[] = [];
    client.on('message', (data: Buffer, binary) => {
      if (server.readyState === WebSocket.OPEN) {
        server.send(data, { binary });
      } else {
        early.push({ data, binary });
      }
    });
    server.on('open', () => {
      for (const { data, binary } of early) {
        server.send(data, { binary });
      }
    });
    server.on('message', (data: Buffer, binary) => client.send(data, { binary }));
    server.on('error', () => undefined);
    client.on('error', () => undefined);
    server.on('close', () => client.close(1001));
    client.on('close', () => server.close());
  }
}

/** A PNG that the test models place `level` tenths to the right. */
export function photo(level: number): Uint8Array {
  const rows = Buffer.alloc(HEIGHT * (1 + 3 * WIDTH));
  for (let row = 0; row < HEIGHT; row += 1) {
    for (let column = 0; column < WIDTH; column += 1) {
      const detail = 20 * ((row + column) % 2);
      rows.set([level, 60 + detail, 40 + detail], row * (1 + 3 * WIDTH) + 1 + 3 * column);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(WIDTH, 0);
  header.writeUInt32BE(HEIGHT, 4);
  // 8 bits each of red, green and blue.
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const parts = [chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND')];
  return Buffer.concat([signature, ...parts]);
}

/** Photos from left to right. */
export function pictures(count: number, first = 0): Image[] {
  return Array.from({ length: count }, (_, index) => ({
    data: photo(first + index),
    name: `${first + index}.png`,
  }));
}

function chunk(type: string, data = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}
