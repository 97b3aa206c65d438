/** The client with the real program. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as pointstream from '../../src/index.js';
import { Client, ImageRefusedError, reconstruct, verifyWebhook } from '../../src/index.js';
import { Program, photo, pictures, runProgram } from './program.js';

const SMALL = { process_res: 56 };
let flat: Program;

before(async () => {
  flat = await Program.start('flat', '--webhook-allow-http', '--webhook-allow-private', 'all');
});

after(() => flat?.stop());

test('photos become a cloud and files', async () => {
  const seen: string[] = [];
  const made = await reconstruct(pictures(3), {
    url: flat.url,
    format: 'ply',
    parameters: SMALL,
    onEvent: ({ type }) => seen.push(type),
  });
  assert.match(await made.file.slice(0, 4).text(), /^ply\n/);
  assert.ok(['good', 'partial'].includes(made.quality.verdict));
  const cloud = made.cloud();
  assert.equal(cloud.size, made.metadata.num_points);
  assert.equal(cloud.positions.length, 3 * cloud.size);
  assert.ok(cloud.size > 0 && cloud.colors.length === 3 * cloud.size);
  assert.deepEqual(
    cloud.cameras.map(({ name }) => name),
    ['0.png', '1.png', '2.png'],
  );
  assert.ok(seen.includes('progress') && seen.includes('result'));
});

test('a photo that cannot be used is named', async () => {
  const images = [...pictures(1), { data: new Blob(['no image']), name: 'b.jpg' }];
  const failed = reconstruct(images, { url: flat.url, parameters: SMALL });
  await assert.rejects(failed, (error) => {
    assert.ok(error instanceof ImageRefusedError);
    assert.equal(error.code, 'invalid_image');
    return error.filename === 'b.jpg';
  });
});

test('both kinds of messages carry the same', async () => {
  for (const binary of [true, false]) {
    const session = await new Client(flat.url).session(SMALL, { binary, deltas: 'cumulative' });
    await session.uploadMany(pictures(2));
    const result = await session.generate({ incremental: false });
    assert.equal(result.kind, 'complete');
    assert.equal(result.metadata.glb_size_bytes, result.glb.length);
    const file = await session.result();
    assert.deepEqual(new Uint8Array(await file.arrayBuffer()), result.glb);
    await session.close();
  }
});

test('a cloud grows by updates, and equals the whole one', async () => {
  const program = await Program.start('extending');
  try {
    const client = new Client(program.url);
    const session = await client.session({ ...SMALL, window: 6 });
    const kinds: boolean[] = [];
    for (let begin = 0; begin < 12; begin += 4) {
      await session.uploadMany(pictures(4, begin));
      const update = await session.generate();
      assert.ok(update.isUpdate);
      kinds.push(update.metadata.append?.reset ?? false);
      assert.equal(session.cloud.size, update.metadata.num_points);
      assert.equal(session.cloud.cameras.length, begin + 4);
      assert.equal(session.cloud.number, update.number);
    }
    assert.equal(kinds[0], true);
    const whole = (await session.generate({ incremental: false })).cloud();
    const sorted = ({ positions }: pointstream.Cloud) =>
      Array.from({ length: positions.length / 3 }, (_, at) =>
        [0, 1, 2].map((axis) => (positions[3 * at + axis] as number).toFixed(3)).join(),
      ).sort();
    assert.deepEqual(sorted(session.cloud), sorted(whole));
    // Of each camera the middle of the picture is in front of it.
    for (const camera of session.cloud.cameras) {
      const [x, y, z] = [0, 1, 2].map(
        (row) => camera.center[row as 0] + (camera.cameraToGlb[row]?.[2] ?? 0),
      ) as [number, number, number];
      const { pixel, depth } = camera.project(x, y, z);
      assert.ok(Math.abs(depth - 1) < 1e-6);
      const [, , middle] = camera.intrinsics[0] ?? [];
      assert.ok(Math.abs(pixel[0] - (middle ?? 0)) < 1e-6);
    }
    await session.close();
  } finally {
    await program.stop();
  }
});

test('clouds of any compression are read, or another format is advised', async () => {
  const client = new Client(flat.url);
  const clouds: pointstream.Cloud[] = [];
  for (const glb_compression of ['none', 'quantized', 'meshopt'] as const) {
    const session = await client.session({ ...SMALL, glb_compression });
    await session.uploadMany(pictures(2));
    await session.generate();
    const final = await session.finalize();
    if (glb_compression === 'meshopt') {
      assert.throws(() => final.cloud(), /'quantized'/);
    } else {
      clouds.push(final.cloud());
      assert.equal(session.cloud.size, final.metadata.num_points);
    }
    await session.close();
  }
  const [plain, rounded] = clouds as [pointstream.Cloud, pointstream.Cloud];
  assert.deepEqual(rounded.colors, plain.colors);
  const [low, high] = [Math.min(...plain.positions), Math.max(...plain.positions)];
  plain.positions.forEach((value, at) => {
    const error = Math.abs(value - (rounded.positions[at] ?? Number.NaN));
    assert.ok(error <= (high - low) / 65_535, `${at}: ${error}`);
  });
});

test('known cameras are kept', async () => {
  const program = await Program.start('posed');
  try {
    const session = await new Client(program.url).session(SMALL);
    const intrinsics = [
      [60, 0, 27.5],
      [0, 60, 20.5],
      [0, 0, 1],
    ];
    for (let level = 0; level < 3; level += 1) {
      const extrinsics = [
        [1, 0, 0, -level],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
      ];
      await session.upload({ data: photo(level), camera: { intrinsics, extrinsics } });
    }
    const result = await session.finalize();
    assert.equal(result.metadata.known_cameras, true);
    const centers = result.cloud().cameras.map(({ center }) => center[0]);
    assert.ok(Math.abs((centers[1] ?? 0) - (centers[0] ?? 0) - 1) < 1e-4, `${centers}`);
    assert.ok(Math.abs((centers[2] ?? 0) - (centers[1] ?? 0) - 1) < 1e-4, `${centers}`);
    await session.close();
  } finally {
    await program.stop();
  }
});

test('who waits to upload when the session is closed gets an error', async () => {
  const session = await new Client(flat.url).session(SMALL, { maxInFlight: 1 });
  const uploads = pictures(4).map((image) => session.upload(image));
  const failed = Promise.all(uploads.map((one) => assert.rejects(one, pointstream.ClosedError)));
  await session.close();
  await failed;
});

test('a session is reopened, run again and taken up', async () => {
  const client = new Client(flat.url);
  const session = await client.session(SMALL);
  await assert.rejects(session.generate(), { code: 'no_images' });
  await session.uploadMany(pictures(2));
  await session.finalize();
  await assert.rejects(session.generate(), pointstream.SessionCompletedError);
  await assert.rejects(session.upload(photo(5)), pointstream.SessionCompletedError);
  await session.reopen();
  const ack = await session.upload({ data: photo(5), name: '5.png' });
  assert.equal(ack.imageCount, 3);
  assert.equal((await session.thumbnail(2)).type, 'image/jpeg');
  assert.deepEqual(Buffer.from(await (await session.image(2)).arrayBuffer()), photo(5));
  assert.equal(await session.watchToken(), undefined, 'this server asks nobody for a token');
  assert.equal((await session.map()).frames.length, 2);
  const again = await session.rerun({ num_max_points: 100 }, { keep: true });
  assert.deepEqual(
    (await again.images()).map(({ image_path }) => image_path),
    ['0.png', '1.png', '5.png'],
  );
  await again.close();
  const taken = await client.attach(again.id, { keep: false });
  assert.equal((await taken.finalize()).metadata.num_points, 100);
  await taken.close();
  await assert.rejects(client.attach(again.id), pointstream.SessionNotFoundError);
  await assert.rejects(again.upload(photo(1)), pointstream.ClosedError);
  await session.close();
});

test('errors say what would work', async () => {
  const client = new Client(flat.url);
  const slip = client.session({ max_image: 5 } as object);
  await assert.rejects(slip, /max_images/);
  const session = await client.session({ ...SMALL, max_images: 1 });
  await session.uploadMany(pictures(1));
  await assert.rejects(session.upload(photo(1)), { code: 'too_many_images' });
  await assert.rejects(session.result('ply'), { code: 'no_result' });
  await session.close();
  const other = await client.session(SMALL);
  const large = { data: new Uint8Array(33 << 20), name: 'large.png' };
  await assert.rejects(other.upload(large), { code: 'image_too_large' });
  await other.close();
  await assert.rejects(new Client('http://127.0.0.1:9').session(), /is the server running/);
  assert.throws(() => new Client('http://me:secret@127.0.0.1:9'), /token/);
});

test('a token is asked for', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pointstream-tokens-'));
  const tokens = join(folder, 'tokens.json');
  const limits = ['--scopes', 'create,use', '--max-sessions', '1'];
  const token = runProgram('token', '--tokens-file', tokens, 'add', 'me', ...limits);
  const program = await Program.start('flat', '--auth', 'tokens', '--tokens-file', tokens);
  try {
    const stranger = new Client(program.url).session(SMALL);
    await assert.rejects(stranger, pointstream.AuthenticationError);
    const retry = { attempts: 1, first: 0.05, longest: 0.1 };
    const client = new Client(program.url, { token, retry });
    const session = await client.session(SMALL);
    assert.ok(session.token && session.token !== token);
    await session.uploadMany(pictures(2));
    assert.equal((await session.finalize()).imageCount, 2);
    await assert.rejects(client.session(SMALL), (error) => {
      assert.ok(error instanceof pointstream.BusyError);
      return error.status === 429 && error.retryAfter !== undefined;
    });
    await session.close();
  } finally {
    await program.stop();
    rmSync(folder, { recursive: true });
  }
});

test('messages of webhooks are verified', async () => {
  let came: (message: { headers: object; body: Uint8Array }) => void = () => {};
  const message = new Promise<{ headers: object; body: Uint8Array }>((resolve) => {
    came = resolve;
  });
  const receiver = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) {
      pieces.push(piece);
    }
    response.writeHead(204).end();
    came({ headers: request.headers, body: Buffer.concat(pieces) });
  });
  await new Promise<void>((listening) => {
    receiver.listen(0, '127.0.0.1', listening);
  });
  try {
    const { port } = receiver.address() as AddressInfo;
    const webhook = { url: `http://127.0.0.1:${port}/hook`, events: ['result.made'] };
    const session = await new Client(flat.url).session(SMALL, { webhook });
    await session.uploadMany(pictures(2));
    await session.finalize();
    const { headers, body } = await message;
    const secret = session.webhookSecret ?? '';
    const verified = await verifyWebhook(secret, headers as Record<string, string>, body);
    assert.equal(verified.type, 'result.made');
    assert.equal(verified.data.session_id, session.id);
    await session.close();
  } finally {
    receiver.closeAllConnections();
    receiver.close();
  }
});
