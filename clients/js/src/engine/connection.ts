/** A session's WebSocket, which reconnects when it drops. */

import {
  AuthenticationError,
  ConnectionLostError,
  type PointstreamError,
  reason,
  ServerError,
  serverError,
} from '../errors.js';
import { Liveness } from './liveness.js';
import { delayBefore, type Retry } from './retry.js';
import type { Query, Server } from './server.js';

/** Buffered bytes above which sending pauses. */
const BUFFER_LIMIT = 4 << 20;
/** Poll interval of a full buffer: browsers have no event for it. */
const BUFFER_POLL_MS = 20;
/** Interval of the liveness check, in milliseconds. */
const LOOK_MS = 2500;
/** Time after which an idle connection counts as one that works, in milliseconds. */
const CALM_MS = 20_000;

/** Close codes after which reconnecting is impossible, and what they mean. */
const FINAL_CODES = new Map([
  [1002, 'the server does not understand this client'],
  [1003, 'the server does not understand this client'],
  [1007, 'the server does not understand this client'],
  [4403, 'the token lacks the scope use'],
  [4404, 'the session does not exist; it may have expired'],
  [4408, 'the session has expired'],
  [4410, 'the session was deleted'],
  [4422, 'the server rejected a parameter of the address'],
]);

/** The socket has no valid token. */
const UNAUTHENTICATED = 4401;

/** How a connection was lost. */
export interface Drop {
  /** The close code; 1006 if there was no closing handshake. */
  code: number;
  reason: string;
  /** The number of the attempt that follows, from 1. */
  attempt: number;
  /** Seconds until then. */
  delay: number;
}

export interface ConnectionEvents {
  /** A socket is open; `again` if it is not the first. The server sends the next message. */
  onOpen(again: boolean): void;
  onData(data: string | ArrayBuffer): void;
  /** The socket closed; the next attempt follows. */
  onDrop(drop: Drop): void;
  /** The connection ended; there is no further attempt. */
  onEnd(error: PointstreamError): void;
  /** The buffer has room again. */
  onRoom(): void;
  /** Whether a large answer may be in transit, which delays all later messages. */
  isAnswerDue(): boolean;
  /** Whether the client waits for an answer. */
  isWaiting(): boolean;
  /** Parameters of the next socket; `again` if there was one before. */
  parameters(again: boolean): Query;
}

export class Connection {
  private socket: WebSocket | undefined;
  private opened = false;
  private closed = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private roomTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly watch: ReturnType<typeof setInterval>;
  private liveness = new Liveness(Date.now());
  /** Total bytes passed to the socket. */
  private put = 0;
  /** Attempts to connect since the server has last answered a message. */
  private attempts = 0;
  private calmSince: number | undefined;
  private readonly retryNow = () => this.retry();

  constructor(
    private readonly server: Server,
    private readonly session: string,
    private readonly retryLater: Retry,
    private readonly events: ConnectionEvents,
  ) {
    globalThis.addEventListener?.('online', this.retryNow);
    this.watch = setInterval(() => this.look(), LOOK_MS);
    this.open();
  }

  get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** Whether more can be sent now; if not, `onRoom` is called later. */
  hasRoom(): boolean {
    if (!this.socket || !this.isOpen) {
      return false;
    }
    if (this.socket.bufferedAmount < BUFFER_LIMIT) {
      return true;
    }
    this.roomTimer ??= setTimeout(() => {
      this.roomTimer = undefined;
      this.events.onRoom();
    }, BUFFER_POLL_MS);
    return false;
  }

  send(data: string | ArrayBuffer): void {
    if (this.socket && this.isOpen) {
      this.put += typeof data === 'string' ? data.length : data.byteLength;
      this.socket.send(data);
    }
  }

  /** The server has accepted the connection. */
  established(): void {
    this.calmSince = Date.now();
  }

  /** The server has answered a message, so the attempts count from the beginning. */
  answered(): void {
    this.attempts = 0;
  }

  /** Closes the socket, and opens another one after the pause. */
  restart(why: string): void {
    if (this.socket) {
      this.socket.close();
      this.dropped(1006, why);
    }
  }

