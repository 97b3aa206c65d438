/** How many frames of a video are taken: in all, or in each second. */

import type { FrameChoice } from '../intake/video';
import { element } from '../shared/dom';

/** The range of each way to count, and what is taken unless the user says otherwise. */
const RANGES = {
  all: { min: 2, max: 1000, step: '1', value: 20 },
  second: { min: 0.1, max: 30, step: 'any', value: 2 },
};

const number = () => element<HTMLInputElement>('frames');
const unit = () => element<HTMLSelectElement>('frames-unit');
const range = () => (unit().value === 'second' ? RANGES.second : RANGES.all);

/** Another way to count has other numbers. */
export function offerFrameChoice(): void {
  unit().addEventListener('change', () => {
    const { min, max, step, value } = range();
    Object.assign(number(), { min: String(min), max: String(max), step, value: String(value) });
  });
}

export function frameChoice(): FrameChoice {
  const perSecond = unit().value === 'second';
  const { min, max, value } = range();
  const wanted = Math.min(Math.max(Number(number().value) || value, min), max);
  return { number: perSecond ? wanted : Math.round(wanted), perSecond };
}
