/** The dialog to keep or delete a session when leaving it. */

import type { Engine } from 'pointstream/engine';
import { element, setText } from '../shared/dom';
import { plural } from '../shared/format';

export type Choice = 'keep' | 'delete' | 'stay';

const CHOICES: Record<string, Choice> = { 'leave-keep': 'keep', 'leave-delete': 'delete' };

export class LeaveDialog {
  private readonly dialog = element<HTMLDialogElement>('leave');
  private readonly remove = element<HTMLButtonElement>('leave-delete');

  constructor() {
    for (const id of ['leave-keep', 'leave-delete', 'leave-cancel']) {
      element(id).addEventListener('click', () => this.dialog.close(CHOICES[id] ?? 'stay'));
    }
  }

  /** Asks whether to keep the session; does not ask if the server no longer has it. */
  async ask(session: Engine): Promise<Choice> {
    if (session.isGone) {
      return 'keep';
    }
    // Enabled once the number of other clients is known.
    this.remove.disabled = true;
    setText(element('leave-note'), 'The server keeps it until it expires.');
    this.dialog.returnValue = 'stay';
    this.dialog.showModal();
    void this.describe(session);
    await new Promise((resolve) => {
      this.dialog.addEventListener('close', resolve, { once: true });
    });
    return CHOICES[`leave-${this.dialog.returnValue}`] ?? 'stay';
  }

  private async describe(session: Engine): Promise<void> {
    try {
      const { image_count, connections = 1 } = await session.resource.info();
      const others = connections - 1;
      const shared = others > 0 ? ` ${plural(others, 'other client')} would lose it, too.` : '';
      setText(
        element('leave-note'),
        `The server keeps its ${plural(image_count, 'image')} and its result until the session ` +
          `expires. Deleting removes them now.${shared}`,
      );
      this.remove.disabled = false;
    } catch {
      // The server does not respond, so deleting stays disabled.
    }
  }
}
