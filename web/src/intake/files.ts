/** Dropped or chosen files. */

const VIDEO_NAMES = /\.(mp4|m4v|mov|webm|mkv|avi|ogv)$/i;

export interface Sorted {
  photos: File[];
  videos: File[];
}

/** Splits files into photos, sorted by name, and videos. */
export function sortFiles(files: Iterable<File>): Sorted {
  const byName = new Intl.Collator('en', { numeric: true });
  const all = [...files].sort((a, b) => byName.compare(a.name, b.name));
  const isVideo = (file: File) => file.type.startsWith('video/') || VIDEO_NAMES.test(file.name);
  return { photos: all.filter((file) => !isVideo(file)), videos: all.filter(isVideo) };
}

/** All files of a drop, including those in folders. */
export async function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  // The browser clears the list after the event, so read the entries synchronously.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) {
    return plain;
  }
  const nested = await Promise.all(entries.map((entry) => (entry ? filesBelow(entry) : [])));
  return nested.flat().filter((file) => !file.name.startsWith('.'));
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
export function watchDrops(target: HTMLElement, take: (files: File[]) => void): void {
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
