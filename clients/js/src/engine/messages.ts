/** Types of the WebSocket messages and of the session's REST responses, as docs/protocol.md has them. */

import { InvalidResponseError } from '../errors.js';

export type Matrix = number[][];

/** What one image contributes to a result. */
export interface FrameQuality {
  name: string;
  used: boolean;
  /** Why it is left out or doubtful. */
  reason: string | null;
  /** Share of its pixels whose depth is known; null if the model did not get it. */
  known_share: number | null;
}

/** Whether a result can be relied on. */
export interface Quality {
  /** `good`, `partial`, `failed`, or a later addition. */
  verdict: string;
  reasons: string[];
  /** What to do about each of the reasons. */
  advice: string[];
  /** All images of the request, in their order. */
  frames: FrameQuality[];
}

/** Where a frame is. */
export interface FramePose {
  /** Number of the frame, as in the nodes of the GLB. */
  frame: number;
  /** Index of its image in the session. */
  image: number;
  name: string;
  /** Its chunk in the map; null without a map. */
  chunk: number | null;
  /** Whether it could be placed; if not, both transforms are null. */
  placed?: boolean;
  camera_to_glb: Matrix | null;
  /** From the coordinates of the frame's points to GLB coordinates. */
  points_to_glb: Matrix | null;
  intrinsics: Matrix;
  distortion: [number, number];
}

/** What an update changes, in this order: reset, kept, corrections, frames. */
export interface Append {
  number: number;
  /** Whether all frames so far are dropped. */
  reset: boolean;
  /** Indices of the images that `quality.frames` lists. */
  images: number[];
  /** The frames of the GLB. */
  frames: FramePose[];
  /** Known frames that have moved. */
  corrections: FramePose[];
  /** Known frames that keep only their first points. */
  kept: { frame: number; points: number }[];
}

export interface Metadata {
  num_frames: number;
  session_id: string;
  glb_size_bytes: number;
  intrinsics?: Matrix[];
  /** Radial distortion of each frame: k1 and k2. */
  distortion?: [number, number][];
  extrinsics?: Matrix[];
  world_to_glb?: Matrix;
  processed_size?: [number, number];
  frames?: string[];
  unregistered_frames?: string[];
  num_points?: number;
  /** Points that a final result leaves out; null if images were not compared. */
  contradicted_points?: number | null;
  confidence_threshold?: number;
  aligned?: boolean;
  alignment?: Record<string, unknown>;
  known_cameras?: boolean;
  anchors?: Record<string, unknown> | null;
  /** Unit of length: `relative` or `metric`. */
  scale?: string;
  scale_spread?: number | null;
  still_frames?: string[];
  model?: unknown;
  options?: Record<string, unknown>;
  quality?: Quality;
  timings?: Record<string, number>;
  /** Only in updates that have what is new. */
  append?: Append;
}

export interface Answer {
  type: 'delta' | 'complete';
  image_count: number;
  /** The identifier of the answered request, if the server repeats it. */
  id?: string;
  /** What `received` confirms. */
  number?: number;
  metadata: Metadata;
  /** The scene as base64; missing in binary messages. */
  glb_base64?: string;
}

export interface Progress {
  type: 'progress';
  stage: string;
  progress: number;
  message: string;
  id?: string;
}

/** Where all frames are now. */
export interface Poses {
  type: 'poses';
  frames: FramePose[];
  /** Width and height that the intrinsics refer to; null before there is any pose. */
  processed_size: [number, number] | null;
  id?: string;
}

/** Something failed. */
export interface Failure {
  type: 'error';
  message: string;
  code?: string;
  id?: string;
  filename?: string;
  result_url?: string;
}

/** The first message. */
export interface Greeting {
  type: 'connected';
  session_id: string;
  image_count: number;
  max_images: number;
  /** Whether results are binary messages; images may then be binary too. */
  binary?: boolean;
}

/** An image is stored. */
export interface Acknowledgement {
  type: 'ack';
  image_count: number;
  session_id: string;
  image_path: string;
  id?: string;
}

export type ServerMessage =
  | Greeting
  | Acknowledgement
  | Progress
  | Answer
  | Poses
  | Failure
  | { type: 'pong'; session_id: string };

export type Config = Record<string, string | number | boolean>;

/** `GET /ws/session/{session_id}` */
export interface SessionInfo {
  session_id: string;
  status: string;
  image_count: number;
  /** Images received but not yet stored; missing for older servers. */
  pending_images?: number;
  max_images: number;
  error_message: string | null;
  requests?: number;
  connections?: number;
  has_result?: boolean;
  config?: Config;
}

/** An entry of `GET /ws/session/{session_id}/images`; `id` is that of the image's message. */
export interface StoredImage {
  index: number;
  id: string | null;
  image_path: string;
  width: number;
  height: number;
}

/** The limits of `GET /info`. */
export interface Limits {
  max_image_bytes?: number;
  max_image_pixels?: number;
  max_message_bytes?: number;
}

/** `POST /ws/session/create` */
export interface Created {
  session_id: string;
  /** A token for this session alone; missing if the server asks for none. */
  session_token?: string;
  max_images: number;
  config: Config;
  /** With the secret of the webhook if the server has made it. */
  webhook?: { secret?: string };
}

const KNOWN = ['connected', 'ack', 'progress', 'delta', 'complete', 'poses', 'error', 'pong'];

/**
 * Parses a message; undefined if this version does not know its type.
 *
 * @throws InvalidResponseError if it is no message at all.
 */
export function parseMessage(text: string): ServerMessage | undefined {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    message = undefined;
  }
  const type = message && typeof message === 'object' && 'type' in message ? message.type : '';
  if (typeof type !== 'string' || type === '') {
    throw new InvalidResponseError(
      'the server sent something that is no message of the protocol; ' +
        'check that the address is that of a pointstream server',
    );
  }
  return KNOWN.includes(type) ? (message as ServerMessage) : undefined;
}
