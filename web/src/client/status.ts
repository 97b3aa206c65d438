/** The connection status, and the button to reconnect. */

import type { Link } from 'pointstream/engine';
import { element, setText } from '../shared/dom';

export const LINK_TEXTS: Record<Link['state'], string> = {
  connecting: 'connecting',
  open: 'connected',
  lost: 'connection lost',
  ended: 'session ended',
};

export function showStatus(link: Link['state'] | 'none', text: string): void {
  const pill = element('link');
  pill.dataset.link = link;
  setText(pill, text);
  element('retry').hidden = link !== 'lost';
}
