/** The server's reasons in the words of people, short enough for a thumbnail. */

const WORDS: Record<string, string> = {
  no_parallax: 'the camera hardly moved',
  rotation_only: 'the camera only turned',
  too_few_matches: 'too little seen in other photos',
  not_connected: 'shows nothing of the others',
  ambiguous: 'fits in several places',
  degenerate_scale: 'too close to the others',
  uncertain_focal_length: 'field of view uncertain',
  too_dark: 'too dark',
  blurred: 'blurred',
  duplicates: 'a copy of another',
  mixed_cameras: 'another camera or zoom',
  odd_shape: 'another shape',
  no_confident_pixels: 'no reliable depth',
  implausible_geometry: 'impossible depth',
  too_few_images: 'too few photos',
  all_filtered: 'removed by the filters',
};

/** A reason in words; those of later servers as they are, without underscores. */
export function inWords(reason: string): string {
  return WORDS[reason] ?? reason.replaceAll('_', ' ');
}
