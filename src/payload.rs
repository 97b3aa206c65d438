//! The bytes of an upload while they come in.
//!
//! Long ones are in memory of their own, which the system has back as soon as they are dropped. The heap
//! keeps what is freed for a while, and cannot use it for other long ones once small things lie in it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes};
use memmap2::MmapMut;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Longest payload in bytes that is on the heap.
const SHORT: usize = 256 << 10;

/// Bytes that grow, and at the end are taken whole.
pub struct Payload(Room);

enum Room {
    Heap(Vec<u8>),
    /// The system gives memory only for the part that was written to.
    Own {
        memory: MmapMut,
        length: usize,
    },
}

impl Payload {
    /// Makes room for so many bytes more. If they are long, for `most` bytes in all.
    pub fn reserve(&mut self, more: usize, most: usize) {
        let length = self.as_ref().len().saturating_add(more);
        match &mut self.0 {
            Room::Own { memory, .. } if length <= memory.len() => {}
            Room::Heap(bytes) if length <= SHORT => bytes.reserve(more),
            _ => self.move_to(length, most),
        }
    }

    fn move_to(&mut self, room: usize, most: usize) {
        let bytes = self.as_ref();
        self.0 = match MmapMut::map_anon(room.max(most)) {
            Ok(mut memory) => {
                if most <= room {
                    prefer_large_pages(&memory);
                }
                memory[..bytes.len()].copy_from_slice(bytes);
                Room::Own {
                    length: bytes.len(),
                    memory,
                }
            }
            // There is no address space, or there are too many parts of it. The heap may have room.
            Err(error) => {
                tracing::debug!(%error, room, "no memory of its own for an upload");
                let mut heap = Vec::with_capacity(room);
                heap.extend_from_slice(bytes);
                Room::Heap(heap)
            }
        };
    }

    /// Bytes for which there is room.
    pub fn room(&self) -> usize {
        match &self.0 {
            Room::Heap(heap) => heap.capacity() - heap.len(),
            Room::Own { memory, length } => memory.len() - length,
        }
    }

    /// Reads some bytes, at most `most`, and no more than there is room for. Returns how many.
    pub fn poll_read<R: AsyncRead>(
        &mut self,
        context: &mut Context<'_>,
        reader: Pin<&mut R>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let most = most.min(self.room());
        match &mut self.0 {
            Room::Heap(heap) => poll_read_buf(reader, context, &mut heap.limit(most)),
            Room::Own { memory, length } => {
                let mut place = ReadBuf::new(&mut memory[*length..*length + most]);
                ready!(reader.poll_read(context, &mut place))?;
                let read = place.filled().len();
                *length += read;
                Poll::Ready(Ok(read))
            }
        }
    }

    /// Adds bytes, for which [`Self::reserve`] has made room.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Room::Heap(heap) => heap.extend_from_slice(bytes),
            Room::Own { memory, length } if bytes.len() <= memory.len() - *length => {
                memory[*length..*length + bytes.len()].copy_from_slice(bytes);
                *length += bytes.len();
            }
            Room::Own { .. } => {
                self.reserve(bytes.len(), 0);
                self.push(bytes);
            }
        }
    }

    /// Keeps the first bytes.
    pub fn truncate(&mut self, to: usize) {
        match &mut self.0 {
            Room::Heap(heap) => heap.truncate(to),
            Room::Own { length, .. } => *length = to.min(*length),
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self(Room::Heap(Vec::new()))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Room::Heap(bytes))
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Room::Heap(heap) => heap,
            Room::Own { memory, length } => &memory[..*length],
        }
    }
}

impl AsMut<[u8]> for Payload {
    fn as_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Room::Heap(heap) => heap,
            Room::Own { memory, length } => &mut memory[..*length],
        }
    }
}

impl From<Payload> for Bytes {
    fn from(payload: Payload) -> Self {
        match payload.0 {
            Room::Heap(heap) => heap.into(),
            Room::Own { .. } => Self::from_owner(payload),
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.as_ref().len())
    }
}

/// Lets the system give more memory at a time, if all of it will be written to.
fn prefer_large_pages(memory: &MmapMut) {
    // Without it everything works, more slowly.
    #[cfg(target_os = "linux")]
    if let Err(error) = memory.advise(memmap2::Advice::HugePage) {
        tracing::debug!(%error, "no large pages for an upload");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes pieces of this length.
    fn payload(length: usize, piece: usize, most: usize) -> (Payload, Vec<u8>) {
        let expected: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let mut payload = Payload::default();
        for bytes in expected.chunks(piece) {
            payload.reserve(bytes.len(), most);
            payload.push(bytes);
        }
        (payload, expected)
    }

    #[test]
    fn bytes_of_any_length_are_what_was_pushed() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 3 * SHORT] {
            for (piece, most) in [(1000, 0), (1000, 4 * SHORT), (SHORT + 7, SHORT)] {
                let (mut payload, expected) = payload(length, piece, most);
                assert!(payload.as_ref() == expected && payload.as_mut() == expected);
                payload.truncate(length / 2);
                payload.truncate(length);
                assert!(Bytes::from(payload) == expected[..length / 2], "{length}");
            }
        }
    }

    #[test]
    fn long_bytes_are_moved_once_and_not_copied_at_the_end() {
        let mut payload = payload(SHORT + 1, 1000, 4 * SHORT).0;
        let place = payload.as_ref().as_ptr();
        payload.reserve(2 * SHORT, 0);
        payload.push(&vec![7; 2 * SHORT]);
        let bytes = Bytes::from(payload);
        assert_eq!((bytes.as_ptr(), bytes.len()), (place, 3 * SHORT + 1));
    }

    #[test]
    fn more_than_there_is_room_for_is_taken_all_the_same() {
        let mut payload = Payload::default();
        payload.reserve(SHORT + 1, 0);
        payload.push(&vec![1; 2 * SHORT]);
        payload.push(&vec![2; SHORT]);
        assert_eq!(
            payload.as_ref(),
            [vec![1; 2 * SHORT], vec![2; SHORT]].concat()
        );
    }
}
