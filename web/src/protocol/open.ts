/** How a session begins: a new one is made, or the page comes to one that exists. */

import type { Server } from '../shared/api';
import type { SessionEvents } from './events';
import type { Created, Limits, SessionInfo } from './messages';
import { SessionResource } from './resource';
import { Session } from './session';
import type { Other } from './uploads';

export interface Options {
  /** What the server takes. */
  limits?: Limits;
  /** Gives up what is not there yet. */
  signal?: AbortSignal;
}

/** What `attachSession` finds. */
export interface Found {
  session: Session;
  info: SessionInfo;
  /** The images that it has, by names that are unique here, if the server tells. */
  images: Other[] | undefined;
}

export async function createSession(
  server: Server,
  parameters: Record<string, string>,
  events: SessionEvents,
  { limits = {}, signal }: Options = {},
): Promise<Session> {
  const { session_id, config } = await server.post<Created>('/ws/session/create', parameters);
  if (signal?.aborted) {
    // Nobody else knows it, and nothing is in it.
    await new SessionResource(server, session_id).delete();
    signal.throwIfAborted();
  }
  return new Session(server, session_id, { config, limits }, events);
}

/** Goes on with a session that exists. */
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
