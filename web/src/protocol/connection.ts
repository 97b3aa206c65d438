/** A session's socket, opened again when it drops. */

import type { Server } from '../shared/api';
import { Backoff } from '../shared/backoff';

/** Bytes that may wait in the socket before nothing more is put in. */
const BUFFER_LIMIT = 4 << 20;
/** How often a full buffer is looked at: the browser does not tell when it empties. */
const BUFFER_POLL_MS = 20;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** A socket that brings nothing for so long is asked for a sign of life, */
const QUIET_MS = 20_000;
/** and is given up if it gives none; a large answer on a slow line must arrive within it. */
const DEAD_MS = 180_000;

/** Close codes after which the session cannot be connected to again. */
const FINAL_CODES = new Map([
  [1009, 'a message was too large for the server'],
  [4404, 'the session does not exist; it may have expired'],
  [4408, 'the session has expired'],
  [4410, 'the session was deleted'],
  [4422, 'the server does not understand the address'],
  [4500, 'the session failed'],
]);

export interface ConnectionEvents {
  /** A socket is open; `again` if it is not the first. The server speaks next. */
  onOpen(again: boolean): void;
  onData(data: string | ArrayBuffer): void;
  /** The socket dropped; the next attempt is in so many milliseconds. */
  onDrop(pauseMs: number): void;
  /** There will be no other attempt. */
  onEnd(reason: string): void;
  /** There is room in the buffer again. */
  onRoom(): void;
}

export class Connection {
  private socket: WebSocket | undefined;
  private opened = false;
  private closed = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private roomTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly watch: ReturnType<typeof setInterval>;
  private lastSign = 0;
  private readonly backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
  private readonly retryNow = () => this.retry();

  /** @param resume whether the first socket, too, takes over what others left behind. */
  constructor(
    private readonly server: Server,
    private readonly session: string,
    private readonly resume: boolean,
    private readonly events: ConnectionEvents,
  ) {
    globalThis.addEventListener('online', this.retryNow);
    this.watch = setInterval(() => this.look(), QUIET_MS / 4);
    this.open();
  }

  get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** Whether more can be sent now; if not, `onRoom` tells when. */
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
    this.socket?.send(data);
  }

  /** Tries again at once instead of after the pause. */
  retry(): void {
    if (!this.closed && !this.socket) {
      clearTimeout(this.timer);
      this.open();
    }
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
    const query: Record<string, string> = { binary: 'true' };
    if (this.resume || this.opened) {
      query.resume = 'true';
    }
    const socket = new WebSocket(this.server.socketUrl(this.session, query));
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.lastSign = Date.now();
    // What an earlier socket still says does not count.
    const current = () => this.socket === socket;
    socket.onopen = () => {
      if (current()) {
        const again = this.opened;
        this.opened = true;
        this.backoff.reset();
        this.lastSign = Date.now();
        this.events.onOpen(again);
      }
    };
    socket.onmessage = (event) => {
      if (current()) {
        this.lastSign = Date.now();
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
    this.timer = setTimeout(() => this.open(), pause);
    this.events.onDrop(pause);
  }

  /** A network can vanish without a word, so silence is asked about. */
  private look(): void {
    const quiet = Date.now() - this.lastSign;
    if (!this.isOpen || quiet < QUIET_MS) {
      return;
    }
    if (quiet > DEAD_MS && this.socket?.bufferedAmount === 0) {
      this.socket.close();
      this.dropped(1006);
    } else {
      this.send('{"type":"ping"}');
    }
  }
}