  /** Reconnects at once, instead of after the pause or in place of a stuck socket. */
  retry(): void {
    const { socket } = this;
    if (this.closed) {
      return;
    }
    if (socket && this.isOpen) {
      if (!this.liveness.isQuiet(Date.now())) {
        return;
      }
      const why = 'nothing came for a while';
      this.events.onDrop({ code: 1006, reason: why, attempt: this.attempts + 1, delay: 0 });
    }
    clearTimeout(this.timer);
    this.open();
    socket?.close();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.roomTimer);
    clearInterval(this.watch);
    globalThis.removeEventListener?.('online', this.retryNow);
    this.socket?.close(1000);
    this.socket = undefined;
  }

  private open(): void {
    const socket = this.server.openSocket(this.session, this.events.parameters(this.opened));
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.put = 0;
    this.calmSince = undefined;
    this.liveness = new Liveness(Date.now());
    // Ignore events of earlier sockets.
    const current = () => this.socket === socket;
    socket.onopen = () => {
      if (current()) {
        const again = this.opened;
        this.opened = true;
        this.liveness.sign(Date.now());
        this.events.onOpen(again);
      }
    };
    socket.onmessage = (event) => {
      if (current()) {
        this.liveness.sign(Date.now());
        this.events.onData(event.data);
      }
    };
    socket.onclose = (event) => {
      if (current()) {
        this.dropped(event.code, event.reason);
      }
    };
    // Some runtimes do not say that a socket has closed which never was open.
    socket.onerror = () => {
      setTimeout(() => {
        if (current() && !this.isOpen) {
          this.dropped(1006, 'the server does not accept the connection');
        }
      });
    };
  }

  private end(error: PointstreamError): void {
    this.close();
    this.events.onEnd(error);
  }

  private dropped(code: number, why = ''): void {
    this.socket = undefined;
    const refused = code === UNAUTHENTICATED;
    if (FINAL_CODES.has(code) || (refused && !this.server.tokens.isRenewable)) {
      this.end(closing(code, why));
      return;
    }
    const calm = this.calmSince !== undefined && Date.now() - this.calmSince > CALM_MS;
    if (calm && !this.events.isWaiting()) {
      this.attempts = 0;
    }
    this.attempts += 1;
    const delay = delayBefore(this.retryLater, this.attempts);
    if (delay === undefined) {
      const lost = why || `the server does not respond, or closed it with ${code}`;
      this.end(
        new ConnectionLostError(
          `the connection is lost and could not be restored (${lost}); session ${this.session} ` +
            'goes on: client.attach() takes it up again',
        ),
      );
      return;
    }
    this.events.onDrop({ code, reason: why, attempt: this.attempts, delay });
    if (refused) {
      void this.openWithAnotherToken(delay, closing(code, why));
      return;
    }
    this.timer = setTimeout(() => this.open(), 1000 * delay);
  }

  /** Opens the next socket once there is another token that the server takes. */
  private async openWithAnotherToken(delay: number, refused: ServerError): Promise<void> {
    const path = `/ws/session/${encodeURIComponent(this.session)}`;
    const token = this.server.tokens.for(path);
    const renewed = await this.server.tokens.renew(path, token, refused.message);
    if (this.closed) {
      return;
    }
    if (!renewed) {
      this.end(refused);
      return;
    }
    try {
      await this.server.get(path);
    } catch (error) {
      if (!this.closed && error instanceof AuthenticationError) {
        this.end(error);
        return;
      }
      // The next socket says what is wrong.
    }
    if (!this.closed) {
      this.timer = setTimeout(() => this.open(), 1000 * delay);
    }
  }

  private look(): void {
    if (!this.socket) {
      return;
    }
    const delivered = this.put - this.socket.bufferedAmount;
    const due = this.isOpen && this.events.isAnswerDue();
    const verdict = this.liveness.look(Date.now(), delivered, due);
    if (verdict === 'dead') {
      this.restart('the server does not answer');
    } else if (verdict === 'ask' && this.isOpen) {
      // Not counted as progress: leaving the buffer does not prove that the network works.
      this.socket.send('{"type":"ping"}');
    }
  }
}

/** Why a server has closed a connection. The reason of the close frame begins with the error's code. */
export function closing(status: number, why: string): ServerError {
  const [, code, text] = /^([a-z_]+): (.*)$/s.exec(why) ?? [undefined, undefined, why];
  const fallback = FINAL_CODES.get(status) ?? `the server closed the connection with ${status}`;
  return serverError(text || fallback, { code: code ?? CODES.get(status), status });
}

/** The error codes of close codes, for servers that give no reason. */
const CODES = new Map([
  [4401, 'unauthenticated'],
  [4403, 'missing_scope'],
  [4404, 'session_not_found'],
  [4408, 'session_expired'],
  [4410, 'session_deleted'],
  [4422, 'invalid_parameter'],
]);

/** What a close code means where the server need not say it. */
export function meaning(error: PointstreamError): string {
  const status = error instanceof ServerError ? error.status : undefined;
  return FINAL_CODES.get(status ?? 0) ?? reason(error);
}
