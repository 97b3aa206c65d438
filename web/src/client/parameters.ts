/** The session parameters of the protocol with their defaults and ranges. */

import type { Limits } from 'pointstream/engine';

/** The response of `GET /info`. */
export interface ServerInfo {
  version: string;
  model?: { name?: string; version?: string } | string;
  limits: Limits & {
    max_images: number;
    min_process_res: number;
    max_process_res: number;
    num_max_points: number;
  };
}

export interface Field {
  name: string;
  label: string;
  help: string;
  value: string | boolean;
  min?: number;
  max?: number;
  step?: number | 'any';
  options?: string[];
}

/** The parameters of a session; a default above the server's limit becomes that limit. */
export function fields({ limits }: ServerInfo): Field[] {
  const within = (value: number, limit: number) => String(Math.min(value, limit));
  return [
    {
      name: 'process_res',
      label: 'Resolution',
      help: 'pixels of the processed images; less is faster',
      value: within(504, limits.max_process_res),
      min: limits.min_process_res,
      max: limits.max_process_res,
      step: 1,
    },
    {
      name: 'process_res_method',
      label: 'Method',
      help: 'whether the longer (upper) or the shorter side (lower) has the resolution',
      value: 'upper_bound_resize',
      options: ['upper_bound_resize', 'upper_bound_crop', 'lower_bound_resize', 'lower_bound_crop'],
    },
    {
      name: 'conf_thresh_percentile',
      label: 'Least confident, %',
      help: 'share of the least confident pixels to drop',
      value: '10',
      min: 0,
      max: 100,
      step: 'any',
    },
    {
      name: 'num_max_points',
      label: 'Most points',
      help: 'more points are sampled at random',
      value: within(10_000_000, limits.num_max_points),
      min: 1,
      max: limits.num_max_points,
      step: 1,
    },
    {
      name: 'max_images',
      label: 'Most images',
      help: 'maximum number of images in the session',
      value: within(100, limits.max_images),
      min: 1,
      max: limits.max_images,
      step: 1,
    },
    {
      name: 'show_cameras',
      label: 'Cameras in the file',
      help: 'also draws them in the GLB',
      value: true,
    },
    {
      name: 'filter_edges',
      label: 'Remove flying points',
      help: 'drops pixels at depth discontinuities',
      value: false,
    },
    {
      name: 'filter_black_bg',
      label: 'Remove black background',
      help: 'drops pixels that are nearly black',
      value: false,
    },
    {
      name: 'filter_white_bg',
      label: 'Remove white background',
      help: 'drops pixels that are nearly white',
      value: false,
    },
    {
      name: 'voxel_size',
      label: 'Voxel size',
      help: 'keeps the most confident point of each voxel; 0 keeps all; in the scene’s unit',
      value: '0',
      min: 0,
      max: 1_000_000,
      step: 'any',
    },
    {
      name: 'glb_compression',
      label: 'Compression',
      help: 'of the GLB: 16-bit positions (quantized), or also compressed (meshopt)',
      value: 'none',
      options: ['none', 'quantized', 'meshopt'],
    },
  ];
}
