/** The server of a page. */

import { Server as PlainServer, type Retry } from 'pointstream/engine';
import { Credentials } from './credentials';

export { reason } from 'pointstream/engine';

/** A page reconnects for as long as it is open. */
export const RETRY: Retry = { attempts: Number.POSITIVE_INFINITY, first: 0.5, longest: 15 };

/** A server at an address like `http://localhost:8000`, used with the tokens of this tab. */
export class Server extends PlainServer {
  /** @throws TypeError if it is not an HTTP address. */
  constructor(address: string) {
    super(address, { tokens: (base) => new Credentials(base) });
  }

  /** The server of this page, which a proxy may show below any path. */
  static ofPage(): Server {
    return new Server(new URL('.', location.href).href);
  }

  get credentials(): Credentials {
    return this.tokens as Credentials;
  }
}
