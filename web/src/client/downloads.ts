/** The menu that saves the result in different formats. */

import type { Engine, Server } from 'pointstream/engine';
import { reason } from '../shared/api';
import { create, element } from '../shared/dom';
import { bytes } from '../shared/format';
import { isServed } from './address';

/** Formats that the server exports; the page often has the GLB. */
const FORMATS = [
  { format: 'ply', file: 'ply', name: 'PLY', for: 'point cloud with colour and confidence' },
  { format: 'colmap', file: 'zip', name: 'COLMAP', for: 'cameras, images and points' },
  { format: 'npz', file: 'npz', name: 'NPZ', for: 'depth, confidence and cameras for NumPy' },
  {
    format: 'nerfstudio',
    file: 'zip',
    name: 'nerfstudio',
    for: 'transforms.json with the images',
  },
];
/** Longest time in milliseconds until the server has written a file. */
const WRITING_MS = 1_800_000;

export class Downloads {
  private readonly menu = element<HTMLDetailsElement>('save');
  private readonly list = element('formats');
  private url = '';

  /** @param failed called with the reason if a file cannot be fetched. */
  constructor(private readonly failed: (why: string) => void) {
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

  /** Offers the newest result of a session. `glb` is its file; undefined if the page has only parts. */
  offer({ server, id }: Engine, glb: Blob | undefined): void {
    URL.revokeObjectURL(this.url);
    this.url = glb ? URL.createObjectURL(glb) : '';
    const path = `/ws/session/${encodeURIComponent(id)}/result`;
    const exported = (name: string, purpose: string, format: string, extension: string) => {
      const item = link(name, purpose, server.url(path, { format }));
      const anchor = item.querySelector('a');
      anchor?.setAttribute('download', '');
      if (anchor && !isServed()) {
        // For another origin the response headers decide whether the browser saves the file. An
        // error response must not replace this page.
        anchor.target = '_blank';
        anchor.rel = 'noopener';
      }
      anchor?.addEventListener('click', (event) => {
        // A link carries no token.
        if (server.tokens.for(path)) {
          event.preventDefault();
          void this.fetch(server, path, format, `${id}.${extension}`);
        }
      });
      return item;
    };
    const viewers = 'for any glTF viewer';
    let own: HTMLLIElement;
    if (glb) {
      own = link('GLB', `${viewers}, ${bytes(glb.size)}`, this.url);
      own.querySelector('a')?.setAttribute('download', `${id}.glb`);
    } else {
      own = exported('GLB', viewers, 'glb', 'glb');
    }
    const others = FORMATS.map(({ format, file, name, for: purpose }) =>
      exported(name, purpose, format, file),
    );
    this.list.replaceChildren(own, ...others);
    this.menu.hidden = false;
  }

  private async fetch(server: Server, path: string, format: string, name: string): Promise<void> {
    try {
      const { blob } = await server.getFile(path, { format }, WRITING_MS);
      const anchor = create('a');
      anchor.href = URL.createObjectURL(blob);
      anchor.download = name;
      anchor.click();
      setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
    } catch (error) {
      this.failed(reason(error));
    }
  }

  /** Withdraws the files that the server writes: it no longer has the session. */
  keepOwn(): void {
    if (this.url) {
      this.list.replaceChildren(...[...this.list.children].slice(0, 1));
    } else {
      this.clear();
    }
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
