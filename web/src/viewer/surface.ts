/** What surrounds a view on every page: its background and full screen. */

import { reason } from '../shared/api';
import { element } from '../shared/dom';
import type { Viewer } from './viewer';

/** Gives the view the background of the page's colours, light or dark. */
export function followColours(viewer: Viewer): void {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const paint = () =>
    viewer.setBackground(getComputedStyle(document.documentElement).getPropertyValue('--view'));
  dark.addEventListener('change', paint);
  paint();
}

/** Connects the tools that every page has. */
export function connectTools(viewer: Viewer, problem: (message: string) => void): void {
  const on = (id: string, act: () => void) => element(id).addEventListener('click', act);
  on('fit', () => viewer.fit());
  on('reset', () => viewer.reset());
  const cameras = element<HTMLInputElement>('cameras');
  cameras.addEventListener('change', () => viewer.setCameras(cameras.checked));
  const size = element<HTMLInputElement>('point-size');
  size.addEventListener('input', () => viewer.setPointSize(Number(size.value)));
  offerFullScreen(element('full-screen'), element('view'), problem);
  followColours(viewer);
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
