/** Keyboard control of the view, and accessible tabs. */

import { element } from '../shared/dom';
import type { Viewer } from '../viewer/viewer';

const TURN = Math.PI / 24;
const STEP = 0.05;
const ZOOM = 0.88;

/** Arrow keys orbit, with shift they pan; `+` and `-` zoom; letters press the buttons. */
export function controlView(viewer: Viewer): void {
  const press = (id: string) => () => element(id).click();
  const points = (change: number) => () => {
    const slider = element<HTMLInputElement>('point-size');
    slider.value = String(Number(slider.value) + change);
    slider.dispatchEvent(new Event('input'));
  };
  const actions: Record<string, () => void> = {
    ArrowLeft: () => viewer.motion.orbit(-TURN, 0),
    ArrowRight: () => viewer.motion.orbit(TURN, 0),
    ArrowUp: () => viewer.motion.orbit(0, TURN),
    ArrowDown: () => viewer.motion.orbit(0, -TURN),
    'Shift+ArrowLeft': () => viewer.motion.pan(-STEP, 0),
    'Shift+ArrowRight': () => viewer.motion.pan(STEP, 0),
    'Shift+ArrowUp': () => viewer.motion.pan(0, STEP),
    'Shift+ArrowDown': () => viewer.motion.pan(0, -STEP),
    '+': () => viewer.motion.zoom(ZOOM),
    '=': () => viewer.motion.zoom(ZOOM),
    '-': () => viewer.motion.zoom(1 / ZOOM),
    f: press('fit'),
    r: press('reset'),
    c: press('cameras'),
    i: press('pictures'),
    m: press('measure'),
    h: press('filter'),
    s: press('capture'),
    x: press('full-screen'),
    '[': points(-1),
    ']': points(1),
  };
  viewer.canvas.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) {
      return;
    }
    const arrow = event.shiftKey && event.key.startsWith('Arrow');
    const action = actions[arrow ? `Shift+${event.key}` : event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  });
}

/** Tabs: arrow keys move between them, and only the selected tab is in the tab order. */
export function controlTabs(changed: (panel: string) => void): void {
  const tabs = [...document.querySelectorAll<HTMLButtonElement>('[role="tab"]')];
  const choose = (chosen: HTMLButtonElement) => {
    for (const tab of tabs) {
      const selected = tab === chosen;
      tab.setAttribute('aria-selected', String(selected));
      tab.tabIndex = selected ? 0 : -1;
      element(tab.getAttribute('aria-controls') ?? '').hidden = !selected;
    }
    changed(chosen.id);
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener('click', () => choose(tab));
    tab.addEventListener('keydown', ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      const next = step && tabs[(index + step + tabs.length) % tabs.length];
      if (next) {
        next.focus();
        choose(next);
      }
    });
  });
}
