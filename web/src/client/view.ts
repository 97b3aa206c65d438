/** The view and its buttons. */

import { reason } from '../shared/api';
import { element } from '../shared/dom';
import { Viewer } from '../viewer/viewer';
import { controlView } from './keyboard';

export type View = Pick<Viewer, 'show' | 'showPictures' | 'clear'>;

/** Creates the view; reports a problem and returns undefined without WebGL. */
export function makeView(problem: (message: string) => void): View | undefined {
  try {
    return connect(new Viewer(element('view')));
  } catch (error) {
    problem(reason(error));
    return undefined;
  }
}

function connect(viewer: Viewer): Viewer {
  const cameras = element<HTMLInputElement>('cameras');
  const pictures = element<HTMLInputElement>('pictures');
  const size = element<HTMLInputElement>('point-size');
  element('fit').addEventListener('click', () => viewer.fit());
  element('reset').addEventListener('click', () => viewer.reset());
  cameras.addEventListener('change', () => viewer.setCameras(cameras.checked));
  pictures.addEventListener('change', () => viewer.setPictures(pictures.checked));
  size.addEventListener('input', () => viewer.setPointSize(Number(size.value)));
  controlView(viewer);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const paint = () =>
    viewer.setBackground(getComputedStyle(document.documentElement).getPropertyValue('--view'));
  dark.addEventListener('change', paint);
  paint();
  return viewer;
}
