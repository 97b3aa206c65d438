/** The verdict on the newest result: beside it, or in its place if there are no points. */

import type { Metadata, Quality } from 'pointstream/engine';
import { create, element, setText } from '../shared/dom';
import { inWords } from './reasons';

const TITLES: Record<string, string> = {
  good: 'Good result',
  partial: 'Some photos are missing, or parts are uncertain',
};
const NOTHING = 'These photos give no point cloud';
const FAILED = 'The point cloud could not be made';
const ADD = 'The thumbnails say what is wrong with each photo. Add others, or begin a new session.';
const AGAIN = 'The photos are stored: “Update” and “Finish” try it again.';
/** For servers that give no advice. */
const ADVICE = ['Take photos that overlap, and take a step to the side between them.'];
/** Advice in the words of this page, where the server names parameters. */
const OWN_ADVICE: Record<string, string> = {
  all_filtered:
    'The filters removed all points. Switch off “Remove flying points” or the background filters ' +
    'below “Parameters”, and press “Run again”.',
  uncertain_focal_length:
    'The camera’s field of view could not be found out, so depth may be stretched. Add photos ' +
    'from the sides.',
};

/** Whether a result has no points. */
export function isEmpty({ num_points, quality }: Metadata): boolean {
  return num_points === 0 || quality?.verdict === 'failed';
}

/** Shows what is wrong and what to do; nothing if nothing is wrong. */
export function showQuality(metadata?: Metadata): void {
  const { quality } = metadata ?? {};
  const empty = metadata !== undefined && isEmpty(metadata);
  const box = element('quality');
  box.hidden = empty || !quality || quality.reasons.length === 0;
  box.replaceChildren();
  element('no-cloud').hidden = true;
  if (empty) {
    showNothing(NOTHING, advice(quality), ADD);
  } else if (quality && !box.hidden) {
    box.dataset.verdict = quality.verdict;
    const list = create('ul');
    list.append(...advice(quality).map((text) => create('li', '', text)));
    box.append(create('p', '', TITLES[quality.verdict] ?? quality.verdict), list);
  }
}

/** Says why there is no result at all. */
export function showFailure(message: string): void {
  showNothing(FAILED, [sentence(message)], AGAIN);
}

function showNothing(title: string, lines: string[], next: string): void {
  setText(element('no-cloud-title'), title);
  setText(element('no-cloud-next'), next);
  element('no-cloud-advice').replaceChildren(...lines.map((line) => create('li', '', line)));
  element('no-cloud').hidden = false;
}

function advice(quality: Quality | undefined): string[] {
  const own = (text: string, index: number) =>
    OWN_ADVICE[quality?.reasons[index] ?? ''] ?? sentence(text);
  return quality?.advice.length ? quality.advice.map(own) : ADVICE;
}

function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/** Log lines about the images that are left out or doubtful. */
export function faults({ quality, unregistered_frames }: Metadata): string[] {
  if (!quality) {
    const lost = unregistered_frames ?? [];
    return lost.length > 0 ? [`could not be placed: ${lost.join(', ')}`] : [];
  }
  return quality.frames.flatMap(({ name, used, reason }) => {
    if (reason === null) {
      return [];
    }
    return `${name} is ${used ? 'doubtful' : 'left out'}: ${inWords(reason)}`;
  });
}

/** Number of images that contribute. */
export function countUsed({ num_frames, unregistered_frames, quality }: Metadata): number {
  const used = quality?.frames.filter((image) => image.used).length;
  return used ?? num_frames - (unregistered_frames?.length ?? 0);
}
