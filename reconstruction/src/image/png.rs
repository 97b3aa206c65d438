//! Reads what the decoder does not tell of a PNG file.

/// Bytes of the signature.
const SIGNATURE: usize = 8;
/// Bytes of a chunk beside its content: length, name and checksum.
const AROUND: usize = 12;

/// The content of the EXIF chunk. The standard allows it behind the pixels, and ImageMagick writes it there.
pub(super) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    chunk(bytes, b"eXIf")
}

/// Whether the file may have a colour profile.
pub(super) fn has_profile(bytes: &[u8]) -> bool {
    chunk(bytes, b"iCCP").is_some()
}

/// Whether the file has a transparent colour, or a palette with alpha.
pub(super) fn has_transparency(bytes: &[u8]) -> bool {
    chunk(bytes, b"tRNS").is_some()
}

/// The content of the first chunk of a name.
fn chunk<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let mut rest = bytes.get(SIGNATURE..)?;
    loop {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
        let length = usize::try_from(length).ok()?;
        let content = rest.get(8..length.checked_add(8)?)?;
        if rest.get(4..8)? == name {
            return Some(content);
        }
        rest = rest.get(length.checked_add(AROUND)?..)?;
    }
}
