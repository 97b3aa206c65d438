// Starts the real program with its own data directory.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

export const REPOSITORY = resolve(import.meta.dirname, '../../..');
export const PROGRAM =
  process.env.POINTSTREAM_PROGRAM ?? join(REPOSITORY, 'target/debug/pointstream');

/** Path of a test model by its name; run.sh writes the models. */
export function archive(name) {
  return join(process.env.POINTSTREAM_TEST_ARCHIVES ?? '', `${name}.pt`);
}

// What a failed test leaves running ends with the tests and does not hold them up.
const running = new Set();
process.on('exit', () => {
  for (const server of running) {
    server.kill('SIGKILL');
  }
});

/** Starts the program; `base` is its address, `restart` starts it again there, `stop` ends it. */
export async function startServer(...options) {
  const data = await mkdtemp(join(tmpdir(), 'pointstream-data-'));
  let { base, kill } = await launch('0', data, options);
  return {
    base,
    async restart() {
      await kill();
      ({ base, kill } = await launch(new URL(base).port, data, options));
    },
    async json(path) {
      const response = await fetch(`${base}${path}`);
      return { status: response.status, body: await response.json() };
    },
    async stop() {
      await kill();
      await rm(data, { recursive: true, force: true });
    },
  };
}

async function launch(port, data, options) {
  const settings = ['--port', port, '--data-dir', data, '--device', 'cpu', ...options];
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('POINTSTREAM_')),
  );
  const server = spawn(PROGRAM, settings, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  running.add(server);
  const ended = once(server, 'exit').finally(() => running.delete(server));
  const base = await Promise.race([
    address(server),
    ended.then(([code]) => Promise.reject(new Error(`the program ended with ${code}`))),
  ]);
  server.unref();
  server.stdout.unref();
  return {
    base,
    async kill() {
      server.ref();
      server.kill('SIGKILL');
      await ended;
    },
  };
}

function address(server) {
  return new Promise((found) => {
    createInterface({ input: server.stdout }).on('line', (line) => {
      const match = /https?:\/\/[\d.]+:\d+/.exec(line);
      if (match) {
        found(match[0]);
      }
    });
  });
}
