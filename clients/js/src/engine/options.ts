/** How a session is used over its socket, and what is known of it at the beginning. */

import type { Config, Limits, SessionInfo } from './messages.js';
import { RETRY, type Retry } from './retry.js';
import { IN_FLIGHT } from './uploads.js';

export interface EngineOptions {
  /** Images and results as bytes: a quarter smaller than in JSON, and less work for both sides. */
  binary?: boolean;
  /** `append`: each update has only what is new. `cumulative`: each has the whole cloud. */
  deltas?: 'append' | 'cumulative';
  /** The number of the last update that the caller has, which the next one continues. */
  since?: number | undefined;
  /** Images that are sent and not acknowledged. The server takes 16. */
  maxInFlight?: number;
  retry?: Retry;
}

/** Initial knowledge about a session. */
export interface Beginning extends EngineOptions {
  /** The session's parameters; undefined for older servers. */
  config?: Config | undefined;
  /** The server's limits. */
  limits?: Limits;
  /** Whether the session existed before: undelivered answers come first then. */
  resume?: boolean;
  /** The server's state of the session, if it existed before. */
  info?: SessionInfo;
}

export const DEFAULTS = {
  binary: true,
  deltas: 'append',
  maxInFlight: IN_FLIGHT,
  retry: RETRY,
} as const;
