/** A temporary notification. */

import { element, setText } from './dom';

const SHOWN_MS = 7000;

export class Notice {
  private readonly box = element('notice');
  private timer: ReturnType<typeof setTimeout> | undefined;

  show(text: string): void {
    clearTimeout(this.timer);
    this.box.hidden = false;
    setText(this.box, text.charAt(0).toUpperCase() + text.slice(1));
    this.timer = setTimeout(() => this.hide(), SHOWN_MS);
  }

  hide(): void {
    clearTimeout(this.timer);
    this.box.hidden = true;
  }
}
