/** A session's WebSocket, which reconnects when it drops. */

import { ApiError, reason, type Server } from '../shared/api';
import { Backoff } from '../shared/backoff';
import { Liveness } from './liveness';

/** Buffered bytes above which sending pauses. */
const BUFFER_LIMIT = 4 << 20;
/** Poll interval of a full buffer: browsers have no event for it. */
const BUFFER_POLL_MS = 20;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** Interval of the liveness check, in milliseconds. */
const LOOK_MS = 2500;

/** Close codes after which reconnecting is impossible. */
const FINAL_CODES = new Map([
  [4403, 'the token lacks the scope use'],
  [4404, 'the session does not exist; it may have expired'],
  [4408, 'the session has expired'],
  [4410, 'the session was deleted'],
  [4422, 'the server rejected a parameter of the address'],
]);

/** The socket has no valid token. */
const UNAUTHENTICATED = 4401;

export interface ConnectionEvents {
  /** A socket is open; `again` if it is not the first. The server sends the next message. */
  onOpen(again: boolean): void;
  onData(data: string | ArrayBuffer): void;
  /** The socket closed with this code; the next attempt follows after `pauseMs`. */
  onDrop(pauseMs: number, code: number): void;
  /** The connection ended; there is no further attempt. */
  onEnd(reason: string): void;
  /** The buffer has room again. */
  onRoom(): void;
  /** Whether a large answer may be in transit, which delays all later messages. */
  isAnswerDue(): boolean;
  /** Further parameters of the next socket. */
  parameters(): Record<string, string>;
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
  private readonly backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
  private readonly retryNow = () => this.retry();

  /** @param resume whether the first socket also resumes earlier connections. */
  constructor(
    private readonly server: Server,
    private readonly session: string,
    private readonly resume: boolean,
    private readonly events: ConnectionEvents,
  ) {
    globalThis.addEventListener('online', this.retryNow);
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
    if (this.socket) {
      this.put += typeof data === 'string' ? data.length : data.byteLength;
      this.socket.send(data);
    }
  }

  /** The server has accepted the connection, so the backoff starts over. */
  established(): void {
    this.backoff.reset();
  }

  /** Closes the socket, and opens another one after the pause. */
  restart(): void {
    if (this.socket) {
      this.socket.close();
      this.dropped(1006);
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
      this.events.onDrop(0, 1006);
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
    globalThis.removeEventListener('online', this.retryNow);
    this.socket?.close(1000);
    this.socket = undefined;
  }

  private open(): void {
    const query: Record<string, string> = { binary: 'true', ...this.events.parameters() };
    if (this.resume || this.opened) {
      query.resume = 'true';
    }
    const socket = this.server.openSocket(this.session, query);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.put = 0;
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
        this.dropped(event.code);
      }
    };
  }

  private dropped(code: number): void {
    this.socket = undefined;
    const final = FINAL_CODES.get(code);
    if (final) {
      this.close();
      this.events.onEnd(final);
      return;
    }
    const pause = this.backoff.next();
    this.events.onDrop(pause, code);
    if (code === UNAUTHENTICATED) {
      void this.openWithAnotherToken(pause);
      return;
    }
    this.timer = setTimeout(() => this.open(), pause);
  }

  /** Opens the next socket once a request of the session finds a valid token. */
  private async openWithAnotherToken(pause: number): Promise<void> {
    try {
      await this.server.get(`/ws/session/${encodeURIComponent(this.session)}`);
    } catch (error) {
      if (!this.closed && error instanceof ApiError && error.status === 401) {
        this.close();
        this.events.onEnd(reason(error));
        return;
      }
      // The next socket says what is wrong.
    }
    if (!this.closed) {
      this.timer = setTimeout(() => this.open(), pause);
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
      this.restart();
    } else if (verdict === 'ask' && this.isOpen) {
      // Not counted as progress: leaving the buffer does not prove that the network works.
      this.socket.send('{"type":"ping"}');
    }
  }
}
