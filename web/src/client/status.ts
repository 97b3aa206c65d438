/** The connection status, and the button to reconnect. */

import type { Link } from 'pointstream/engine';
import { element, setText } from '../shared/dom';
import type { Notice } from '../shared/notice';
import type { Log } from './log';

const TEXTS: Record<Link['state'], string> = {
  connecting: 'connecting',
  open: 'connected',
  lost: 'connection lost',
  ended: 'session ended',
};

export class LinkStatus {
  private dropped = false;

  constructor(
    private readonly log: Log,
    private readonly notice: Notice,
  ) {}

  show(link: Link): void {
    const text = TEXTS[link.state];
    if (link.state === 'lost') {
      const pause = pauseText(link.delay);
      showStatus(link.state, `${text}, ${pause}`);
      this.log.add(`${text}: ${pause}`, true);
    } else {
      showStatus(link.state, text);
    }
    if (link.state === 'ended') {
      this.log.add(`${text}: ${link.meaning}`, true);
      this.notice.show(`The session has ended: ${link.meaning}.`);
    } else if (this.dropped && link.state === 'open') {
      this.log.add('reconnected; the session continues');
      this.notice.show('Reconnected. The session continues.');
    }
    this.dropped = link.state === 'lost' || (this.dropped && link.state === 'connecting');
  }

  /** There is no session any more. */
  reset(): void {
    this.dropped = false;
    showStatus('none', 'no session');
  }
}

export function showStatus(link: Link['state'] | 'none', text: string): void {
  const pill = element('link');
  pill.dataset.link = link;
  setText(pill, text);
  element('retry').hidden = link !== 'lost';
}

function pauseText(seconds: number): string {
  return `reconnecting in ${Math.round(10 * seconds) / 10} s`;
}
