/** The buttons below the controls. */

import type { Engine } from 'pointstream/engine';
import { element, setText } from '../shared/dom';

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
  const completed = over && !session?.isGone;
  element('reopen').hidden = !completed;
  element('rerun').hidden = !completed;
  element('new').hidden = !mayLeave;
  element('share').hidden = !session || session.isGone;
  element('new').classList.toggle('primary', over);
  // What becomes of more images.
  const next = element('next');
  next.hidden = !over;
  setText(
    next,
    completed
      ? 'This session is finished. More images begin a new one; “Reopen” lets this one take them.'
      : 'This session has ended. More images begin a new one.',
  );
  element('view').dataset.drop = over ? 'Drop to begin a new session' : 'Drop to add images';
}
