//! Views of stored blobs: nothing is in memory until it is read.
//!
//! Files are read and not mapped. If somebody else makes a file shorter, or the disk fails, reading is
//! an error; with a mapped file the process would be killed.

use std::fs::{File, Metadata};
use std::io;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use positioned_io::{ReadAt, Size};
use tokio::sync::Semaphore;

use super::disk::OpenFile;

/// Bytes that stay on disk. A view of a file stays valid when the blob is removed or replaced. Clones
/// share the open file.
#[derive(Debug, Clone)]
pub struct BlobView {
    source: Source,
    range: Range<u64>,
}

#[derive(Debug, Clone)]
enum Source {
    File {
        file: Arc<File>,
        /// Counts the file as long as it is open.
        _counted: Option<Arc<OpenFile>>,
        /// Bounds how many threads read for clients at the same time.
        readers: Arc<Semaphore>,
    },
    Memory(Bytes),
}

impl BlobView {
    /// The file as it is now.
    pub(crate) fn of_file(
        file: File,
        readers: Arc<Semaphore>,
        opened: impl FnOnce(&Metadata) -> Option<OpenFile>,
    ) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            source: Source::File {
                file: Arc::new(file),
                _counted: opened(&found).map(Arc::new),
                readers,
            },
            range: 0..found.len(),
        })
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// A part of the view; what is beyond its end does not count.
    #[must_use]
    pub fn slice(&self, part: Range<usize>) -> Self {
        let at = |position: usize| {
            let position = self.range.start.saturating_add(position as u64);
            position.min(self.range.end)
        };
        Self {
            source: self.source.clone(),
            range: at(part.start)..at(part.end),
        }
    }

    /// Reads all of it into memory. Blocks.
    ///
    /// # Errors
    /// If the file cannot be read, or has become shorter.
    pub fn read(&self) -> io::Result<Bytes> {
        let length = self.len();
        let Source::File { file, .. } = &self.source else {
            return Ok(self.in_memory().unwrap_or_default());
        };
        if length == 0 {
            return Ok(Bytes::new());
        }
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let position = self.range.start + bytes.len() as u64;
            let free = rustix::buffer::spare_capacity(&mut bytes);
            match rustix::io::pread(file, free, position) {
                Ok(0) => return Err(cut_off()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The allocation may be larger than asked for.
        bytes.truncate(length);
        Ok(bytes.into())
    }

    /// Fails if the file cannot be read as a whole any more.
    ///
    /// # Errors
    /// If it has become shorter, or the system does not tell.
    pub async fn check(&self) -> io::Result<()> {
        let Source::File { file, .. } = &self.source else {
            return Ok(());
        };
        let (file, end) = (file.clone(), self.range.end);
        off_the_runtime(move || match file.metadata()?.len() < end {
            true => Err(cut_off()),
            false => Ok(()),
        })
        .await
    }

    /// The bytes in pieces of this size; each is read when the one before is taken.
    pub fn into_pieces(self, size: usize) -> Pieces {
        Pieces {
            rest: self,
            size: size.max(1),
            last: Bytes::new(),
        }
    }

    fn in_memory(&self) -> Option<Bytes> {
        let Source::Memory(bytes) = &self.source else {
            return None;
        };
        // A view of bytes in memory is a range of them.
        let index = |position| usize::try_from(position).unwrap_or(usize::MAX);
        Some(bytes.slice(index(self.range.start)..index(self.range.end)))
    }
}

impl From<Bytes> for BlobView {
    fn from(bytes: Bytes) -> Self {
        Self {
            range: 0..bytes.len() as u64,
            source: Source::Memory(bytes),
        }
    }
}

impl From<Vec<u8>> for BlobView {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl Size for BlobView {
    fn size(&self) -> io::Result<Option<u64>> {
        Ok(Some(self.range.end - self.range.start))
    }
}

impl ReadAt for BlobView {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = (self.range.end - self.range.start).saturating_sub(position);
        let count = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        if count == 0 {
            return Ok(0);
        }
        let buffer = &mut buffer[..count];
        match &self.source {
            Source::File { file, .. } => file.read_at(self.range.start + position, buffer),
            Source::Memory(bytes) => {
                // Within the range, which is one of the bytes.
                let begin = (self.range.start + position) as usize;
                buffer.copy_from_slice(&bytes[begin..begin + count]);
                Ok(count)
            }
        }
    }
}

/// The rest of a view, in pieces.
#[derive(Debug)]
pub struct Pieces {
    rest: BlobView,
    size: usize,
    /// The piece before. Its memory is used again when nobody else has it any more.
    last: Bytes,
}

impl Pieces {
    /// Whether all pieces have been taken.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next piece; `None` after the last one. Bytes that the system has in memory are read at once;
    /// a thread waits for the disk.
    ///
    /// # Errors
    /// If it cannot be read. There are no more pieces then.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let piece = self.rest.slice(0..self.size);
        let rest = self.rest.slice(self.size..usize::MAX);
        self.rest = Bytes::new().into();
        let Source::File { file, readers, .. } = piece.source else {
            self.rest = rest;
            return Ok(piece.in_memory());
        };
        let mut buffer = self.buffer(piece.range.end - piece.range.start);
        let begin = piece.range.start;
        let done = read_cached(&file, begin, &mut buffer)?;
        if done < buffer.len() {
            let permit = readers.acquire_owned().await.map_err(io::Error::other)?;
            buffer = off_the_runtime(move || {
                let _permit = permit;
                let read = file.read_exact_at(begin + done as u64, &mut buffer[done..]);
                match read {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(cut_off()),
                    read => read.map(|()| buffer),
                }
            })
            .await?;
        }
        self.rest = rest;
        self.last = buffer.freeze();
        Ok(Some(self.last.clone()))
    }

    /// Memory for a piece.
    fn buffer(&mut self, length: u64) -> BytesMut {
        // Never more than a piece.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match mem::take(&mut self.last).try_into_mut() {
            Ok(mut used) if used.len() >= length => {
                used.truncate(length);
                used
            }
            _ => BytesMut::zeroed(length),
        }
    }
}

