/** Formatting of numbers. */

export { bytes } from 'pointstream/engine';

const COUNT = new Intl.NumberFormat('en');

/** 1234567 becomes `1,234,567`. */
export function count(value: number): string {
  return COUNT.format(value);
}

/** `1 photo`, `2 photos`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** An age, in whole seconds below one minute. */
export function age(seconds: number): string {
  return seconds < 60 ? `${Math.max(0, Math.round(seconds))} s` : duration(seconds);
}

/** A duration with suitable precision: `8 ms`, `1.4 s`, `3 min 05 s`, `2 h 10 min`. */
export function duration(seconds: number): string {
  if (seconds < 1) {
    return `${Math.round(seconds * 1000)} ms`;
  }
  if (seconds < 60) {
    return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  }
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0');
  if (seconds < 3600) {
    return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  }
  return `${count(Math.floor(seconds / 3600))} h ${two((seconds % 3600) / 60)} min`;
}
