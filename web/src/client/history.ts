/** The sessions of this browser, in its storage: names and thumbnails, and never a token. */

const KEY = 'pointstream.sessions';
/** Most sessions that are remembered, of all servers. */
const MOST = 40;

export interface Entry {
  id: string;
  server: string;
  /** The name that people gave; empty if they gave none. */
  name: string;
  /** When this browser first had it, in milliseconds since 1970. */
  begun: number;
  images: number;
  /** A small image as a `data:` address; empty if there is none yet. */
  picture: string;
  /** Whether the server asks for a token. */
  guarded: boolean;
  /** Units of length per unit of the scene, and their name, if people have set them. */
  scale?: number;
  unit?: string;
}

/** The sessions of a server, the newest first. */
export function entriesOf(server: string): Entry[] {
  return read().filter((entry) => entry.server === server);
}

export function entry(server: string, id: string): Entry | undefined {
  return read().find((entry) => entry.server === server && entry.id === id);
}

/** Adds a session, or changes what is known of it. */
export function remember(server: string, id: string, change: Partial<Entry>): void {
  const all = read();
  const known = all.find((entry) => entry.server === server && entry.id === id);
  if (known) {
    Object.assign(known, change);
  } else {
    const fresh = { name: '', begun: Date.now(), images: 0, picture: '', guarded: false };
    all.unshift({ ...fresh, ...change, id, server });
  }
  write(all.slice(0, MOST));
}

export function forget(server: string, id: string): void {
  write(read().filter((entry) => entry.server !== server || entry.id !== id));
}

/** Forgets the sessions that the server no longer has, of those that `asked` names. */
export function keepOnly(server: string, asked: Entry[], ids: Set<string>): void {
  for (const { id } of asked) {
    if (!ids.has(id)) {
      forget(server, id);
    }
  }
}

/** Used where storage is disabled: the list then lasts until the page is left. */
let memory: Entry[] = [];

function read(): Entry[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(found) ? found.filter(isEntry) : [];
  } catch {
    return memory;
  }
}

function write(entries: Entry[]): void {
  memory = entries;
  try {
    localStorage.setItem(KEY, JSON.stringify(entries));
  } catch {
    // Storage is disabled or full.
  }
}

function isEntry(value: unknown): value is Entry {
  return typeof value === 'object' && value !== null && 'id' in value && 'server' in value;
}
