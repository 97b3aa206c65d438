/** Plays the scenarios of clients/conformance. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import * as pointstream from '../src/index.js';
import {
  type Ack,
  Client,
  type Cloud,
  type Image,
  ImageRefusedError,
  type Poses,
  Result,
  ServerError,
  type Session,
  type SessionEvent,
} from '../src/index.js';
import { type Document, type Fields, type Scenario, ScriptedServer } from './scripted.js';

const FOLDER = join(process.cwd(), '../conformance');
/** Milliseconds after which a scenario hangs. */
const PATIENCE = 30_000;
const KINDS: Record<string, unknown> = {
  authentication: pointstream.AuthenticationError,
  busy: pointstream.BusyError,
  cancelled: pointstream.RequestCancelledError,
  connection_lost: pointstream.ConnectionLostError,
  image_refused: pointstream.ImageRefusedError,
  incompatible_server: pointstream.IncompatibleServerError,
  invalid_request: pointstream.InvalidRequestError,
  invalid_response: pointstream.InvalidResponseError,
  reconstruction: pointstream.ReconstructionError,
  server: pointstream.ServerError,
  session_ended: pointstream.SessionEndedError,
  session_not_found: pointstream.SessionNotFoundError,
};
const OPTIONS: Record<string, string> = {
  binary: 'binary',
  deltas: 'deltas',
  max_in_flight: 'maxInFlight',
};

const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
// They wait more than they compute.
describe('scenarios', { concurrency: 8 }, () => {
  for (const name of files.sort()) {
    test(name, { timeout: PATIENCE }, async () => {
      await play(JSON.parse(readFileSync(join(FOLDER, name), 'utf8')));
    });
  }
});

test('every kind of step is tried', () => {
  const kinds = new Set<string>();
  for (const name of files) {
    const { sockets }: Document = JSON.parse(readFileSync(join(FOLDER, name), 'utf8'));
    for (const step of sockets.flatMap((socket) => socket.steps ?? [])) {
      kinds.add(Object.keys(step)[0] ?? '');
    }
  }
  assert.deepEqual([...kinds].sort(), ['close', 'drop', 'expect', 'quiet', 'send', 'send_binary']);
  assert.ok(files.length >= 30);
});

async function play(document: Document): Promise<void> {
  const server = new ScriptedServer(document);
  const url = await server.start();
  const { scenario } = server;
  try {
    await new Caller(document.client, scenario).use(url);
    // The server sees the end of a connection a moment later.
    await until(() => scenario.finished === scenario.sockets.length);
    scenario.checkEnd();
  } catch (error) {
    // What the client did wrong says more than what it then met.
    if (scenario.departures.length > 0) {
      throw new Error(`${scenario.departures.join('; ')} (${error})`);
    }
    throw error;
  } finally {
    server.stop();
  }
}

