/** Saves files that the page has. */

import { create } from './dom';

/** How long a file is kept for the browser to save it, in milliseconds. */
const KEPT_MS = 60_000;

/** Lets the browser save a file under a name. */
export function saveFile(file: Blob, name: string): void {
  const anchor = create('a');
  anchor.href = URL.createObjectURL(file);
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), KEPT_MS);
}
