//! Sets of pixels of frames.

use std::collections::BTreeMap;

use crate::geometry::FrameSize;

/// Pixels that are contradicted, by the numbers of their frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradicted {
    size: FrameSize,
    /// A bit for each pixel of a frame that has such pixels.
    frames: BTreeMap<u64, Vec<u8>>,
}

impl Contradicted {
    /// No pixels.
    pub fn none(size: FrameSize) -> Self {
        Self {
            size,
            frames: BTreeMap::new(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a pixel of a frame is contradicted, by its row-major index.
    pub fn contains(&self, number: u64, index: u32) -> bool {
        let frame = self.frames.get(&number);
        frame.is_some_and(|bits| is_marked(bits, index))
    }

    /// The bytes of a file: for each of these frames a bit for each pixel, the lowest bit of a byte
    /// first.
    pub fn to_bytes(&self, numbers: impl Iterator<Item = u64>) -> Vec<u8> {
        let row = vec![0; bytes_of(self.size)];
        let rows = numbers.map(|number| self.frames.get(&number).unwrap_or(&row));
        rows.flatten().copied().collect()
    }

    pub(super) fn mark(&mut self, number: u64, indices: &[u32]) {
        if indices.is_empty() {
            return;
        }
        let length = bytes_of(self.size);
        let bits = self.frames.entry(number);
        let bits = bits.or_insert_with(|| vec![0; length]);
        for &index in indices {
            if let Some(byte) = bits.get_mut(index as usize / 8) {
                *byte |= 1 << (index % 8);
            }
        }
    }

    /// Bytes that a frame takes in memory.
    pub(super) fn bytes_of_frame(size: FrameSize) -> u64 {
        bytes_of(size) as u64
    }

    pub(super) fn of_frame(&self, number: u64) -> Option<&[u8]> {
        self.frames.get(&number).map(Vec::as_slice)
    }
}

/// Whether the bit of a pixel is set.
pub(super) fn is_marked(bits: &[u8], index: u32) -> bool {
    let byte = bits.get(index as usize / 8);
    byte.is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// Bytes of the bits of a frame.
fn bytes_of(size: FrameSize) -> usize {
    (size.columns() * size.rows()).div_ceil(8)
}