/// Reads what the system has in memory, and returns how many bytes these are.
///
/// # Errors
/// If the file ends before, or the system reports another error.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, begin: u64, buffer: &mut [u8]) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    let mut done = 0;
    while done < buffer.len() {
        let mut rest = [io::IoSliceMut::new(&mut buffer[done..])];
        match preadv2(file, &mut rest, begin + done as u64, ReadWriteFlags::NOWAIT) {
            Ok(0) => return Err(cut_off()),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            // Not in memory, or the file system does not tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: u64, _: &mut [u8]) -> io::Result<usize> {
    Ok(0)
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).flatten()
}

fn cut_off() -> io::Error {
    let message = "a stored file has become shorter; something other than this server changed it";
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A view of a file with these bytes, and the file.
    fn stored(content: &[u8]) -> (BlobView, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), content).expect("written");
        let open = File::open(file.path()).expect("there");
        let view = BlobView::of_file(open, Arc::new(Semaphore::new(1)), |_| None);
        (view.expect("readable"), file)
    }

    async fn pieces(view: BlobView, size: usize) -> Vec<Bytes> {
        let mut pieces = view.into_pieces(size);
        let mut found = Vec::new();
        while let Some(piece) = pieces.next().await.expect("readable") {
            // A copy, so that the memory can be used again.
            found.push(Bytes::copy_from_slice(&piece));
        }
        assert!(pieces.is_empty());
        found
    }

    #[tokio::test]
    async fn files_and_memory_are_read_alike() {
        let (file, _keep) = stored(b"0123456789");
        let memory = BlobView::from(Bytes::from_static(b"0123456789"));
        for view in [file, memory] {
            assert_eq!(view.read().expect("readable"), b"0123456789"[..]);
            assert_eq!(
                pieces(view.clone(), 4).await,
                [&b"0123"[..], b"4567", b"89"]
            );
            let part = view.slice(3..8);
            assert_eq!((part.len(), part.slice(3..99).len()), (5, 2));
            assert_eq!(pieces(part.clone(), 3).await, [&b"345"[..], b"67"]);
            let mut two = [0; 2];
            part.read_exact_at(3, &mut two).expect("within");
            assert_eq!(&two, b"67");
            assert!(part.read_exact_at(4, &mut two).is_err());
            assert!(pieces(view.slice(10..20), 3).await.is_empty());
            view.check().await.expect("whole");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn bytes_that_are_only_on_the_disk_are_read_too() {
        let content: Vec<u8> = (0..100_000).map(|index| (index % 251) as u8).collect();
        let (view, file) = stored(&content);
        file.as_file().sync_all().expect("on the disk");
        let forget = rustix::fs::Advice::DontNeed;
        rustix::fs::fadvise(file.as_file(), 0, None, forget).expect("advised");
        assert_eq!(pieces(view, 30_000).await.concat(), content);
    }

    #[tokio::test]
    async fn a_file_that_becomes_shorter_is_an_error() {
        let (view, file) = stored(&[7; 100]);
        let mut pieces = view.clone().into_pieces(40);
        assert_eq!(
            pieces.next().await.expect("there").map(|piece| piece.len()),
            Some(40)
        );
        file.as_file().set_len(60).expect("cut off");
        let error = pieces.next().await.expect_err("it is cut off");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(pieces.next().await.expect("nothing more").is_none());
        assert!(view.check().await.is_err() && view.read().is_err());
        assert!(view.slice(0..50).check().await.is_ok());
    }
}
