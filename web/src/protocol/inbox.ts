/** Decodes the server's text and binary messages. */

import { fromBase64 } from './base64';
import { decodeFrame } from './frames';
import { parseMessage, type ServerMessage } from './messages';

export interface Incoming {
  message: ServerMessage;
  /** The scene of a `delta` or `complete`. */
  glb: Blob;
}

/** Reads a message; undefined if it is not part of the protocol. */
export function readMessage(data: string | ArrayBuffer): Incoming | undefined {
  const frame = typeof data === 'string' ? undefined : decodeFrame(data);
  const message = parseMessage(frame?.header ?? String(data));
  if (message?.type !== 'delta' && message?.type !== 'complete') {
    return message && { message, glb: new Blob() };
  }
  const { glb_base64 = '', ...answer } = message;
  const bytes = frame?.bytes ?? fromBase64(glb_base64);
  return { message: answer, glb: new Blob([bytes], { type: 'model/gltf-binary' }) };
}
