//! Segments of a JPEG file that the decoder keeps, and whether anyone reads them.

use std::borrow::Cow;

use memchr::memchr_iter;

use super::colour::MAX_PROFILE;

/// The names of segments of which the decoder keeps each one, not only the last: parts of a colour profile,
/// of a second exposure, and of a long description.
const PROFILE: &[u8] = b"ICC_PROFILE\0";
const KEPT: [&[u8]; 3] = [
    PROFILE,
    b"urn:iso:std:iso:ts:21496:-1\0",
    b"http://ns.adobe.com/xmp/extension/\0",
];
/// The parts that a colour profile may have: they are numbered with one byte.
const MAX_PARTS: usize = 255;

/// Whether the file may have a colour profile.
pub(super) fn has_profile(bytes: &[u8]) -> bool {
    names(bytes).any(|(_, name)| name == PROFILE)
}

/// The file with other names for the segments that nobody reads, so that the decoder skips them. It would
/// copy them several times, and take time that grows with the square of their number. Colour profiles are
/// among them if they are larger than any that is used.
pub(super) fn without_unread(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let unread = Unread::of(&bytes);
    if !unread.is_any() {
        return bytes;
    }
    let mut bytes = bytes.into_owned();
    let mut from = 0;
    while let Some((at, name)) = next_name(&bytes, from) {
        if name != PROFILE || unread.profiles {
            bytes[at] = b'-';
        }
        from = at + name.len();
    }
    Cow::Owned(bytes)
}

/// Whether the file has segments that nobody reads.
pub(super) fn has_unread(bytes: &[u8]) -> bool {
    Unread::of(bytes).is_any()
}

/// Which segments nobody reads.
struct Unread {
    profiles: bool,
    others: bool,
}

impl Unread {
    fn of(bytes: &[u8]) -> Self {
        let (mut parts, mut length, mut others) = (0, 0, false);
        for (at, name) in names(bytes) {
            if name != PROFILE {
                others = true;
                continue;
            }
            parts += 1;
            // The length of the segment stands before its name.
            if let Some([high, low]) = bytes[..at].last_chunk() {
                length += usize::from(u16::from_be_bytes([*high, *low]));
            }
        }
        Self {
            profiles: parts > MAX_PARTS || length > MAX_PROFILE,
            others,
        }
    }

    fn is_any(&self) -> bool {
        self.profiles || self.others
    }
}

/// Where these names stand, wherever that is: in a damaged file the decoder may find other segments than
/// those whose lengths are followed here.
fn names(bytes: &[u8]) -> impl Iterator<Item = (usize, &'static [u8])> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let (at, name) = next_name(bytes, from)?;
        from = at + name.len();
        Some((at, name))
    })
}

/// The first name of a segment that the decoder keeps, at or after `from`.
fn next_name(bytes: &[u8], from: usize) -> Option<(usize, &'static [u8])> {
    let rest = bytes.get(from..)?;
    memchr_iter(0, rest).find_map(|last| {
        let until = &rest[..=last];
        let name = KEPT.into_iter().find(|name| until.ends_with(name))?;
        Some((from + until.len() - name.len(), name))
    })
}
