//! Checks of a WebP container that the decoder makes only after it has allocated memory.

use crate::geometry::FrameSize;

use super::vp8l::prefix_codes;

/// Chunks of metadata.
const METADATA: [&[u8]; 3] = [b"ICCP", b"EXIF", b"XMP "];

/// Whether the file has all bytes that its header announces, and its metadata are whole: the decoder takes
/// memory for the length that they announce.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let Some(size) = bytes.get(4..8) else {
        return false;
    };
    let announced = little_endian(size).saturating_add(8);
    let mut chunks = chunks(bytes.get(12..).unwrap_or_default());
    announced <= bytes.len() as u64
        && chunks.all(|chunk| chunk.is_whole || !METADATA.contains(&chunk.name))
}

/// Whether the header announces a colour profile.
pub(super) fn has_profile(bytes: &[u8]) -> bool {
    bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 0x20 != 0)
}

/// How the picture is stored, as far as the memory for decoding depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lossy,
    Lossless,
    /// With an alpha channel of its own, or an animation.
    Extended,
}

/// Reads the header: size and kind of the picture.
pub(super) fn picture(bytes: &[u8]) -> Option<(FrameSize, Kind)> {
    let Chunk { name, payload, .. } = chunks(bytes.get(12..)?).next()?;
    let number = |range: std::ops::Range<usize>| Some(little_endian(payload.get(range)?) as u32);
    match name {
        b"VP8 " => {
            let (width, height) = (number(6..8)?, number(8..10)?);
            let size = FrameSize::new(width & 0x3fff, height & 0x3fff);
            Some((size, Kind::Lossy))
        }
        b"VP8L" => {
            // After a signature of one byte, 14 bits each of width and height, minus one.
            let bits = number(1..5)?;
            let size = FrameSize::new((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
            Some((size, Kind::Lossless))
        }
        b"VP8X" => {
            // Flags and reserved bits, then 24 bits each of width and height, minus one.
            let size = FrameSize::new(number(4..7)? + 1, number(7..10)? + 1);
            Some((size, Kind::Extended))
        }
        _ => None,
    }
}

/// The most memory for the tables of the lossless streams that are decoded, in bytes: of the picture or its
/// alpha channel, in an animation those of the first frame. `None` if one is damaged, or the frame is larger
/// than the picture.
///
/// The decoder takes the first chunk of each name, so no others are read: a file has room for very many.
pub(super) fn table_bytes(bytes: &[u8]) -> Option<u64> {
    let (canvas, _) = picture(bytes)?;
    let contents = bytes.get(12..)?;
    let picture = streams(contents, canvas)?;
    let Some(frame) = first(contents, b"ANMF") else {
        return Some(picture);
    };
    // Place and size of the frame, each number of 24 bits, before its chunks.
    let number = |at: usize| Some(little_endian(frame.payload.get(at..at + 3)?) as u32 + 1);
    let size = if is_animated(bytes) {
        FrameSize::new(number(6)?, number(9)?)
    } else {
        // The decoder takes its chunks for those of the picture.
        canvas
    };
    if size.width > canvas.width || size.height > canvas.height {
        return None;
    }
    Some(picture.max(streams(frame.payload.get(16..)?, size)?))
}

/// Whether the header announces an animation.
fn is_animated(bytes: &[u8]) -> bool {
    bytes.get(20).is_some_and(|flags| flags & 0x02 != 0)
}

/// The most memory for the tables of the lossless streams among these chunks.
fn streams(contents: &[u8], size: FrameSize) -> Option<u64> {
    let mut most = 0;
    for name in [b"VP8L", b"ALPH"] {
        if let Some(chunk) = first(contents, name) {
            most = most.max(stream_tables(&chunk, size)?);
        }
    }
    Some(most)
}

/// The first chunk of a name.
fn first<'a>(contents: &'a [u8], name: &[u8; 4]) -> Option<Chunk<'a>> {
    chunks(contents).find(|chunk| chunk.name == name)
}

fn stream_tables(chunk: &Chunk<'_>, size: FrameSize) -> Option<u64> {
    let codes = match (chunk.name, chunk.payload) {
        (b"VP8L", stream) => prefix_codes(stream, None)?,
        // The lowest bits of the first byte tell that the alpha channel is compressed.
        (b"ALPH", [first, stream @ ..]) if first & 3 == 1 => prefix_codes(stream, Some(size))?,
        _ => return Some(0),
    };
    Some(codes.table_bytes())
}

/// Size of the largest lossy picture in the file, `None` if there is none.
///
/// The decoder allocates a lossy picture before it compares its size with the size in the file's
/// header.
pub(super) fn largest_lossy_picture(bytes: &[u8]) -> Option<FrameSize> {
    chunks(bytes.get(12..).unwrap_or_default())
        .flat_map(|chunk| match chunk.name {
            // A frame of an animation: 16 bytes, then chunks of its own.
            b"ANMF" => chunks(chunk.payload.get(16..).unwrap_or_default()).collect(),
            _ => vec![chunk],
        })
        .filter(|chunk| chunk.name == b"VP8 ")
        .filter_map(|Chunk { payload, .. }| {
            // A tag of 3 bytes, a start code of 3, then 14 bits each of width and height.
            let size = payload.get(6..10)?;
            let width = little_endian(&size[..2]) & 0x3fff;
            let height = little_endian(&size[2..]) & 0x3fff;
            Some(FrameSize::new(width as u32, height as u32))
        })
        .max_by_key(|size| size.pixels())
}

/// A chunk of a file.
struct Chunk<'a> {
    name: &'a [u8],
    /// It ends at the end of the file if it is truncated.
    payload: &'a [u8],
    is_whole: bool,
}

/// The chunks.
fn chunks(mut rest: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    std::iter::from_fn(move || {
        let (name, size) = (rest.get(..4)?, rest.get(4..8)?);
        let payload = &rest[8..];
        let size = usize::try_from(little_endian(size)).unwrap_or(usize::MAX);
        let is_whole = size <= payload.len();
        let (payload, after) = payload.split_at(size.min(payload.len()));
        // Payloads are padded to an even length.
        rest = after.get(size % 2..).unwrap_or_default();
        Some(Chunk {
            name,
            payload,
            is_whole,
        })
    })
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut bytes = name.to_vec();
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    }

    fn lossy(width: u16, height: u16) -> Vec<u8> {
        let mut payload = vec![0; 6];
        payload.extend(width.to_le_bytes());
        payload.extend(height.to_le_bytes());
        chunk(b"VP8 ", &payload)
    }

    #[test]
    fn finds_pictures_in_chunks_and_frames() {
        let mut frame = vec![0; 16];
        frame.extend(lossy(9000, 16383));
        let contents = [
            b"WEBP".to_vec(),
            chunk(b"EXIF", b"odd"),
            lossy(10, 20),
            chunk(b"ANMF", &frame),
        ]
        .concat();
        let file = chunk(b"RIFF", &contents);
        assert_eq!(
            largest_lossy_picture(&file),
            Some(FrameSize::new(9000, 16383))
        );
        assert!(is_complete(&file));
        for length in 0..file.len() {
            assert!(!is_complete(&file[..length]));
            let _ = largest_lossy_picture(&file[..length]);
        }
    }
}
