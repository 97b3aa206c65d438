/** The list of this browser's sessions, and the name of the current one. */

import { type Engine, type Server, ServerError } from 'pointstream/engine';
import { create, element, setText } from '../shared/dom';
import { plural } from '../shared/format';
import { type Entry, entriesOf, entry, forget, keepOnly, remember } from './history';

/** Longer side of a remembered thumbnail, in pixels. */
const PICTURE = 96;
const QUALITY = 0.7;
/** Codes that close a connection when the session is unknown, expired or deleted. */
const GONE = [4404, 4408, 4410];
/** What no file system takes in a name, and spaces. */
const UNFIT = /[\\/:*?"<>|\s\p{Cc}]+/gu;
const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

export class Sessions {
  private readonly card = element('sessions-card');
  private readonly list = element('sessions');
  private readonly row = element('session-name-row');
  private readonly input = element<HTMLInputElement>('session-name');
  private session: Engine | undefined;
  private server: Server | undefined;

  /** @param open called with the session that was chosen. */
  constructor(private readonly open: (id: string) => void) {
    this.input.addEventListener('change', () => this.rename(this.input.value.trim()));
  }

  /** The current session. */
  use(session: Engine): void {
    const { server, id } = session;
    this.session = session;
    this.server = server;
    const guarded = server.tokens.for(`/ws/session/${id}`) !== undefined;
    remember(server.base, id, { guarded });
    const known = entry(server.base, id);
    this.input.value = known?.name ?? '';
    this.input.placeholder = known ? whenOf(known) : '';
    this.show();
  }

  leave(): void {
    this.session = undefined;
    this.show();
  }

  /** The session has ended: it is forgotten if the server no longer has it. */
  gone(error: Error): void {
    if (this.session && error instanceof ServerError && GONE.includes(error.status ?? 0)) {
      this.forget(this.session.server, this.session.id);
    }
  }

  forget(server: Server, id: string): void {
    forget(server.base, id);
    this.show();
  }

  /** Names the current session, unless it has a name. */
  suggest(name: string): void {
    if (this.session && name && !this.input.value) {
      this.input.value = name;
      this.rename(name);
    }
  }

  /** Notes how many images the current session has, and its first thumbnail. */
  note(picture: HTMLCanvasElement | undefined): void {
    const { session } = this;
    if (!session || session.isGone) {
      return;
    }
    const known = entry(session.server.base, session.id);
    const images = session.uploads.foreign + session.uploads.in('acknowledged').length;
    const change: Partial<Entry> = {};
    if (known && known.images !== images) {
      change.images = images;
    }
    if (known && !known.picture && picture) {
      change.picture = small(picture);
    }
    if (Object.keys(change).length > 0) {
      remember(session.server.base, session.id, change);
      this.show();
    }
  }

  /** Asks the server which of the sessions it still has. */
  async check(server: Server): Promise<void> {
    this.server = server;
    this.show();
    const asked = entriesOf(server.base);
    // Without a token nobody is asked for one: the list can wait.
    const guarded = asked.some((entry) => entry.guarded) && !server.tokens.for('/ws/sessions');
    if (asked.length === 0 || guarded) {
      return;
    }
    try {
      const { sessions } = await server.get<{ sessions: { session_id: string }[] }>('/ws/sessions');
      keepOnly(server.base, asked, new Set(sessions.map(({ session_id }) => session_id)));
      this.show();
    } catch {
      // The server does not answer, or not this user.
    }
  }

  /** The name of files of the current session without an ending: what it is called, and the date. */
  get fileName(): string {
    const known = this.session && entry(this.session.server.base, this.session.id);
    const begun = new Date(known?.begun ?? Date.now());
    const two = (value: number) => String(value).padStart(2, '0');
    const day = [begun.getFullYear(), two(begun.getMonth() + 1), two(begun.getDate())].join('-');
    const name = (known?.name ?? '').replace(UNFIT, '-').replace(/^[-.]+|[-.]+$/g, '');
    const time = `${two(begun.getHours())}${two(begun.getMinutes())}`;
    return name ? `${name}-${day}` : `pointstream-${day}-${time}`;
  }

  private rename(name: string): void {
    if (this.session) {
      remember(this.session.server.base, this.session.id, { name });
      this.show();
    }
  }

  private show(): void {
    const entries = this.server ? entriesOf(this.server.base) : [];
    this.card.hidden = entries.length === 0;
    this.row.hidden = this.session === undefined;
    setText(element('sessions-count'), entries.length > 0 ? String(entries.length) : '');
    this.list.replaceChildren(...entries.map((entry) => this.item(entry)));
  }

  private item(entry: Entry): HTMLLIElement {
    const item = create('li');
    const button = create('button', 'session');
    button.type = 'button';
    button.setAttribute('aria-current', String(entry.id === this.session?.id));
    const picture = create('img');
    picture.alt = '';
    picture.hidden = !entry.picture;
    picture.src = entry.picture;
    const text = create('span', '', entry.name || whenOf(entry));
    const when = entry.name ? `, ${whenOf(entry)}` : '';
    text.append(create('small', '', `${plural(entry.images, 'photo')}${when}`));
    button.append(picture, text);
    button.addEventListener('click', () => this.open(entry.id));
    item.append(button);
    return item;
  }
}

function whenOf({ begun }: Entry): string {
  return WHEN.format(begun);
}

function small(picture: HTMLCanvasElement): string {
  const scale = Math.min(1, PICTURE / Math.max(picture.width, picture.height, 1));
  const canvas = create('canvas');
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  canvas.getContext('2d')?.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/jpeg', QUALITY);
}
