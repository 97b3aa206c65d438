/** A link with which others watch the session. */

import type { Engine } from 'pointstream/engine';
import { reason } from '../shared/api';
import { element, setText } from '../shared/dom';

/** Names of a machine for itself. */
const LOCAL = ['localhost', '127.0.0.1', '[::1]'];

/** The address of the page that watches a session. The token stays in the browser: it is behind the #. */
function watchAddress({ server, id }: Engine, token: string | undefined): URL {
  const url = new URL(server.url('/watch', { session: id }));
  url.hash = token ?? '';
  return url;
}

export class Share {
  private readonly dialog = element<HTMLDialogElement>('share-dialog');
  private readonly link = element<HTMLInputElement>('share-link');
  private readonly copy = element('share-copy');

  constructor(
    private readonly session: () => Engine | undefined,
    private readonly problem: (why: string) => void,
  ) {
    element('share').addEventListener('click', () => void this.open());
    element('share-close').addEventListener('click', () => this.dialog.close());
    this.copy.addEventListener('click', () => void this.copyLink());
    this.link.addEventListener('focus', () => this.link.select());
  }

  private async open(): Promise<void> {
    const session = this.session();
    if (!session) {
      return;
    }
    try {
      const token = await session.resource.watchToken();
      if (session.signal.aborted) {
        return;
      }
      const url = watchAddress(session, token);
      this.link.value = url.href;
      setText(this.copy, 'Copy');
      setText(element('share-note'), notes(url, token).join(' '));
      this.dialog.showModal();
    } catch (error) {
      if (!session.signal.aborted) {
        this.problem(`there is no link: ${reason(error)}`);
      }
    }
  }

  private async copyLink(): Promise<void> {
    this.link.select();
    try {
      await navigator.clipboard.writeText(this.link.value);
      setText(this.copy, 'Copied');
    } catch {
      // Without HTTPS the page may not; the link is selected.
      setText(this.copy, 'Press Ctrl+C');
    }
  }
}

function notes(url: URL, token: string | undefined): string[] {
  const notes = [
    token
      ? 'Whoever has the link can save the scene and its photos, and change nothing.'
      : 'This server asks nobody for a token: whoever has the link could open the session and ' +
        'change it, too.',
    'It works as long as the server keeps the session.',
  ];
  if (LOCAL.includes(url.hostname)) {
    notes.push(
      'Its address is of this machine alone: for others, open this page by its name first.',
    );
  }
  return notes;
}
