/** The table of sessions, with links to open and buttons to delete them. */

import { create, element, setText } from '../shared/dom';
import { age, bytes, count } from '../shared/format';
import type { ListedSession, Snapshot } from './data';
import { cells, fill, fillState, Rows } from './rows';

/** Time in milliseconds to confirm a deletion by a second press. */
const SURE_MS = 4000;

export class SessionTable {
  private now = 0;
  private readonly rows: Rows<ListedSession>;

  constructor(remove: (session: string) => Promise<void>) {
    this.rows = new Rows(
      element('sessions'),
      ({ session_id }) => session_id,
      (session) => makeRow(session.session_id, remove),
      (row, session) => this.update(row, session),
    );
  }

  show({ sessions, stats }: Snapshot): void {
    this.now = stats.time;
    const newestFirst = [...sessions.sessions].reverse();
    this.rows.show(newestFirst);
    element('no-sessions').hidden = newestFirst.length > 0;
    const { total_sessions, max_sessions } = sessions.stats;
    setText(element('sessions-count'), `${count(total_sessions)} of ${count(max_sessions)}`);
  }

  private update(row: HTMLElement, session: ListedSession): void {
    fillState(row, 1, session.status);
    fill(row, 2, count(session.image_count));
    fill(row, 3, bytes(session.image_bytes));
    fill(row, 4, count(session.connections));
    fill(row, 5, count(session.requests));
    fill(row, 6, `${this.since(session.last_activity)} ago`);
    fill(row, 7, this.since(session.created_at));
  }

  private since(time: number): string {
    return age(this.now - time);
  }
}

function makeRow(id: string, remove: (session: string) => Promise<void>): HTMLElement {
  const row = cells(9, [2, 3, 4, 5]);
  row.dataset.session = id;
  const name = create('code', '', id.slice(0, 8));
  name.title = id;
  row.children[0]?.append(name);
  const open = create('a', 'button', 'Open');
  open.href = `./?session=${encodeURIComponent(id)}`;
  open.setAttribute('aria-label', `Open session ${id.slice(0, 8)}`);
  row.children[8]?.append(open, deleteButton(id, remove));
  row.children[8]?.classList.add('actions');
  return row;
}

/** A button that deletes on the second press. */
function deleteButton(id: string, remove: (session: string) => Promise<void>): HTMLButtonElement {
  const button = create('button');
  button.type = 'button';
  let timer: ReturnType<typeof setTimeout> | undefined;
  const say = (word: string) => {
    button.textContent = word;
    button.setAttribute('aria-label', `${word} session ${id.slice(0, 8)}`);
  };
  const calm = () => {
    clearTimeout(timer);
    timer = undefined;
    button.classList.remove('sure');
    say('Delete');
  };
  calm();
  // Ignore key repeats: a held key is one press.
  button.addEventListener('keydown', (event) => {
    if (event.repeat) {
      event.preventDefault();
    }
  });
  button.addEventListener('click', async ({ detail }) => {
    // Ignore the second click of a double click: it is one press.
    if (detail > 1) {
      return;
    }
    if (timer === undefined) {
      button.classList.add('sure');
      say('Delete?');
      timer = setTimeout(calm, SURE_MS);
      return;
    }
    calm();
    button.disabled = true;
    try {
      await remove(id);
    } finally {
      button.disabled = false;
    }
  });
  return button;
}
