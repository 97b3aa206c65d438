/** The parameters of a session, and a webhook for it. */

/**
 * What a new session can be told. The server's defaults apply to what is missing.
 *
 * docs/protocol.md gives the ranges. The server refuses names that it does not know, and says which
 * one may be meant.
 */
export interface SessionParameters {
  max_images?: number;
  process_res?: number;
  process_res_method?:
    | 'upper_bound_resize'
    | 'lower_bound_resize'
    | 'upper_bound_crop'
    | 'lower_bound_crop';
  conf_thresh_percentile?: number;
  num_max_points?: number;
  show_cameras?: boolean;
  window?: number;
  finalize_mode?: 'auto' | 'refine' | 'whole';
  filter_edges?: boolean;
  voxel_size?: number;
  filter_black_bg?: boolean;
  filter_white_bg?: boolean;
  glb_compression?: 'none' | 'quantized' | 'meshopt';
}

/** A URL that the server tells of results and of the end of the session. */
export interface Webhook {
  url: string;
  /** All events if it is missing. */
  events?: readonly string[];
  /** `whsec_...`; if it is missing, the server makes one: see `Session.webhookSecret`. */
  secret?: string;
}
