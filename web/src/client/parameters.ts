/** The session parameters of the protocol with their defaults and ranges. */

import type { Limits } from 'pointstream/engine';

/** The response of `GET /info`. */
export interface ServerInfo {
  version: string;
  model?: { name?: string; version?: string } | string;
  /** What the server reads; missing for older servers. */
  inputs?: { videos?: boolean };
  limits: Limits & {
    max_images: number;
    min_process_res: number;
    max_process_res: number;
    num_max_points: number;
  };
}

export interface Field {
  /** Its name in the protocol. */
  name: string;
  label: string;
  help: string;
  value: string | boolean;
  min?: number;
  max?: number;
  step?: number | 'any';
  /** Values with what they mean. */
  options?: Record<string, string>;
}

/** The parameters of a session; a default above the server's limit becomes that limit. */
export function fields({ limits }: ServerInfo): Field[] {
  const within = (value: number, limit: number) => String(Math.min(value, limit));
  return [
    {
      name: 'process_res',
      label: 'Resolution in pixels',
      help: 'of the photos that are looked at: more shows finer detail, less is faster',
      value: within(504, limits.max_process_res),
      min: limits.min_process_res,
      max: limits.max_process_res,
      step: 1,
    },
    {
      name: 'process_res_method',
      label: 'That is the size of',
      help: 'which side of a photo has that resolution, and whether its edges are cut off to fit',
      value: 'upper_bound_resize',
      options: {
        upper_bound_resize: 'the longer side',
        upper_bound_crop: 'the longer side, trimmed',
        lower_bound_resize: 'the shorter side',
        lower_bound_crop: 'the shorter side, trimmed',
      },
    },
    {
      name: 'conf_thresh_percentile',
      label: 'Uncertain points to leave out',
      help: 'so many of a hundred, the least certain ones: 0 keeps all',
      value: '10',
      min: 0,
      max: 100,
      step: 'any',
    },
    {
      name: 'num_max_points',
      label: 'Most points',
      help: 'of more, some are chosen at random',
      value: within(10_000_000, limits.num_max_points),
      min: 1,
      max: limits.num_max_points,
      step: 1,
    },
    {
      name: 'max_images',
      label: 'Most images',
      help: 'that the session takes',
      value: within(100, limits.max_images),
      min: 1,
      max: limits.max_images,
      step: 1,
    },
    {
      name: 'show_cameras',
      label: 'Cameras in the saved file',
      help: 'draws where the photos were taken, for other viewers',
      value: true,
    },
    {
      name: 'filter_edges',
      label: 'Remove flying points',
      help: 'those between a near and a far thing',
      value: false,
    },
    {
      name: 'filter_black_bg',
      label: 'Remove black background',
      help: 'for things before black: removes what is nearly black',
      value: false,
    },
    {
      name: 'filter_white_bg',
      label: 'Remove white background',
      help: 'for things before white: removes what is nearly white',
      value: false,
    },
    {
      name: 'voxel_size',
      label: 'Spacing of points',
      help: 'keeps the most certain point of each cube of this size, in the unit of the scene; 0 keeps all',
      value: '0',
      min: 0,
      max: 1_000_000,
      step: 'any',
    },
    {
      name: 'glb_compression',
      label: 'Size of the saved file',
      help: 'a smaller GLB file; not every viewer reads the smallest',
      value: 'none',
      options: {
        none: 'exact',
        quantized: 'smaller, rounded',
        meshopt: 'smallest, packed',
      },
    },
  ];
}
