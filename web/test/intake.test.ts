import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sendSize } from '../src/intake/downscale';
import { cameraExif } from '../src/intake/exif';
import { findExif } from '../src/intake/exif-place';
import { kindsOf, sortFiles } from '../src/intake/files';
import { isHeic } from '../src/intake/heic';
import { laplacianVariance } from '../src/intake/sharpness';
import { frameNumber, frameTimes, spread } from '../src/intake/video';

const need = (method: string) => ({ resolution: 500, method });

test('images keep twice the resolution on the side that the method selects', () => {
  const photo = { width: 4000, height: 3000 };
  assert.deepEqual(sendSize(photo, need('upper_bound_resize')), { width: 1000, height: 750 });
  assert.deepEqual(sendSize(photo, need('lower_bound_crop')), { width: 1333, height: 1000 });
  const portrait = { width: 3000, height: 4000 };
  assert.deepEqual(sendSize(portrait, need('upper_bound_crop')), { width: 750, height: 1000 });
});

test('images that are small enough are not changed', () => {
  const photo = { width: 1000, height: 750 };
  assert.equal(sendSize(photo, need('upper_bound_resize')), undefined);
});

test('sides have at least one pixel', () => {
  const strip = { width: 100_000, height: 3 };
  assert.deepEqual(sendSize(strip, need('upper_bound_resize')), { width: 1000, height: 1 });
});

test('photos are sorted by name in natural order, and videos are separate', () => {
  const file = (name: string, type = 'image/jpeg') => new File([], name, { type });
  const sorted = sortFiles([
    file('b10.jpg'),
    file('walk.mov', ''),
    file('b9.jpg'),
    file('x', 'video/webm'),
    file('.hidden.jpg'),
    file('IMG_1.HEIC', ''),
    file('notes.txt', 'text/plain'),
    file('drawing.svg', 'image/svg+xml'),
    file('LICENSE', ''),
    file('more.TXT', ''),
  ]);
  assert.deepEqual(
    sorted.photos.map(({ name }) => name),
    ['b9.jpg', 'b10.jpg', 'IMG_1.HEIC'],
  );
  assert.equal(kindsOf(sorted.others), '2 TXT, 1 SVG, 1 without an ending');
  assert.deepEqual(
    sorted.videos.map(({ name }) => name),
    ['walk.mov', 'x'],
  );
});

test('frame times are the middles of equal parts of the video', () => {
  assert.deepEqual(frameTimes(8, 4), [1, 3, 5, 7]);
});

const shown = { width: 4000, height: 3000 };

/** A JPEG file of these segments, each with its marker. */
function jpeg(...segments: [number, number[]][]): Uint8Array<ArrayBuffer> {
  const bytes = segments.flatMap(([marker, content]) => {
    const length = content.length + 2;
    return [0xff, marker, length >> 8, length & 0xff, ...content];
  });
  return Uint8Array.from([0xff, 0xd8, ...bytes, 0xff, 0xda, 0, 2]);
}

/** The content of an EXIF segment: one directory with these entries of type SHORT, little-endian. */
function exif(...entries: [number, number][]): number[] {
  const short = (value: number) => [value & 0xff, value >> 8];
  const list = entries.flatMap(([tag, value]) => [
    ...short(tag),
    ...short(3),
    ...[1, 0, 0, 0],
    ...short(value),
    ...[0, 0],
  ]);
  const signature = [0x45, 0x78, 0x69, 0x66, 0, 0];
  return [
    ...signature,
    0x49,
    0x49,
    42,
    0,
    8,
    0,
    0,
    0,
    ...short(entries.length),
    ...list,
    0,
    0,
    0,
    0,
  ];
}

/** The EXIF of the copy of a file. */
const copied = async (file: Uint8Array<ArrayBuffer>) =>
  cameraExif(await findExif(new Blob([file])), shown);

test('EXIF without a camera, damaged or missing gives none', async () => {
  assert.equal(await copied(jpeg([0xe0, [1, 2, 3]])), undefined);
  assert.equal(await copied(jpeg([0xe1, exif([0x0112, 6])])), undefined);
  assert.equal(await copied(jpeg([0xe1, exif([0x010f, 6]).slice(0, 12)])), undefined);
  assert.equal(await copied(Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 0, 0])), undefined);
  assert.equal(await copied(Uint8Array.from([0xff, 0xd8, 0xff])), undefined);
  const whole = jpeg([0xe1, exif([0x010f, 6], [0x8769, 8])]);
  for (let length = 0; length < whole.length; length += 1) {
    await copied(whole.slice(0, length));
  }
});

