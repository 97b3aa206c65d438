/** Entry point of the dashboard: polls the server and updates the panels. */

import { reason, Server } from '../shared/api';
import { Backoff } from '../shared/backoff';
import { element, setText } from '../shared/dom';
import { age } from '../shared/format';
import { Notice } from '../shared/notice';
import { SignIn } from '../shared/sign-in';
import { look } from './data';
import { Panels } from './panels';
import { SessionTable } from './sessions';
import { ActorTree } from './tree';

const PAUSE_MS = 1500;
const LONGEST_PAUSE_MS = 20_000;
/** Age in milliseconds above which the data are marked as stale. */
const STALE_MS = 6000;

class Dashboard {
  private readonly server = Server.ofPage();
  private readonly backoff = new Backoff(PAUSE_MS, LONGEST_PAUSE_MS);
  private readonly panels = new Panels();
  private readonly tree = new ActorTree();
  private readonly notice = new Notice();
  private readonly sessions = new SessionTable((id) => this.remove(id));
  private timer: ReturnType<typeof setTimeout> | undefined;
  private looking = false;
  private seen = 0;
  private problem = '';

  start(): void {
    new SignIn(
      () => this.server.credentials,
      () => void this.refresh(),
    );
    void this.refresh();
    setInterval(() => this.showAge(), 1000);
    // A hidden page does not poll.
    document.addEventListener('visibilitychange', () => void this.refresh());
    globalThis.addEventListener('online', () => void this.refresh());
  }

  /** Polls the server, and schedules the next poll. */
  private async refresh(): Promise<void> {
    clearTimeout(this.timer);
    if (this.looking || document.hidden) {
      return;
    }
    this.looking = true;
    let pause = PAUSE_MS;
    try {
      const snapshot = await look(this.server);
      this.sessions.show(snapshot);
      this.panels.show(snapshot);
      this.tree.show(snapshot.actors);
      this.seen = Date.now();
      this.problem = '';
      this.backoff.reset();
    } catch (error) {
      this.problem = reason(error);
      pause = this.backoff.next();
    } finally {
      this.looking = false;
    }
    this.showAge();
    this.timer = setTimeout(() => void this.refresh(), pause);
  }

  private showAge(): void {
    const silence = Date.now() - this.seen;
    const stale = this.problem !== '' || silence > STALE_MS;
    const pill = element('fresh');
    pill.dataset.fresh = stale ? 'stale' : 'live';
    document.body.classList.toggle('stale', stale);
    pill.title = this.problem;
    if (!stale) {
      setText(pill, 'live');
    } else if (this.seen > 0) {
      setText(pill, `no answer for ${age(silence / 1000)}`);
    } else {
      setText(pill, this.problem || 'loading');
    }
  }

  private async remove(id: string): Promise<void> {
    try {
      await this.server.delete(`/ws/session/${id}`);
    } catch (error) {
      this.notice.show(reason(error));
    }
    await this.refresh();
  }
}

new Dashboard().start();
