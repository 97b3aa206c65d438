//! Detects truncated JPEG files.
//!
//! The decoder fills the missing end of an image with grey, which a model would take for a part of
//! the scene.

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

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

/// The first marker at or after `position`, and the position after it.
fn next_marker(bytes: &[u8], position: usize) -> Option<(u8, usize)> {
    let rest = bytes.get(position..)?;
    let start = rest.iter().position(|&byte| byte == 0xff)?;
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
