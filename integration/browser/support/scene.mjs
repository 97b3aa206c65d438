// The sample scene, and user actions on the client page.

import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { REPOSITORY } from './server.mjs';

/** The folder with the photos, and two files that are none. */
export const SCENE = join(REPOSITORY, 'examples/sample_scene');

/** Paths of the first photos. */
export function photos(number) {
  return Array.from({ length: number }, (_, index) => join(SCENE, `00${index}.jpg`));
}

/** Sets a small resolution, so that sessions are fast. */
export async function chooseResolution(page, pixels = 168) {
  await page.locator('#parameters > summary').click();
  await page.getByRole('spinbutton', { name: 'Resolution' }).fill(String(pixels));
}

/** Waits until `number` images are stored. */
export async function stored(page, number) {
  await page
    .locator('.thumbnail[data-state="acknowledged"]')
    .nth(number - 1)
    .waitFor({
      state: 'attached',
    });
}

/** Waits until the log has a line with this text. */
export async function logged(page, text) {
  await page.locator('#log li', { hasText: text }).first().waitFor({ state: 'attached' });
}

/** Number of log lines with this text. */
export function times(page, text) {
  return page.locator('#log li', { hasText: text }).count();
}

/** The session that the page works on. */
export function sessionOf(page) {
  return new URL(page.url()).searchParams.get('session');
}

/** Drops files on the page. The browser knows photos by their type, and others by their names. */
export async function drop(page, paths) {
  const files = await Promise.all(
    paths.map(async (path) => ({
      name: basename(path),
      type: path.endsWith('.jpg') ? 'image/jpeg' : '',
      data: (await readFile(path)).toString('base64'),
    })),
  );
  const transfer = await page.evaluateHandle((files) => {
    const transfer = new DataTransfer();
    for (const { name, type, data } of files) {
      const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
      transfer.items.add(new File([bytes], name, { type }));
    }
    return transfer;
  }, files);
  for (const type of ['dragenter', 'dragover', 'drop']) {
    await page.dispatchEvent('#view', type, { dataTransfer: transfer });
  }
}
