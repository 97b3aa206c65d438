/** What comes from the server, text or binary. */

import { fromBase64 } from './base64';
import { decodeFrame } from './frames';
import { parseMessage, type ServerMessage } from './messages';

export interface Incoming {
  message: ServerMessage;
  /** The scene of a `delta` or `complete`. */
  glb: Blob;
}

/** Reads a message; nothing if it is none of the protocol. */
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
