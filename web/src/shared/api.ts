/** The server of a page. */

import { Server as PlainServer } from 'pointstream/engine';
import { Credentials } from './credentials';

export { reason } from 'pointstream/engine';

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
