/** Dropped or chosen files. */

const VIDEO_NAMES = /\.(mp4|m4v|mov|webm|mkv|avi|ogv)$/i;
const PHOTO_NAMES = /\.(jpe?g|png|webp|heic|heif|avif|gif|bmp|tiff?)$/i;
/** Drawings have no pixels of their own. */
const DRAWINGS = 'image/svg+xml';

/** Files with the name of the folder that they come from, if it is one. */
export interface Chosen {
  files: File[];
  folder: string;
}

export interface Sorted {
  photos: File[];
  videos: File[];
  others: File[];
}

/** Splits files into photos, sorted by name, videos and others. Hidden files are none of them. */
export function sortFiles(files: Iterable<File>): Sorted {
  const byName = new Intl.Collator('en', { numeric: true });
  const seen = [...files].filter(({ name }) => !name.startsWith('.'));
  const all = seen.sort((a, b) => byName.compare(a.name, b.name));
  const kind = ({ type, name }: File) => {
    if (type.startsWith('video/') || VIDEO_NAMES.test(name)) {
      return 'videos';
    }
    const isPhoto = type.startsWith('image/') && type !== DRAWINGS;
    return isPhoto || PHOTO_NAMES.test(name) ? 'photos' : 'others';
  };
  const of = (wanted: keyof Sorted) => all.filter((file) => kind(file) === wanted);
  return { photos: of('photos'), videos: of('videos'), others: of('others') };
}

/** The kinds of files by the endings of their names, with their counts: `2 TXT, 1 PDF`. */
export function kindsOf(files: File[]): string {
  const counts = new Map<string, number>();
  for (const { name } of files) {
    const ending = /\.([^.]{1,8})$/.exec(name)?.[1]?.toUpperCase() ?? 'without an ending';
    counts.set(ending, (counts.get(ending) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([, one], [, other]) => other - one);
  return sorted.map(([ending, count]) => `${count} ${ending}`).join(', ');
}

/** The files of an input that chooses a folder. */
export function folderFiles(list: FileList): Chosen {
  const files = [...list];
  return { files, folder: files[0]?.webkitRelativePath.split('/')[0] ?? '' };
}

/** All files of a drop, including those in folders. */
export async function droppedFiles(transfer: DataTransfer): Promise<Chosen> {
  // The browser clears the list after the event, so read the entries synchronously.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...transfer.files];
  const folders = entries.filter((entry) => entry?.isDirectory);
  if (folders.length === 0) {
    return { files: plain, folder: '' };
  }
  const nested = await Promise.all(entries.map((entry) => (entry ? filesBelow(entry) : [])));
  return { files: nested.flat(), folder: folders[0]?.name ?? '' };
}

async function filesBelow(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => {
      (entry as FileSystemFileEntry).file(resolve, reject);
    });
    return [file];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: File[] = [];
  // A reader returns its entries in batches; an empty batch marks the end.
  for (;;) {
    const piece = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (piece.length === 0) {
      return files;
    }
    files.push(...(await Promise.all(piece.map(filesBelow))).flat());
  }
}

/** Calls `take` with files dropped on the page; highlights `target` while dragging over it. */
export function watchDrops(target: HTMLElement, take: (chosen: Chosen) => void): void {
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
  let depth = 0;
  const mark = (change: number) => {
    depth = Math.max(0, depth + change);
    target.classList.toggle('dropping', depth > 0);
  };
  document.addEventListener('dragenter', (event) => hasFiles(event) && mark(1));
  document.addEventListener('dragleave', (event) => hasFiles(event) && mark(-1));
  document.addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener('drop', async (event) => {
    if (event.dataTransfer && hasFiles(event)) {
      event.preventDefault();
      mark(-depth);
      take(await droppedFiles(event.dataTransfer));
    }
  });
}
