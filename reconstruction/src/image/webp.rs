//! Checks of a WebP container that the decoder makes only after it has allocated memory.

use crate::geometry::FrameSize;

/// Whether the file has all bytes that its header announces.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    match bytes.get(4..8) {
        Some(size) => little_endian(size).saturating_add(8) <= bytes.len() as u64,
        None => false,
    }
}

/// Size of the largest lossy picture in the file, `None` if there is none.
///
/// The decoder allocates a lossy picture before it compares its size with the size in the file's
/// header.
pub(super) fn largest_lossy_picture(bytes: &[u8]) -> Option<FrameSize> {
    chunks(bytes.get(12..).unwrap_or_default())
        .flat_map(|(name, payload)| match name {
            // A frame of an animation: 16 bytes, then chunks of its own.
            b"ANMF" => chunks(payload.get(16..).unwrap_or_default()).collect(),
            _ => vec![(name, payload)],
        })
        .filter(|(name, _)| *name == b"VP8 ")
        .filter_map(|(_, payload)| {
            // A tag of 3 bytes, a start code of 3, then 14 bits each of width and height.
            let size = payload.get(6..10)?;
            let width = little_endian(&size[..2]) & 0x3fff;
            let height = little_endian(&size[2..]) & 0x3fff;
            Some(FrameSize::new(width as u32, height as u32))
        })
        .max_by_key(|size| size.pixels())
}

/// Name and payload of each chunk. A truncated payload ends at the end of the file.
fn chunks(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (name, size) = (rest.get(..4)?, rest.get(4..8)?);
        let payload = &rest[8..];
        let size = usize::try_from(little_endian(size)).unwrap_or(usize::MAX);
        let (payload, after) = payload.split_at(size.min(payload.len()));
        // Payloads are padded to an even length.
        rest = after.get(size % 2..).unwrap_or_default();
        Some((name, payload))
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
