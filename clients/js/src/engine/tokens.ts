/** Where the tokens of requests come from. */

export interface Tokens {
  /** The token for a path below the server's address. */
  for(path: string): string | undefined;
  /** Keeps the token of one session. */
  keep(session: string, token: string | undefined): void;
  /** Whether there may be another token after the server refused one. */
  readonly isRenewable: boolean;
  /**
   * Finds another token after the server refused one for a path.
   *
   * @returns whether there is another one.
   */
  renew(path: string, refused: string | undefined, why: string): Promise<boolean>;
}

/** A path of one session. Its token does not suffice to run it again, which creates another one. */
const SESSION_PATH = /^\/ws\/(?:session|reconstruct)\/([^/?]+)(?!.*\/rerun$)/;

/** The session that a path is about, if its own token suffices. */
export function sessionOf(path: string): string | undefined {
  const [, session] = SESSION_PATH.exec(path) ?? [];
  // `create` is no session.
  return session === undefined || session === 'create' ? undefined : decodeURIComponent(session);
}

/** The token of a client, and those of its sessions. */
export class GivenTokens implements Tokens {
  readonly isRenewable = false;
  private readonly sessions = new Map<string, string>();

  constructor(private readonly token: string | undefined) {}

  for(path: string): string | undefined {
    return this.sessions.get(sessionOf(path) ?? '') ?? this.token;
  }

  keep(session: string, token: string | undefined): void {
    if (token === undefined) {
      this.sessions.delete(session);
    } else {
      this.sessions.set(session, token);
    }
  }

  async renew(): Promise<boolean> {
    return false;
  }
}
