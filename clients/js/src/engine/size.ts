const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Bytes in the largest unit that keeps them at 1 or more. */
export function bytes(value: number): string {
  let unit = 0;
  let rest = value;
  while (rest >= 1024 && unit + 1 < UNITS.length) {
    rest /= 1024;
    unit += 1;
  }
  return `${unit > 0 && rest < 100 ? rest.toFixed(1) : Math.round(rest)} ${UNITS[unit]}`;
}
