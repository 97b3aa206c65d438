/** The verdict on the newest result, beside it. */

import type { Metadata, Quality } from 'pointstream/engine';
import { create, element } from '../shared/dom';

const TITLES: Record<string, string> = {
  good: 'Good result',
  partial: 'Some photos are missing, or parts are uncertain',
  failed: 'These photos give no point cloud',
};

/** Shows what is wrong and what to do; nothing if nothing is wrong. */
export function showQuality(quality?: Quality): void {
  const box = element('quality');
  box.hidden = !quality || quality.reasons.length === 0;
  box.replaceChildren();
  if (!quality || box.hidden) {
    return;
  }
  box.dataset.verdict = quality.verdict;
  const advice = create('ul');
  advice.append(...quality.advice.map((text) => create('li', '', text)));
  box.append(create('p', '', TITLES[quality.verdict] ?? quality.verdict), advice);
}

/** Log lines about the images that are left out or doubtful. */
export function faults({ quality, unregistered_frames }: Metadata): string[] {
  if (!quality) {
    const lost = unregistered_frames ?? [];
    return lost.length > 0 ? [`could not be registered: ${lost.join(', ')}`] : [];
  }
  return quality.frames.flatMap(({ name, used, reason }) => {
    if (reason === null) {
      return [];
    }
    return `${name} is ${used ? 'doubtful' : 'left out'}: ${reason.replaceAll('_', ' ')}`;
  });
}

/** Number of images that contribute. */
export function countUsed({ num_frames, unregistered_frames, quality }: Metadata): number {
  const used = quality?.frames.filter((image) => image.used).length;
  return used ?? num_frames - (unregistered_frames?.length ?? 0);
}
