/** What people do with a whole session: ask it for results, open, reopen, run again, leave. */

import type { Engine } from 'pointstream/engine';
import { reason } from '../shared/api';
import { element } from '../shared/dom';
import { Once } from '../shared/once';
import type { ParameterForm } from './form';
import { LeaveDialog } from './leaving';
import type { Log } from './log';

/** The page's place for sessions. */
export interface Place {
  readonly current: Engine | undefined;
  /** Leaves the session; the server keeps it. */
  leave(): void;
  /** Leaves the session for another one. */
  go(id: string): Promise<void>;
  /** The session was deleted. */
  deleted(session: Engine): void;
  problem(message: string): void;
}

export class Operations {
  private readonly moving = new Once<string>();
  private readonly leaving = new LeaveDialog();

  constructor(
    private readonly place: Place,
    private readonly form: ParameterForm,
    private readonly log: Log,
  ) {}

  /** Connects the buttons. */
  connect(): void {
    const on = (id: string, act: () => void) => element(id).addEventListener('click', act);
    on('update', () => this.place.current?.ask('update'));
    on('finish', () => this.place.current?.ask('finish'));
    on('cancel', () => void this.cancel());
    on('reopen', () => void this.reopen());
    on('rerun', () => void this.rerun());
    on('new', () => void this.begin());
  }

  /** Goes to another session. The one before stays on the server; its photos may not be there yet. */
  async open(id: string): Promise<void> {
    const session = this.place.current;
    if (session?.id === id) {
      return;
    }
    if (!session || session.isOver || session.uploads.drained) {
      await this.place.go(id);
    } else if (await this.leaves(session)) {
      await this.place.go(id);
    }
  }

  /** Takes the session's requests back. */
  private async cancel(): Promise<void> {
    try {
      await this.place.current?.cancelAll();
    } catch (error) {
      this.place.problem(`the request goes on: ${reason(error)}`);
    }
  }

  /** Goes on with the completed session. */
  private async reopen(): Promise<void> {
    await this.move(async (session) => {
      await session.resource.reopen();
      return session.id;
    });
  }

  /** Goes to a new session with the same images, and with what was changed in the form since. */
  private async rerun(): Promise<void> {
    const parameters = this.form.changes();
    if (parameters) {
      await this.move((session) => session.resource.rerun(parameters));
    }
  }

  /** Leaves the session for the one that an operation gives. */
  private async move(operation: (session: Engine) => Promise<string>): Promise<void> {
    const session = this.place.current;
    if (!session) {
      return;
    }
    try {
      const id = await this.moving.do(() => operation(session));
      if (session === this.place.current) {
        await this.place.go(id);
      }
    } catch (error) {
      if (session === this.place.current) {
        this.place.problem(reason(error));
      }
    }
  }

  /** Starts over, after the user has chosen to keep or delete the old session. */
  private async begin(): Promise<void> {
    const session = this.place.current;
    if (!session || (await this.leaves(session))) {
      this.place.leave();
    }
  }

  /** Asks whether to keep the session, and deletes it if not. Returns whether it is to be left. */
  private async leaves(session: Engine): Promise<boolean> {
    const choice = await this.leaving.ask(session);
    if (choice === 'stay' || session !== this.place.current) {
      return false;
    }
    if (choice === 'delete') {
      this.place.leave();
      try {
        await session.resource.delete();
        this.place.deleted(session);
        this.log.add(`session ${session.id} was deleted`);
      } catch (error) {
        this.place.problem(`the session was not deleted: ${reason(error)}`);
      }
    }
    return true;
  }
}
