/** The buttons below the controls. */

import type { Engine } from 'pointstream/engine';
import { element } from '../shared/dom';

/**
 * Enables the buttons of the possible requests.
 *
 * @param mayLeave whether the button for a new session is shown.
 */
export function showActions(session: Engine | undefined, mayLeave: boolean): void {
  const images = session
    ? session.uploads.foreign + session.uploads.in('queued', 'sent', 'acknowledged').length
    : 0;
  const ready = Boolean(session?.takesWork) && images > 0;
  element<HTMLButtonElement>('update').disabled = !ready || Boolean(session?.busy);
  element<HTMLButtonElement>('finish').disabled = !ready;
  const over = Boolean(session?.isOver);
  element('update').hidden = over;
  element('finish').hidden = over;
  element('stop').hidden = over || !session?.busy;
  const completed = over && !session?.isGone;
  element('reopen').hidden = !completed;
  element('rerun').hidden = !completed;
  element('new').hidden = !mayLeave;
  element('new').classList.toggle('primary', over);
}
