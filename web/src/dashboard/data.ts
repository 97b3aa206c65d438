/** The dashboard's requests to the server. */

import type { Server } from '../shared/api';

export interface ListedSession {
  session_id: string;
  created_at: number;
  last_activity: number;
  status: string;
  image_count: number;
  image_bytes: number;
  connections: number;
  requests: number;
  has_result: boolean;
}

export interface Sessions {
  stats: { total_sessions: number; max_sessions: number; total_images: number };
  sessions: ListedSession[];
}

export interface Job {
  kind: string;
  session_id: string;
  frames: number;
  running_seconds: number;
}

export interface Actor {
  id: string;
  kind: string;
  name: string;
  state: string;
  age_seconds: number;
  messages_handled: number;
  mailbox_depth: number;
  queue_depth?: number;
  restarts: number;
  device?: string;
  busy_seconds?: number;
  current_job?: Job;
  last_error?: string;
  children: Actor[];
}

export interface Budget {
  used_bytes: number;
  limit_bytes: number;
}

export interface Stats {
  time: number;
  uptime_seconds: number;
  totals: {
    sessions: number;
    images: number;
    generations_succeeded: number;
    generations_failed: number;
    messages_received: number;
    messages_sent: number;
    bytes_received: number;
    bytes_sent: number;
    worker_restarts: number;
    errors: number;
  };
  latencies: { generations: number; seconds: Record<string, { p50: number; p95: number }> };
  memory: {
    resident_bytes: number | null;
    upload_buffer: Budget;
    feature_cache: Budget;
    decoding: Budget;
    jobs: Budget;
  };
  queue: { jobs: number; capacity: number };
  connections: { network: number; websockets: number };
  errors: { time: number; kind: string; session_id: string | null; message: string }[];
}

export interface Info {
  version: string;
  model?: { name?: string; version?: string };
}

export interface Snapshot {
  sessions: Sessions;
  actors: Actor;
  stats: Stats;
  info: Info;
}

/** Fetches everything that the dashboard shows. */
export async function look(server: Server): Promise<Snapshot> {
  const [sessions, actors, stats, info] = await Promise.all([
    server.get<Sessions>('/ws/sessions'),
    server.get<Actor>('/actors'),
    server.get<Stats>('/stats'),
    server.get<Info>('/info'),
  ]);
  return { sessions, actors, stats, info };
}

/** All actors of a kind. */
export function actorsOf(kind: string, { children, ...actor }: Actor): Actor[] {
  const below = children.flatMap((child) => actorsOf(kind, child));
  return actor.kind === kind ? [{ ...actor, children }, ...below] : below;
}
