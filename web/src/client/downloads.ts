/** The menu that saves the result in different formats. */

import type { Session } from '../protocol/session';
import { create, element } from '../shared/dom';
import { bytes } from '../shared/format';
import { isServed } from './address';

/** Formats that the server exports; the page already has the GLB. */
const FORMATS = [
  { format: 'ply', name: 'PLY', for: 'point cloud with colour and confidence' },
  { format: 'colmap', name: 'COLMAP', for: 'cameras, images and points' },
  { format: 'npz', name: 'NPZ', for: 'depth, confidence and cameras for NumPy' },
  { format: 'nerfstudio', name: 'nerfstudio', for: 'transforms.json with the images' },
];

export class Downloads {
  private readonly menu = element<HTMLDetailsElement>('save');
  private readonly list = element('formats');
  private url = '';

  constructor() {
    // Like other menus, it closes on a click elsewhere.
    document.addEventListener('click', ({ target }) => {
      if (!(target instanceof Node && this.menu.querySelector('summary')?.contains(target))) {
        this.menu.open = false;
      }
    });
    this.menu.addEventListener('keydown', ({ key }) => {
      if (key === 'Escape') {
        this.menu.open = false;
        this.menu.querySelector('summary')?.focus();
      }
    });
  }

  /** Offers the newest result of a session. */
  offer({ server, id }: Session, glb: Blob): void {
    URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(glb);
    const own = link('GLB', `for any glTF viewer, ${bytes(glb.size)}`, this.url);
    own.querySelector('a')?.setAttribute('download', `${id}.glb`);
    const path = `/ws/session/${encodeURIComponent(id)}/result`;
    const others = FORMATS.map(({ format, name, for: purpose }) => {
      const item = link(name, purpose, server.url(path, { format }));
      const anchor = item.querySelector('a');
      anchor?.setAttribute('download', '');
      if (anchor && !isServed()) {
        // For another origin the response headers decide whether the browser saves the file. An
        // error response must not replace this page.
        anchor.target = '_blank';
        anchor.rel = 'noopener';
      }
      return item;
    });
    this.list.replaceChildren(own, ...others);
    this.menu.hidden = false;
  }

  clear(): void {
    URL.revokeObjectURL(this.url);
    this.url = '';
    this.menu.hidden = true;
    this.menu.open = false;
  }
}

function link(name: string, purpose: string, href: string): HTMLLIElement {
  const item = create('li');
  const anchor = create('a', '', name);
  anchor.href = href;
  anchor.append(create('small', '', purpose));
  item.append(anchor);
  return item;
}
