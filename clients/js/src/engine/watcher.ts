/** Sees a session and changes nothing: told of each new result. */

import { type PointstreamError, reason } from '../errors.js';
import { Connection, type Drop } from './connection.js';
import type { Retry } from './retry.js';
import type { Server } from './server.js';

/** What a session has now. */
export interface Seen {
  imageCount: number;
  /** As in `GET /ws/session/{id}`. */
  status: string;
  /** Number of the newest result, if there is one. */
  number: number | undefined;
}

export interface WatcherEvents {
  /** At first, and whenever there is a new result or another status. */
  onChange(seen: Seen): void;
  /** The connection is lost, and the next attempt follows. */
  onDrop(drop: Drop): void;
  /** The session has ended, or cannot be watched. */
  onEnd(error: PointstreamError): void;
}

/** Keeps a connection that watches a session. */
export class Watcher {
  private readonly connection: Connection;

  constructor(server: Server, session: string, retry: Retry, events: WatcherEvents) {
    this.connection = new Connection(server, session, retry, {
      onOpen: () => {},
      onData: (data) => {
        const seen = readChange(data);
        if (seen) {
          this.connection.answered();
          events.onChange(seen);
        }
      },
      onDrop: (drop) => events.onDrop(drop),
      onEnd: (error) => events.onEnd(error),
      onRoom: () => {},
      isAnswerDue: () => false,
      isWaiting: () => false,
      parameters: () => ({ watch: true }),
    });
  }

  close(): void {
    this.connection.close();
  }
}

/** The change that a message tells; undefined for other messages. */
function readChange(data: string | ArrayBuffer): Seen | undefined {
  if (typeof data !== 'string') {
    return undefined;
  }
  let message: Record<string, unknown>;
  try {
    message = JSON.parse(data);
  } catch (error) {
    console.warn(`a message of the server is not JSON: ${reason(error)}`);
    return undefined;
  }
  if (message?.type !== 'changed') {
    return undefined;
  }
  const { image_count, status, number } = message;
  return {
    imageCount: typeof image_count === 'number' ? image_count : 0,
    status: String(status),
    number: typeof number === 'number' ? number : undefined,
  };
}
