/** What surrounds a view on every page: its background and full screen. */

import { reason } from '../shared/api';
import type { Viewer } from './viewer';

/** Gives the view the background of the page's colours, light or dark. */
export function followColours(viewer: Viewer): void {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const paint = () =>
    viewer.setBackground(getComputedStyle(document.documentElement).getPropertyValue('--view'));
  dark.addEventListener('change', paint);
  paint();
}

/** Lets a button show an element on the full screen. */
export function offerFullScreen(
  button: HTMLElement,
  host: HTMLElement,
  problem: (message: string) => void,
): void {
  // Phones of some makers have it for videos alone.
  button.hidden = !document.fullscreenEnabled;
  button.addEventListener('click', () => {
    const change = document.fullscreenElement
      ? document.exitFullscreen()
      : host.requestFullscreen();
    change.catch((error: unknown) => problem(reason(error)));
  });
  document.addEventListener('fullscreenchange', () => {
    button.setAttribute('aria-pressed', String(document.fullscreenElement === host));
  });
}
