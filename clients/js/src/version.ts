/** The version of this package; package.json has the same. */
export const VERSION = '0.1.0';

/** The protocol that it speaks. A server with the same first number understands this client. */
export const PROTOCOL_VERSION = '1.0.0';
