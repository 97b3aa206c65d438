// JPEG files as phones write them.

/** Text in the EXIF that must not leave the browser with a smaller copy. */
export const PLACE = 'Somewhere private';
export const CAMERA = 'Maker of tests';

/** A JPEG file of a canvas, with EXIF that says to turn it, and of which camera it is. */
export async function phonePhoto(page, name, { width, height, orientation }) {
  const base64 = await page.evaluate(
    async ([width, height, name]) => {
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext('2d');
      context.fillStyle = 'rgb(90 120 60)';
      context.fillRect(0, 0, width, height);
      context.fillStyle = 'rgb(220 200 90)';
      context.font = `${height / 3}px sans-serif`;
      context.fillText(name, width / 9, height / 2);
      const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.9 });
      const bytes = new Uint8Array(await blob.arrayBuffer());
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
    },
    [width, height, name],
  );
  const jpeg = Buffer.from(base64, 'base64');
  const exif = segment(orientation, width, height);
  const buffer = Buffer.concat([jpeg.subarray(0, 2), exif, jpeg.subarray(2)]);
  return { name, mimeType: 'image/jpeg', buffer };
}

/** An EXIF segment, big-endian like those of many cameras. */
function segment(orientation, width, height) {
  const [ascii, short, long, rational] = [2, 3, 4, 5];
  const data = [];
  let free = 256;
  const entry = (tag, type, count, value) => {
    const bytes = Buffer.alloc(12);
    bytes.writeUInt16BE(tag, 0);
    bytes.writeUInt16BE(type, 2);
    bytes.writeUInt32BE(count, 4);
    if (Buffer.isBuffer(value)) {
      bytes.writeUInt32BE(free, 8);
      data.push(value);
      free += value.length;
    } else if (type === short) {
      bytes.writeUInt16BE(value, 8);
    } else {
      bytes.writeUInt32BE(value, 8);
    }
    return bytes;
  };
  const text = (tag, value) => {
    const bytes = Buffer.from(`${value}\0`);
    return entry(tag, ascii, bytes.length, bytes);
  };
  const directory = (entries) => {
    const count = Buffer.alloc(2);
    count.writeUInt16BE(entries.length);
    return Buffer.concat([count, ...entries, Buffer.alloc(4)]);
  };
  const fraction = Buffer.alloc(8);
  fraction.writeUInt32BE(42, 0);
  fraction.writeUInt32BE(10, 4);
  const camera = 8 + 2 + 5 * 12 + 4;
  const top = directory([
    text(0x010e, PLACE),
    text(0x010f, CAMERA),
    text(0x0110, 'Phone'),
    entry(0x0112, short, 1, orientation),
    entry(0x8769, long, 1, camera),
  ]);
  const inner = directory([
    entry(0x920a, rational, 1, fraction),
    entry(0xa002, long, 1, width),
    entry(0xa003, long, 1, height),
    entry(0xa405, short, 1, 26),
  ]);
  const header = Buffer.from([0x4d, 0x4d, 0, 42, 0, 0, 0, 8]);
  const begin = Buffer.concat([header, top, inner]);
  const tiff = Buffer.concat([begin, Buffer.alloc(256 - begin.length), ...data]);
  const content = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiff]);
  const marker = Buffer.from([0xff, 0xe1, 0, 0]);
  marker.writeUInt16BE(content.length + 2, 2);
  return Buffer.concat([marker, content]);
}
