/** Formats a result as a log line. */

import type { Answer } from 'pointstream/engine';
import { bytes, duration, plural } from '../shared/format';

/** `last` if this result completed the session. */
export function describe(
  { type, image_count, metadata }: Answer,
  glb: Blob,
  last: boolean,
): string {
  const whole = last ? 'final result' : 'result';
  const parts = [
    type === 'delta' ? 'update' : whole,
    plural(image_count, 'image'),
    plural(metadata.num_points ?? 0, 'point'),
    bytes(glb.size),
  ];
  if (metadata.timings?.total !== undefined) {
    parts.push(duration(metadata.timings.total));
  }
  if (metadata.quality) {
    parts.push(metadata.quality.verdict);
  }
  if (metadata.aligned === false) {
    parts.push('not aligned with earlier results');
  }
  return parts.join(', ');
}
