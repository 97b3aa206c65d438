/** Creates a session, or attaches to an existing one. */

import { InvalidResponseError } from '../errors.js';
import { Engine } from './engine.js';
import type { EngineEvents } from './events.js';
import type { Created, SessionInfo } from './messages.js';
import type { Beginning } from './options.js';
import { SessionResource } from './resource.js';
import type { Query, Server } from './server.js';
import type { Other } from './uploads.js';

export interface OpenOptions extends Omit<Beginning, 'info' | 'config' | 'deltas'> {
  /** By default what the session's parameters allow. */
  deltas?: 'append' | 'cumulative' | undefined;
  /** Cancels the operation. */
  signal?: AbortSignal;
}

/** Result of `attachSession`. */
export interface Found {
  session: Engine;
  info: SessionInfo;
  /** The session's images with names unique in this client; undefined for older servers. */
  images: Other[] | undefined;
}

/** Requests a new session, and keeps its token. */
export async function requestSession(
  server: Server,
  path: string,
  parameters: Query,
  body?: object,
): Promise<Created> {
  const created = await server.post<Created>(path, parameters, body);
  if (typeof created.session_id !== 'string') {
    throw new InvalidResponseError('the answer to a new session has no session_id');
  }
  // From now on the token of this session suffices. Servers that ask for none give none.
  server.tokens.keep(created.session_id, created.session_token);
  return created;
}

export async function createSession(
  server: Server,
  parameters: Query,
  events: EngineEvents,
  { signal, ...options }: OpenOptions = {},
): Promise<Engine> {
  const { session_id, config } = await requestSession(server, '/ws/session/create', parameters);
  if (signal?.aborted) {
    // Cancelled: delete the empty session, which no one else knows.
    await new SessionResource(server, session_id).delete();
    signal.throwIfAborted();
  }
  const deltas = options.deltas ?? deltasFor(config);
  return new Engine(server, session_id, { ...options, deltas, config }, events);
}

/** Attaches to an existing session. */
export async function attachSession(
  server: Server,
  id: string,
  events: EngineEvents,
  { signal, ...options }: OpenOptions = {},
): Promise<Found> {
  const resource = new SessionResource(server, id);
  const info = await resource.info();
  const images = await resource.images(info);
  signal?.throwIfAborted();
  const deltas = options.deltas ?? deltasFor(info.config);
  const beginning = { ...options, deltas, config: info.config, info };
  const session = new Engine(server, info.session_id, beginning, events);
  return { session, info, images: images && session.uploads.nameOthers(images) };
}

/** The updates that a session's parameters allow: voxels do not work with those that append. */
export function deltasFor(parameters: Query = {}): 'append' | 'cumulative' {
  return Number(parameters.voxel_size ?? 0) > 0 ? 'cumulative' : 'append';
}
