//! Reads what the decoder does not tell: whether a JPEG file is truncated, and how much memory it needs.
//!
//! The decoder fills the missing end of an image with grey, which a model would take for a part of
//! the scene.

use memchr::memchr;

use crate::geometry::FrameSize;

use super::unread::has_unread;

const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];
const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;
const HUFFMAN_TABLES: u8 = 0xc4;
/// An application's segment by which the decoder knows that the standard tables are meant: Motion JPEG
/// leaves them out (OpenDML AVI File Format Extensions 1.02, "M-JPEG").
const MOTION_JPEG: &[u8] = b"\xff\xe0\x00\x07AVI1\0";
/// Bytes of the filling in place of a missing end. It only must be longer than the codes of one block of
/// pixels: two images with different fillings differ as soon as one block is read from the filling. Bytes
/// that are left of it do no harm: the decoder notices a gap before a marker only in its strict mode.
const END: usize = 1 << 16;

/// Whether the file has the marker that ends the image.
///
/// Follows the lengths of the segments, because a thumbnail in the metadata has this marker too.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let mut position = 0;
    while let Some((marker, after)) = next_marker(bytes, position) {
        position = match marker {
            END_OF_IMAGE => return true,
            // Start of image, restarts and a stuffed zero have no length.
            0x00 | 0x01 | 0xd0..=0xd8 => after,
            _ => {
                let Some(length) = bytes.get(after..after + 2) else {
                    return false;
                };
                after + usize::from(u16::from_be_bytes([length[0], length[1]]))
            }
        };
        if marker == START_OF_SCAN {
            position = scan_end(bytes, position);
        }
    }
    false
}

/// How the pixels are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Huffman,
    /// With Huffman's code, but the file has no tables for it.
    WithoutTables,
    Arithmetic,
}

/// Reads how the pixels are coded.
pub(super) fn coding(bytes: &[u8]) -> Coding {
    let mut has_tables = false;
    for (marker, _) in segments(bytes) {
        match marker {
            0xc9..=0xcb | 0xcd..=0xcf => return Coding::Arithmetic,
            HUFFMAN_TABLES => has_tables = true,
            START_OF_SCAN if !has_tables => return Coding::WithoutTables,
            _ => {}
        }
    }
    Coding::Huffman
}

/// The file with a note that the standard tables are meant.
pub(super) fn with_standard_tables(bytes: &[u8]) -> Vec<u8> {
    let rest = bytes.strip_prefix(&START_OF_IMAGE).unwrap_or(bytes);
    [&START_OF_IMAGE, MOTION_JPEG, rest].concat()
}

/// The file with this byte many times behind its only scan, and the marker of the end. `None` if there is
/// no scan, or there may be several: nobody could tell whether the last ones are missing.
pub(super) fn with_end(bytes: &[u8], filling: u8) -> Option<Vec<u8>> {
    if frame(bytes)?.keeps_coefficients {
        return None;
    }
    let (_, scan) = segments(bytes).find(|(marker, _)| *marker == START_OF_SCAN)?;
    let end = scan_end(bytes, scan);
    let mut whole = Vec::with_capacity(end + END + 2);
    whole.extend(bytes.get(..end)?);
    // The last byte may be half of a marker.
    if whole.last() == Some(&0xff) {
        whole.pop();
    }
    whole.resize(whole.len() + END, filling);
    whole.extend([0xff, END_OF_IMAGE]);
    Some(whole)
}

/// How often the file is copied to mend it.
pub(super) fn mended_copies(bytes: &[u8]) -> u64 {
    u64::from(coding(bytes) == Coding::WithoutTables)
        + u64::from(has_unread(bytes))
        + u64::from(!is_complete(bytes))
}

/// The markers of the segments with a length up to the first scan, and where each ends.
fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    let mut position = Some(0);
    std::iter::from_fn(move || {
        loop {
            let (marker, after) = next_marker(bytes, position?)?;
            if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8) {
                position = Some(after);
                continue;
            }
            let length = bytes.get(after..after + 2)?;
            let end = after + usize::from(u16::from_be_bytes([length[0], length[1]]));
            position = (marker != START_OF_SCAN).then_some(end);
            return Some((marker, end));
        }
    })
}

/// What the header says about the memory for decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub size: FrameSize,
    pub components: u8,
    /// Whether the coefficients of the whole image are kept until its last scan: a progressive image, or
    /// one whose components have scans of their own.
    pub keeps_coefficients: bool,
}

/// Reads the header, up to the first scan.
pub(super) fn frame(bytes: &[u8]) -> Option<Frame> {
    let mut position = 0;
    let mut found: Option<Frame> = None;
    loop {
        let (marker, after) = next_marker(bytes, position)?;
        if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8) {
            position = after;
            continue;
        }
        let length = bytes.get(after..after + 2)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let segment = bytes.get(after + 2..)?;
        match marker {
            START_OF_SCAN => {
                let in_scan = *segment.first()?;
                return found.map(|frame| Frame {
                    keeps_coefficients: frame.keeps_coefficients || in_scan < frame.components,
                    ..frame
                });
            }
            // Frames of all processes: all but the tables of Huffman and arithmetic codes.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let [_, height @ .., components] = segment.get(..6)? else {
                    return None;
                };
                let (height, width) = height.split_at(2);
                // Grey, three colours or four.
                if *components > 4 {
                    return None;
                }
                let side = |bytes: &[u8]| u32::from(bytes[0]) << 8 | u32::from(bytes[1]);
                found = Some(Frame {
                    size: FrameSize::new(side(width), side(height)),
                    components: *components,
                    keeps_coefficients: marker != 0xc0 && marker != 0xc1,
                });
            }
            _ => {}
        }
        position = after + length;
    }
}

/// The first marker at or after `position`, and the position after it.
fn next_marker(bytes: &[u8], position: usize) -> Option<(u8, usize)> {
    let rest = bytes.get(position..)?;
    let start = memchr(0xff, rest)?;
    // Any number of 0xff may fill the space before a marker.
    let skipped = rest[start..].iter().position(|&byte| byte != 0xff)?;
    let at = start + skipped;
    Some((rest[at], position + at + 1))
}

/// Where the entropy-coded data that begins at `position` ends: at a marker that is not a restart.
fn scan_end(bytes: &[u8], mut position: usize) -> usize {
    while let Some((marker, after)) = next_marker(bytes, position) {
        match marker {
            0x00 | 0xd0..=0xd7 => position = after,
            _ => return after - 2,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_thumbnail_is_not_the_end_of_the_image() {
        let with_thumbnail =
            b"\xff\xd8\xff\xe1\x00\x06\xff\xd8\xff\xd9\xff\xda\x00\x02\x12\xff\x00";
        assert!(!is_complete(with_thumbnail));
        let whole = [with_thumbnail.as_slice(), b"\xff\xd3\x34\xff\xff\xd9"].concat();
        assert!(is_complete(&whole));
        let followed_by_other_data = [whole.as_slice(), b"video"].concat();
        assert!(is_complete(&followed_by_other_data));
    }

    #[test]
    fn segments_beyond_the_end_do_not_panic() {
        assert!(!is_complete(b"\xff\xd8\xff\xe1\xff\xff"));
        assert!(!is_complete(b"\xff\xd8\xff\xe1\xff"));
        assert!(!is_complete(b"\xff\xd8\xff"));
        assert!(!is_complete(b""));
    }
}
