/** Creates a session, or attaches to an existing one. */

import type { Server } from '../shared/api';
import type { SessionEvents } from './events';
import type { Created, Limits, SessionInfo } from './messages';
import { SessionResource } from './resource';
import { Session } from './session';
import type { Other } from './uploads';

export interface Options {
  /** The server's limits. */
  limits?: Limits;
  /** Cancels the operation. */
  signal?: AbortSignal;
}

/** Result of `attachSession`. */
export interface Found {
  session: Session;
  info: SessionInfo;
  /** The session's images with names unique on this page; undefined for older servers. */
  images: Other[] | undefined;
}

export async function createSession(
  server: Server,
  parameters: Record<string, string>,
  events: SessionEvents,
  { limits = {}, signal }: Options = {},
): Promise<Session> {
  const created = await server.post<Created>('/ws/session/create', parameters);
  const { session_id, config } = created;
  server.credentials.keep(session_id, created.session_token);
  if (signal?.aborted) {
    // Cancelled: delete the empty session, which no one else knows.
    await new SessionResource(server, session_id).delete();
    signal.throwIfAborted();
  }
  return new Session(server, session_id, { config, limits }, events);
}

/** Attaches to an existing session. */
export async function attachSession(
  server: Server,
  id: string,
  events: SessionEvents,
  { limits = {}, signal }: Options = {},
): Promise<Found> {
  const resource = new SessionResource(server, id);
  const info = await resource.info();
  const images = await resource.images(info);
  signal?.throwIfAborted();
  const beginning = { config: info.config, limits, info };
  const session = new Session(server, info.session_id, beginning, events);
  return { session, info, images: images && session.uploads.nameOthers(images) };
}
