/** The button that tries the service with the server's own photos. */

import type { Server } from 'pointstream/engine';
import { reason } from '../shared/api';
import { element } from '../shared/dom';

const PHOTOS = ['000', '001', '002', '003', '004', '005', '006', '007'].map(
  (name) => `${name}.jpg`,
);
const NAME = 'Sample room';

/**
 * @param server gives the page's server.
 * @param take receives the photos, and what to call them.
 */
export function offerSample(
  server: () => Server,
  take: (files: File[], name: string) => Promise<void>,
  problem: (message: string) => void,
): void {
  const button = element<HTMLButtonElement>('sample');
  button.addEventListener('click', async () => {
    button.disabled = true;
    try {
      const files = PHOTOS.map(async (name) => {
        const { blob } = await server().getFile(`/sample/${name}`);
        return new File([blob], name, { type: 'image/jpeg' });
      });
      await take(await Promise.all(files), NAME);
    } catch (error) {
      problem(`the sample photos could not be fetched: ${reason(error)}`);
    } finally {
      button.disabled = false;
    }
  });
}
