/** Decodes the server's text and binary messages. */

import { InvalidResponseError } from '../errors.js';
import { fromBase64 } from './base64.js';
import { decodeFrame } from './frames.js';
import { parseMessage, type ServerMessage } from './messages.js';

export interface Incoming {
  message: ServerMessage;
  /** The scene of a `delta` or `complete`; empty for other messages. */
  glb: Uint8Array<ArrayBuffer>;
}

/**
 * Reads a message; undefined if this version does not know its type.
 *
 * @throws InvalidResponseError if it is no message at all.
 */
export function readMessage(data: string | ArrayBuffer): Incoming | undefined {
  const frame = typeof data === 'string' ? undefined : decodeFrame(data);
  const message = parseMessage(frame?.header ?? String(data));
  if (message?.type !== 'delta' && message?.type !== 'complete') {
    return message && { message, glb: new Uint8Array() };
  }
  const { glb_base64 = '', ...answer } = message;
  if (typeof answer.metadata !== 'object' || answer.metadata === null) {
    throw new InvalidResponseError('a result of the server has no metadata');
  }
  return { message: answer, glb: frame?.bytes ?? decoded(glb_base64) };
}

function decoded(text: string): Uint8Array<ArrayBuffer> {
  try {
    return fromBase64(text);
  } catch {
    throw new InvalidResponseError('a result of the server is not base64');
  }
}
