/** The menu that saves the result in different formats. */

import type { Engine, Metadata } from 'pointstream/engine';
import { reason } from '../shared/api';
import { create, element, setText } from '../shared/dom';
import { bytes } from '../shared/format';
import { saveFile } from '../shared/save';

interface Format {
  format: string;
  /** The ending of its files. */
  file: string;
  name: string;
  purpose: string;
  /** Bytes of a file for each point, about; those of photos at full size depend on the photos. */
  perPoint?: number;
  /** Bytes of a file without points. */
  empty?: number;
}

const GLB: Format = { format: 'glb', file: 'glb', name: 'GLB', purpose: 'for any glTF viewer' };
/** Formats that the server exports; the page often has the GLB. */
const FORMATS: Format[] = [
  GLB,
  {
    format: 'html',
    file: 'html',
    name: 'Web page',
    purpose: 'to look at and share, without a server',
    perPoint: 21.3,
    empty: 710_000,
  },
  {
    format: 'ply',
    file: 'ply',
    name: 'PLY',
    purpose: 'point cloud with colour and confidence',
    perPoint: 19,
  },
  {
    format: 'laz',
    file: 'laz',
    name: 'LAZ',
    purpose: 'points for programs of surveying and maps',
    perPoint: 9,
  },
  {
    format: 'e57',
    file: 'e57',
    name: 'E57',
    purpose: 'points for exchange between surveyors',
    perPoint: 15,
  },
  {
    format: 'mesh_glb',
    file: 'mesh.glb',
    name: 'Mesh',
    purpose: 'a surface of triangles as GLB',
    perPoint: 9,
  },
  {
    format: 'mesh_ply',
    file: 'mesh.ply',
    name: 'Mesh, PLY',
    purpose: 'the same for MeshLab and Blender',
    perPoint: 9,
  },
  {
    format: 'mesh_obj',
    file: 'obj',
    name: 'Mesh, OBJ',
    purpose: 'the same as text for most 3D programs',
    perPoint: 22,
  },
  {
    format: 'csv',
    file: 'csv',
    name: 'CSV',
    purpose: 'points for tables and scripts',
    perPoint: 57,
  },
  {
    format: 'colmap',
    file: 'colmap.zip',
    name: 'COLMAP',
    purpose: 'cameras, images and points',
    perPoint: 82,
  },
  {
    format: 'colmap_original',
    file: 'original.colmap.zip',
    name: 'COLMAP, full size',
    purpose: 'the same with the photos at full size',
  },
  {
    format: 'npz',
    file: 'npz',
    name: 'NPZ',
    purpose: 'depth, confidence and cameras for NumPy',
  },
  {
    format: 'nerfstudio',
    file: 'nerfstudio.zip',
    name: 'nerfstudio',
    purpose: 'transforms.json with images and depth',
    perPoint: 26,
  },
  {
    format: 'nerfstudio_original',
    file: 'original.nerfstudio.zip',
    name: 'nerfstudio, full size',
    purpose: 'the same with the photos at full size',
  },
];
/** Formats that the server has at once; asking for the size of others would make it write them. */
const AT_ONCE = ['glb', 'npz'];
/** Longest time in milliseconds until the server has written a file. */
const WRITING_MS = 1_800_000;

interface Item {
  format: Format;
  button: HTMLButtonElement;
  note: HTMLElement;
}

export class Downloads {
  private readonly menu = element<HTMLDetailsElement>('save');
  private readonly list = element('formats');
  private items: Item[] = [];
  private session: Engine | undefined;
  private glb: Blob | undefined;
  private sized = false;

  /**
   * @param fileName gives the name of a file without its ending.
   * @param failed called with the reason if a file cannot be fetched.
   */
  constructor(
    private readonly fileName: () => string,
    private readonly failed: (why: string) => void,
  ) {
    // Like other menus, it closes on a click elsewhere.
    document.addEventListener('click', ({ target }) => {
      if (!(target instanceof Node && this.menu.contains(target))) {
        this.menu.open = false;
      }
    });
    this.menu.addEventListener('toggle', () => {
      if (this.menu.open) {
        void this.measure();
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
  offer(session: Engine, { num_points }: Metadata, glb: Blob | undefined): void {
    this.session = session;
    this.glb = glb;
    this.sized = false;
    this.items = FORMATS.map((format) => this.item(format));
    if (glb) {
      this.say('glb', bytes(glb.size));
    }
    if (num_points !== undefined) {
      for (const { format, perPoint, empty = 0 } of FORMATS) {
        if (perPoint !== undefined) {
          this.say(format, `about ${bytes(empty + perPoint * num_points)}`);
        }
      }
    }
    this.list.replaceChildren(...this.items.map(({ button }) => entry(button)));
    this.menu.hidden = false;
  }

  /** Withdraws the files that the server writes: it no longer has the session. */
  keepOwn(): void {
    if (!this.glb) {
      this.clear();
      return;
    }
    this.sized = true;
    this.items = this.items.filter(({ format }) => format === GLB);
    this.list.replaceChildren(...this.items.map(({ button }) => entry(button)));
  }

  clear(): void {
    this.session = undefined;
    this.glb = undefined;
    this.menu.hidden = true;
    this.menu.open = false;
  }

  private item(format: Format): Item {
    const button = create('button', '', format.name);
    button.type = 'button';
    const note = create('small', '', format.purpose);
    button.append(note);
    button.addEventListener('click', () => void this.save(format));
    return { format, button, note };
  }

  private say(format: string, text: string): void {
    const item = this.items.find((item) => item.format.format === format);
    if (item) {
      setText(item.note, `${item.format.purpose}, ${text}`);
    }
  }

  /** Asks for the sizes of the files that the server has. */
  private async measure(): Promise<void> {
    const { session } = this;
    if (!session || this.sized) {
      return;
    }
    this.sized = true;
    for (const format of AT_ONCE) {
      if (format === 'glb' && this.glb) {
        continue;
      }
      try {
        const size = await session.resource.size(format);
        if (size !== undefined && session === this.session) {
          this.say(format, bytes(size));
        }
      } catch {
        // It is offered without its size.
      }
    }
  }

  private async save({ format, file }: Format): Promise<void> {
    const { session } = this;
    if (!session) {
      return;
    }
    const name = `${this.fileName()}.${file}`;
    if (format === 'glb' && this.glb) {
      this.menu.open = false;
      saveFile(this.glb, name);
      return;
    }
    this.say(format, 'being written …');
    try {
      const blob = await session.resource.file(format, { silence: WRITING_MS });
      saveFile(blob, name);
      this.say(format, bytes(blob.size));
      this.menu.open = false;
    } catch (error) {
      this.say(format, 'not saved');
      this.failed(reason(error));
    }
  }
}

function entry(button: HTMLButtonElement): HTMLLIElement {
  const item = create('li');
  item.append(button);
  return item;
}
