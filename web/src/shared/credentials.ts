/** Tokens for a server, kept for this tab alone. */

import { sessionOf, type Tokens } from 'pointstream/engine';

/** Asks the user for a token; undefined if the user gives none. */
export type Ask = (why: string) => Promise<string | undefined>;

export class Credentials implements Tokens {
  /** Asks the user; unset where there is nobody to ask. */
  static ask: Ask | undefined;
  readonly isRenewable = true;

  constructor(private readonly server: string) {}

  /** The user's token. */
  get token(): string | undefined {
    return read(this.key);
  }

  set token(token: string | undefined) {
    write(this.key, token);
  }

  /** Keeps the token of one session. */
  keep(session: string, token: string | undefined): void {
    write(this.sessionKey(session), token);
  }

  /** The token for a path: that of its session, if there is one. */
  for(path: string): string | undefined {
    const session = sessionOf(path);
    const own = session && read(this.sessionKey(session));
    return own || this.token;
  }

  /**
   * Finds another token after the server refused one for a path.
   *
   * @returns whether there is another one.
   */
  async renew(path: string, refused: string | undefined, why: string): Promise<boolean> {
    const session = sessionOf(path);
    if (session && refused && refused !== this.token) {
      this.keep(session, undefined);
    }
    if (this.for(path) !== refused) {
      // The user's own token, or one that was entered meanwhile.
      return this.for(path) !== undefined;
    }
    const token = await Credentials.ask?.(why);
    if (token) {
      this.token = token;
    }
    return Boolean(token);
  }

  private get key(): string {
    return `pointstream.token ${this.server}`;
  }

  private sessionKey(session: string): string {
    return `pointstream.session-token ${this.server} ${session}`;
  }
}

/** Used where storage is disabled: the tokens then last until the page is left. */
const memory = new Map<string, string>();

function read(key: string): string | undefined {
  try {
    return sessionStorage.getItem(key) ?? undefined;
  } catch {
    return memory.get(key);
  }
}

function write(key: string, token: string | undefined): void {
  try {
    if (token) {
      sessionStorage.setItem(key, token);
    } else {
      sessionStorage.removeItem(key);
    }
  } catch {
    if (token) {
      memory.set(key, token);
    } else {
      memory.delete(key);
    }
  }
}