test('the size of the original stands in a copy whose EXIF names none', async () => {
  const found = await copied(jpeg([0xe0, [0]], [0xe1, exif([0x010f, 6])]));
  assert.ok(found);
  const view = new DataView(found.buffer);
  assert.equal(view.getUint16(2, true), 42);
  const values = new Map<number, number>();
  const read = (at: number) => {
    for (let index = 0; index < view.getUint16(at, true); index += 1) {
      const place = at + 2 + 12 * index;
      values.set(view.getUint16(place, true), view.getUint32(place + 8, true));
    }
  };
  read(8);
  read(values.get(0x8769) ?? 0);
  assert.equal(values.get(0x010f), 6);
  assert.equal(values.get(0xa002), 4000);
  assert.equal(values.get(0xa003), 3000);
  assert.equal(values.has(0x0112), false);
});

test('EXIF of PNG and WebP files is found', async () => {
  const tiff = exif([0x010f, 6]).slice(6);
  const expected = await copied(jpeg([0xe1, exif([0x010f, 6])]));
  assert.ok(expected);
  const ascii = (text: string) => [...text].map((letter) => letter.charCodeAt(0));
  const big = (value: number) => [
    value >>> 24,
    (value >> 16) & 255,
    (value >> 8) & 255,
    value & 255,
  ];
  const png = (...chunks: [string, number[]][]) =>
    Uint8Array.from([
      ...[0x89, ...ascii('PNG\r\n\x1a\n')],
      ...chunks.flatMap(([name, data]) => [
        ...big(data.length),
        ...ascii(name),
        ...data,
        0,
        0,
        0,
        0,
      ]),
    ]);
  const webp = (...chunks: [string, number[]][]) =>
    Uint8Array.from([
      ...ascii('RIFF\0\0\0\0WEBP'),
      ...chunks.flatMap(([name, data]) => [
        ...ascii(name),
        ...big(data.length).reverse(),
        ...data,
        ...(data.length % 2 ? [0] : []),
      ]),
    ]);
  assert.deepEqual(await copied(png(['IHDR', [1, 2, 3]], ['eXIf', tiff])), expected);
  assert.deepEqual(
    await copied(webp(['VP8X', [1, 2, 3]], ['VP8 ', [9]], ['EXIF', tiff])),
    expected,
  );
  const signed = exif([0x010f, 6]);
  assert.deepEqual(await copied(webp(['VP8X', []], ['EXIF', signed])), expected);
  assert.equal(await copied(png(['IHDR', []], ['tEXt', tiff])), undefined);
  assert.equal(await copied(webp(['VP8 ', tiff])), undefined);
  for (const whole of [png(['eXIf', tiff]), webp(['EXIF', tiff])]) {
    for (let length = 0; length < whole.length; length += 1) {
      await copied(whole.slice(0, length));
    }
  }
});

test('HEIC files are known by their brands', async () => {
  const file = (length: number, brands: string) =>
    new Blob([Uint8Array.of(0, 0, 0, length), `ftyp${brands}`]);
  assert.equal(await isHeic(file(24, 'heic\0\0\0\0mif1heic')), true);
  assert.equal(await isHeic(file(24, 'mif1\0\0\0\0miafheix')), true);
  assert.equal(await isHeic(file(24, 'avif\0\0\0\0mif1miaf')), false);
  assert.equal(await isHeic(file(16, 'qt  \0\0\0\0heic')), false, 'behind the box');
  assert.equal(await isHeic(file(24, 'isom\0\0\0\0iso2mp41')), false);
  assert.equal(await isHeic(new Blob(['heic'])), false);
  assert.equal(await isHeic(new Blob([])), false);
});

test('frames are counted in all or in each second', () => {
  assert.equal(frameNumber(7.3, { number: 20, perSecond: false }), 20);
  assert.equal(frameNumber(7.3, { number: 2, perSecond: true }), 15);
  assert.equal(frameNumber(0.2, { number: 0.5, perSecond: true }), 1);
});

test('frames beyond those that fit are left out evenly', () => {
  assert.deepEqual(spread([1, 2, 3, 4, 5, 6], 3), [2, 4, 6]);
  assert.deepEqual(spread([1, 2, 3, 4, 5], 2), [3, 5]);
  assert.deepEqual(spread([1, 2], 5), [1, 2]);
  assert.deepEqual(spread([], 5), []);
});

test('edges are sharper than a gradient, and a plain picture is not sharp', () => {
  const size = { width: 16, height: 12 };
  const picture = (value: (x: number) => number) => {
    const pixels = Array.from({ length: size.width * size.height }, (_, pixel) => {
      const level = value(pixel % size.width);
      return [level, level, level, 255];
    });
    return laplacianVariance(Uint8ClampedArray.from(pixels.flat()), size);
  };
  const edge = picture((x) => (x < 8 ? 0 : 200));
  const soft = picture((x) => Math.min(Math.max(40 * (x - 5), 0), 200));
  assert.ok(edge > 2 * soft, `${edge}, and ${soft}`);
  assert.ok(soft > 0);
  assert.equal(
    picture(() => 90),
    0,
  );
});
