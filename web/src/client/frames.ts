/** How many frames of a video are taken: in all, or in each second. */

import type { FrameChoice } from '../intake/video';
import { element } from '../shared/dom';
import { numberOf, wholeNumber } from './form';

/** What the input has for frames in all, as in the page, and in each second. */
const IN_ALL = { min: '2', max: '1000', step: '1', defaultValue: '20' };
const PER_SECOND = { min: '0.1', max: '30', step: 'any', defaultValue: '2' };

const unit = () => element<HTMLSelectElement>('frames-unit');

/** Another way to count has other numbers. */
export function offerFrameChoice(): void {
  const input = element<HTMLInputElement>('frames');
  unit().addEventListener('change', () => {
    const range = unit().value === 'second' ? PER_SECOND : IN_ALL;
    Object.assign(input, range, { value: range.defaultValue });
  });
}

export function frameChoice(): FrameChoice {
  const perSecond = unit().value === 'second';
  return { number: perSecond ? numberOf('frames') : wholeNumber('frames'), perSecond };
}
