/** The messages of the socket and the answers of the session's REST resources. */

export type Matrix = number[][];

export interface Metadata {
  num_frames: number;
  session_id: string;
  glb_size_bytes: number;
  intrinsics?: Matrix[];
  extrinsics?: Matrix[];
  world_to_glb?: Matrix;
  processed_size?: [number, number];
  frames?: string[];
  unregistered_frames?: string[];
  num_points?: number;
  aligned?: boolean;
  model?: string;
  timings?: Record<string, number>;
}

export interface Answer {
  type: 'delta' | 'complete';
  image_count: number;
  metadata: Metadata;
}

export interface Progress {
  type: 'progress';
  stage: string;
  progress: number;
  message: string;
}

export type ServerMessage =
  | {
      type: 'connected';
      session_id: string;
      image_count: number;
      max_images: number;
      /** Whether results come as binary messages; then images may be sent as such, too. */
      binary?: boolean;
    }
  | { type: 'ack'; image_count: number; session_id: string; image_path: string }
  | Progress
  | (Answer & { glb_base64?: string })
  | { type: 'error'; message: string }
  | { type: 'pong'; session_id: string };

export type Config = Record<string, string | number | boolean>;

/** `GET /ws/session/{session_id}` */
export interface SessionInfo {
  session_id: string;
  status: string;
  image_count: number;
  max_images: number;
  error_message: string | null;
  requests?: number;
  connections?: number;
  has_result?: boolean;
  config?: Config;
}

/** `POST /ws/session/create` */
export interface Created {
  session_id: string;
  max_images: number;
  config: Config;
}

/** Reads a message; nothing if it is none of the protocol. */
export function parseMessage(text: string): ServerMessage | undefined {
  const message: unknown = JSON.parse(text);
  const known = ['connected', 'ack', 'progress', 'delta', 'complete', 'error', 'pong'];
  const type = message && typeof message === 'object' && 'type' in message ? message.type : '';
  return known.includes(String(type)) ? (message as ServerMessage) : undefined;
}
