// Analysis of the pixels of a screenshot.

/**
 * Share of the canvas that is not background, and the number of colours. The browser decodes the
 * screenshot in a separate page.
 */
export async function drawn(page) {
  const picture = await page.locator('#view canvas').screenshot();
  const reader = await page.context().newPage();
  try {
    return await reader.evaluate(async (base64) => {
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext('2d');
      context.drawImage(bitmap, 0, 0);
      const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
      const colors = new Map();
      for (let index = 0; index < data.length; index += 4) {
        const color = (data[index] << 16) | (data[index + 1] << 8) | data[index + 2];
        colors.set(color, (colors.get(color) ?? 0) + 1);
      }
      const background = Math.max(...colors.values());
      return { share: 1 - background / (data.length / 4), colors: colors.size };
    }, picture.toString('base64'));
  } finally {
    await reader.close();
    // A page in the background does not draw.
    await page.bringToFront();
  }
}