async function until(reached: () => boolean): Promise<void> {
  for (let turn = 0; turn < 400 && !reached(); turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

type Call = Record<string, Fields | Fields[] | string>;

/** Makes the calls of a scenario. */
class Caller {
  private progressed: () => void = () => {};
  private readonly progress = new Promise<void>((resolve) => {
    this.progressed = resolve;
  });

  constructor(
    private readonly script: Fields,
    private readonly scenario: Scenario,
  ) {}

  async use(url: string): Promise<void> {
    const { attempts = 6 } = (this.script.retry ?? {}) as { attempts?: number };
    const token = this.script.token as string | undefined;
    const retry = { attempts, first: 0.02, longest: 5 };
    let session: Session;
    try {
      session = await this.open(new Client(url, { token, timeout: 10, retry }));
    } catch (error) {
      assert.ok(this.script.open_error, String(error));
      this.checkError(this.script.open_error as Fields, error);
      return;
    }
    try {
      assert.equal(this.script.open_error, undefined, 'opening the session must fail');
      if (this.script.webhook_secret) {
        assert.equal(session.webhookSecret, this.script.webhook_secret);
      }
      for (const call of (this.script.calls ?? []) as unknown as Call[]) {
        await this.call(session, call);
      }
    } finally {
      await session.close();
    }
  }

  private open(client: Client): Promise<Session> {
    const { parameters = {}, webhook, options = {} } = (this.script.session ?? {}) as Fields;
    const given = Object.entries(options as Fields).map(([name, value]) => [OPTIONS[name], value]);
    const chosen: object = { binary: false, deltas: 'cumulative', ...Object.fromEntries(given) };
    const onEvent = ({ type }: SessionEvent) => type === 'progress' && this.progressed();
    if (this.script.attach) {
      const { session_id, ...attach } = this.script.attach as Fields;
      return client.attach(String(session_id), { ...chosen, ...attach, onEvent });
    }
    const keep = this.script.keep === true;
    return client.session(parameters as object, {
      ...chosen,
      onEvent,
      keep,
      ...(webhook ? { webhook: webhook as unknown as pointstream.Webhook } : {}),
    });
  }

  private async call(session: Session, call: Call): Promise<void> {
    let answer: unknown;
    try {
      answer = await this.answer(session, call);
    } catch (error) {
      if (!call.error) {
        throw error;
      }
      this.checkError(call.error as Fields, error);
      return;
    }
    assert.equal(call.error, undefined, `${JSON.stringify(call)} must fail`);
    if (call.gives) {
      const found = fields(answer);
      const text = `${JSON.stringify(call.gives)}, not ${JSON.stringify(found)}`.slice(0, 500);
      assert.ok(this.scenario.match(call.gives, found), text);
    }
  }

  private async answer(session: Session, call: Call): Promise<unknown> {
    if (call.cancel_after) {
      const cancelling = this.progress.then(() => assert.ok(session.cancel()));
      try {
        return await session.generate(call.generate as object);
      } finally {
        await cancelling;
      }
    }
    if (call.upload) {
      return session.upload(image(call.upload as Fields));
    }
    if (call.upload_many) {
      return session.uploadMany((call.upload_many as Fields[]).map(image));
    }
    if (call.generate) {
      return session.generate(call.generate as object);
    }
    if (call.finalize) {
      return session.finalize();
    }
    if (call.map) {
      return session.map();
    }
    if (call.cloud) {
      return checkCloud(session.cloud, call.cloud as Fields);
    }
    if (call.together) {
      return this.together(session, call.together as unknown as Call[]);
    }
    throw new Error(`unknown call ${JSON.stringify(call)}`);
  }

  private async together(session: Session, calls: Call[]): Promise<void> {
    const running: Promise<void>[] = [];
    for (const call of calls) {
      const before = this.scenario.messages;
      running.push(this.call(session, call));
      await until(() => this.scenario.messages > before);
    }
    await Promise.all(running);
  }

  private checkError(expected: Fields, error: unknown): void {
    const { kind, ...details } = expected;
    assert.ok(error instanceof Error, String(error));
    assert.equal(error.constructor, KINDS[String(kind)], String(error));
    const found = error as unknown as Record<string, unknown>;
    for (const [name, value] of Object.entries(details)) {
      assert.equal(found[name === 'retry_after' ? 'retryAfter' : name], value, name);
    }
    if (error instanceof ServerError) {
      // Says what the server said, the code, and what would work.
      assert.ok(String(error).includes(error.message) && String(error).includes(error.advice));
    }
  }
}

function image({ data_base64, name, ...known }: Fields): Image {
  const camera = known.intrinsics ? known : undefined;
  return {
    data: Buffer.from(String(data_base64), 'base64'),
    name: name as string,
    camera: camera as Image['camera'],
  };
}

function fields(answer: unknown): unknown {
  if (Array.isArray(answer)) {
    return answer.map(fields);
  }
  if (answer instanceof ImageRefusedError) {
    return { error: { kind: 'image_refused', code: answer.code } };
  }
  if (answer instanceof Result) {
    const { kind, imageCount, number, glb, quality } = answer;
    const glb_base64 = Buffer.from(glb).toString('base64');
    return { kind, image_count: imageCount, number, glb_base64, verdict: quality.verdict };
  }
  const { type } = answer as Ack | Poses;
  if (type === 'ack') {
    const { imageCount, imagePath } = answer as Ack;
    return { image_count: imageCount, image_path: imagePath };
  }
  const { frames, processedSize } = answer as Poses;
  return { frames, processed_size: processedSize };
}

function checkCloud(cloud: Cloud, expected: Fields): void {
  const rows = (values: ArrayLike<number>) =>
    Array.from({ length: values.length / 3 }, (_, row) =>
      [0, 1, 2].map((at) => values[3 * row + at]),
    );
  assert.ok(cloud.positions instanceof Float32Array && cloud.colors instanceof Uint8Array);
  assert.deepEqual(rows(cloud.positions), expected.positions);
  assert.deepEqual(rows(cloud.colors), expected.colors);
  assert.deepEqual(
    cloud.cameras.map(({ number }) => number),
    expected.cameras,
  );
  assert.deepEqual(
    cloud.cameras.map(({ center }) => center),
    expected.centers,
  );
  assert.equal(cloud.size, (expected.positions as Fields[]).length);
}
