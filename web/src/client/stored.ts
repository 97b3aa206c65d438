/** Pictures of images that an earlier page or another client sent. */

import type { StoredImage } from '../protocol/messages';
import type { Session } from '../protocol/session';
import { uniqueNames } from '../protocol/uploads';
import { create } from '../shared/dom';
import { inParallel } from '../shared/parallel';
import type { Thumbnails } from './thumbnails';

/** Pictures that are fetched at the same time. */
const AT_ONCE = 4;

/** Lists the images, and fetches their pictures; `shown` is told when all are there. */
export async function showStored(
  session: Session,
  images: StoredImage[],
  thumbnails: Thumbnails,
  shown: () => void,
): Promise<void> {
  const names = uniqueNames(images.map(({ image_path }) => image_path));
  const named = images.map(({ index }, place) => ({ index, name: names[place] ?? '' }));
  for (const { name } of named) {
    thumbnails.show({ name, state: 'acknowledged', reason: '' });
  }
  await inParallel(named, AT_ONCE, async ({ index, name }) => {
    if (session.signal.aborted) {
      return;
    }
    try {
      const picture = await draw(await session.resource.thumbnail(index));
      if (!session.signal.aborted) {
        thumbnails.setPicture(name, picture);
      }
    } catch {
      // The image is listed by its name; that must do.
    }
  });
  if (!session.signal.aborted) {
    shown();
  }
}

async function draw(file: Blob): Promise<HTMLCanvasElement> {
  const bitmap = await createImageBitmap(file);
  const canvas = create('canvas');
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext('2d')?.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}
