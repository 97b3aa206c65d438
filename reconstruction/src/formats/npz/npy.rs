//! NumPy's file format, version 1.0
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

pub const MAGIC: &[u8; 8] = b"\x93NUMPY\x01\x00";

/// The data begin at a multiple of this many bytes.
const ALIGNMENT: usize = 64;

/// A type of numbers in an array.
pub trait Element: Copy {
    /// NumPy's name of the type (`descr`).
    const DESCR: &'static str;
    /// Its bytes, little-endian.
    fn to_bytes(self) -> impl AsRef<[u8]>;
}

impl Element for f32 {
    const DESCR: &'static str = "<f4";
    fn to_bytes(self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }
}

impl Element for f64 {
    const DESCR: &'static str = "<f8";
    fn to_bytes(self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }
}

impl Element for u32 {
    const DESCR: &'static str = "<u4";
    fn to_bytes(self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }
}

impl Element for bool {
    const DESCR: &'static str = "|b1";
    fn to_bytes(self) -> impl AsRef<[u8]> {
        [u8::from(self)]
    }
}

/// The header of an array. The values follow in C order.
pub fn header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let shape: String = shape.iter().map(|length| format!("{length}, ")).collect();
    let mut text = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}",
        shape.trim_end()
    );
    let before = MAGIC.len() + size_of::<u16>();
    let length = (before + text.len() + 1).next_multiple_of(ALIGNMENT) - before;
    text.extend(std::iter::repeat_n(' ', length - text.len() - 1));
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    // A type and up to three numbers: far shorter than 64 KiB.
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// An array of text: its type and its bytes, each text in UTF-32, padded with zeros.
pub fn text(values: &[&str]) -> (String, Vec<u8>) {
    let length = |value: &&str| value.chars().count();
    let longest = values.iter().map(length).max().unwrap_or(0).max(1);
    let mut bytes = Vec::with_capacity(values.len() * longest * 4);
    for (index, value) in values.iter().enumerate() {
        for character in value.chars() {
            bytes.extend(u32::from(character).to_le_bytes());
        }
        bytes.resize((index + 1) * longest * 4, 0);
    }
    (format!("<U{longest}"), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_aligned_and_give_type_and_shape() {
        for (shape, expected) in [
            (&[][..], "'shape': ()"),
            (&[7], "'shape': (7,)"),
            (&[2, 300_000, 14], "'shape': (2, 300000, 14,)"),
        ] {
            let bytes = header("<f4", shape);
            assert_eq!(bytes.len() % ALIGNMENT, 0);
            assert_eq!(&bytes[..8], MAGIC);
            let length = u16::from_le_bytes([bytes[8], bytes[9]]);
            assert_eq!(usize::from(length) + 10, bytes.len());
            let text = std::str::from_utf8(&bytes[10..]).unwrap();
            assert!(text.contains("{'descr': '<f4', 'fortran_order': False, "));
            assert!(text.contains(expected), "{text}");
            assert!(text.ends_with('\n'));
        }
    }

    #[test]
    fn texts_have_one_length() {
        let (descr, bytes) = text(&["a", "", "日本"]);
        assert_eq!(descr, "<U2");
        let codes: Vec<u32> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|&code| u32::from_le_bytes(code))
            .collect();
        assert_eq!(codes, [0x61, 0, 0, 0, 0x65e5, 0x672c]);
        assert_eq!(text(&[]), ("<U1".to_owned(), Vec::new()));
    }
}
