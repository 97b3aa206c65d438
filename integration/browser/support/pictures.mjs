// The page's thumbnails, and image files to send.

/**
 * The listed thumbnails, and for each the indices of the images whose server thumbnail has exactly
 * the same pixels.
 */
export function shownPictures(page, session) {
  return page.evaluate(async (session) => {
    const pixels = (picture) => {
      const { width, height } = picture;
      const context = new OffscreenCanvas(width, height).getContext('2d');
      context.drawImage(picture, 0, 0);
      return context.getImageData(0, 0, width, height);
    };
    const { images } = await (await fetch(`/ws/session/${session}/images`)).json();
    const served = await Promise.all(
      images.map(async ({ index }) => {
        const answer = await fetch(`/ws/session/${session}/images/${index}/thumbnail`);
        return pixels(await createImageBitmap(await answer.blob()));
      }),
    );
    const same = (one, other) =>
      one.width === other.width && one.data.every((value, index) => value === other.data[index]);
    return [...document.querySelectorAll('.thumbnail')].map((item) => {
      const canvas = item.querySelector('canvas');
      const shown = canvas && pixels(canvas);
      const places = served.flatMap((other, index) => (shown && same(shown, other) ? index : []));
      return { name: item.querySelector('.name').innerText, places };
    });
  }, session);
}

/** A PNG file of one colour. */
export async function plain(page, name, color) {
  const base64 = await page.evaluate(async (color) => {
    const canvas = new OffscreenCanvas(64, 48);
    const context = canvas.getContext('2d');
    context.fillStyle = color;
    context.fillRect(0, 0, 64, 48);
    const blob = await canvas.convertToBlob({ type: 'image/png' });
    const bytes = new Uint8Array(await blob.arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  }, color);
  return { name, mimeType: 'image/png', buffer: Buffer.from(base64, 'base64') };
}

/** A file that browsers can read and the server cannot: a BMP named as PNG. */
export function bitmap(name) {
  const side = 4;
  const start = 54;
  const buffer = Buffer.alloc(start + 3 * side * side, 0x7f);
  buffer.fill(0, 0, start);
  buffer.write('BM', 0, 'latin1');
  buffer.writeUInt32LE(buffer.length, 2);
  buffer.writeUInt32LE(start, 10);
  buffer.writeUInt32LE(40, 14);
  buffer.writeInt32LE(side, 18);
  buffer.writeInt32LE(side, 22);
  buffer.writeUInt16LE(1, 26);
  buffer.writeUInt16LE(24, 28);
  return { name, mimeType: 'image/png', buffer };
}

/** An AVIF file of 96 by 64 pixels, which browsers read and the server does not. */
export function avif(name) {
  const base64 =
    'AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAO' +
    'cGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAbgAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAA' +
    'AABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAYAAAAEAAAAAQcGl4aQAAAAADCAgIAAAADGF2MUOBAAwAAAAAE2NvbHJuY2x4AAEADQAG' +
    'gAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAAdm1kYXQSAAoJGBlv/tEBDQaEMl8Uo8PDEMPPPPNCqoDPzFCC1SNEyfQ8arR/Ayf6ADJQX0Xg' +
    '7oQ0m7lvdE4/eP+DQU3CWCXy+wj7FUwrtGnMY5x55A034gJQFMTpjhc5QhO4wEE4J4uwxL0VrCH4MckmgA==';
  return { name, mimeType: 'image/avif', buffer: Buffer.from(base64, 'base64') };
}
