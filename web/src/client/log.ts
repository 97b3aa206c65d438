/** The event log, newest last. */

import { create, element } from '../shared/dom';

/** Maximum number of lines. */
const LINES = 300;

export class Log {
  private readonly list = element('log');

  add(text: string, bad = false): void {
    const line = create('li', bad ? 'bad' : '');
    const time = create('time', '', new Date().toLocaleTimeString('en-GB'));
    line.append(time, ` ${text}`);
    const atEnd = this.list.scrollTop + this.list.clientHeight >= this.list.scrollHeight - 8;
    this.list.append(line);
    while (this.list.children.length > LINES) {
      this.list.firstElementChild?.remove();
    }
    if (atEnd) {
      this.list.scrollTop = this.list.scrollHeight;
    }
  }
}
