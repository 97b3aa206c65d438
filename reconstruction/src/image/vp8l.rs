//! How many prefix codes a lossless WebP stream has (<https://developers.google.com/speed/webp/docs/webp_lossless_bitstream_specification>).
//!
//! The decoder makes tables for all of them before it decodes a pixel. A file of a few megabytes can have so
//! many that their tables take gigabytes, whatever its size in pixels. So the stream is read up to where it
//! says how many there are: its transforms, and the image that assigns codes to blocks. No table and no pixel
//! is kept: which values come again does not change how many bits are read.

use crate::geometry::FrameSize;

/// Values of the codes of a group: green and lengths, red, blue, alpha, distances.
const ALPHABETS: [usize; 5] = [256 + 24, 256, 256, 256, 40];
/// Order in which the lengths of the code for lengths come.
const ORDER: [usize; 19] = [
    17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];
const SIGNATURE: u32 = 0x2f;
/// Longest code in bits.
const LONGEST: usize = 15;

/// The prefix codes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrefixCodes {
    /// Groups of five codes.
    pub groups: u32,
    /// Values of the first code of each group beside those of its alphabet.
    pub cached_colors: u32,
}

impl PrefixCodes {
    /// The most memory that their tables take, in bytes.
    pub fn table_bytes(&self) -> u64 {
        // A table of 10 bits of each code, and a tree with two nodes of 16 bytes for each longer one.
        let values = ALPHABETS.iter().sum::<usize>() as u64 + u64::from(self.cached_colors);
        let group = 5 * (4 << 10) + 2 * 16 * values + 1024;
        u64::from(self.groups) * group
    }
}

/// Reads a stream. `size` is that of the picture, where the stream does not begin with it. `None` if it is
/// damaged before it says how many codes it has.
pub(super) fn prefix_codes(stream: &[u8], size: Option<FrameSize>) -> Option<PrefixCodes> {
    let mut bits = Bits {
        bytes: stream,
        position: 0,
    };
    let size = match size {
        Some(size) => size,
        None => {
            if bits.read(8)? != SIGNATURE {
                return None;
            }
            let size = FrameSize::new(bits.read(14)? + 1, bits.read(14)? + 1);
            // Whether alpha is used, and the version.
            bits.read(4)?;
            size
        }
    };
    let width = transforms(&mut bits, size)?;
    let cached_colors = cached_colors(&mut bits)?;
    let mut groups = 1;
    if bits.read(1)? == 1 {
        let block = bits.read(3)? + 2;
        let blocks = blocks(FrameSize::new(width, size.height), block);
        sub_image(&mut bits, blocks, |red, green| {
            groups = groups.max((u32::from(red) << 8 | u32::from(green)) + 1);
        })?;
    }
    Some(PrefixCodes {
        groups,
        cached_colors,
    })
}

/// Reads the transforms; returns the width of the image that is transformed.
fn transforms(bits: &mut Bits<'_>, size: FrameSize) -> Option<u32> {
    let mut width = size.width;
    let mut seen = [false; 4];
    while bits.read(1)? == 1 {
        let kind = bits.read(2)?;
        if std::mem::replace(seen.get_mut(kind as usize)?, true) {
            return None;
        }
        match kind {
            // Prediction, and colours: values for blocks of pixels.
            0 | 1 => {
                let block = bits.read(3)? + 2;
                sub_image(
                    bits,
                    blocks(FrameSize::new(width, size.height), block),
                    |_, _| {},
                )?;
            }
            // Red and blue are relative to green.
            2 => {}
            // A palette: with few colours, several pixels are one.
            _ => {
                let colors = bits.read(8)? + 1;
                sub_image(bits, FrameSize::new(colors, 1), |_, _| {})?;
                let packed = match colors {
                    0..=2 => 3,
                    3..=4 => 2,
                    5..=16 => 1,
                    _ => 0,
                };
                width = blocks(FrameSize::new(width, 1), packed).width;
            }
        }
    }
    Some(width)
}

/// The size in blocks of 2 to the power of `block` pixels.
fn blocks(size: FrameSize, block: u32) -> FrameSize {
    size.map(|side| side.div_ceil(1 << block))
}

fn cached_colors(bits: &mut Bits<'_>) -> Option<u32> {
    if bits.read(1)? == 0 {
        return Some(0);
    }
    match bits.read(4)? {
        power @ 1..=11 => Some(1 << power),
        _ => None,
    }
}

/// Reads an image with one group of codes; calls `found` with red and green of each new value.
///
/// Returns how many values it has read: at most one more than the stream has bits, whatever the size.
fn sub_image(bits: &mut Bits<'_>, size: FrameSize, mut found: impl FnMut(u8, u8)) -> Option<u64> {
    let cached = cached_colors(bits)? as usize;
    let mut codes = Vec::with_capacity(ALPHABETS.len());
    for (index, alphabet) in ALPHABETS.into_iter().enumerate() {
        let more = if index == 0 { cached } else { 0 };
        codes.push(Code::read(bits, alphabet + more)?);
    }
    let [green, red, blue, alpha, distance] = codes.as_slice() else {
        return None;
    };
    let mut left = size.pixels();
    let mut values = 0;
    while left > 0 {
        let begin = bits.position;
        let value = green.symbol(bits)?;
        let pixels = match value {
            0..=255 => {
                let red = red.symbol(bits)?;
                blue.symbol(bits)?;
                alpha.symbol(bits)?;
                found(red as u8, value as u8);
                1
            }
            256..=279 => {
                let length = number(bits, value - 256)?;
                let symbol = distance.symbol(bits)?;
                number(bits, symbol)?;
                length
            }
            _ => 1,
        };
        left = left.checked_sub(pixels)?;
        values += 1;
        // A value without bits: all others are the same, up to the last pixel.
        if bits.position == begin {
            break;
        }
    }
    Some(values)
}

/// A length or distance: a prefix, and bits behind it.
fn number(bits: &mut Bits<'_>, prefix: usize) -> Option<u64> {
    if prefix < 4 {
        return Some(prefix as u64 + 1);
    }
    let more = (prefix - 2) >> 1;
    let offset = (2 + (prefix as u64 & 1)) << more;
    Some(offset + u64::from(bits.read(u32::try_from(more).ok()?)?) + 1)
}

/// A canonical prefix code.
struct Code {
    /// Symbols by their length and value.
    symbols: Vec<usize>,
    /// How many have each length. A single symbol has no bits.
    counts: [usize; LONGEST + 1],
}

impl Code {
    fn read(bits: &mut Bits<'_>, alphabet: usize) -> Option<Self> {
        if bits.read(1)? == 1 {
            let has_two = bits.read(1)? == 1;
            let width = 1 + 7 * bits.read(1)?;
            let mut symbols = vec![bits.read(width)? as usize];
            let mut counts = [0; LONGEST + 1];
            if has_two {
                symbols.push(bits.read(8)? as usize);
                counts[1] = 2;
            }
            let valid = symbols.iter().all(|symbol| *symbol < alphabet);
            return valid.then_some(Self { symbols, counts });
        }
        let mut lengths = [0; ORDER.len()];
        let given = bits.read(4)? as usize + 4;
        for place in ORDER.iter().take(given) {
            lengths[*place] = bits.read(3)? as usize;
        }
        let lengths = Self::of(&lengths)?;
        Self::of(&code_lengths(bits, &lengths, alphabet)?)
    }

    /// The code whose symbols have these lengths; 0 for those that it does not have.
    fn of(lengths: &[usize]) -> Option<Self> {
        let mut counts = [0; LONGEST + 1];
        for length in lengths.iter().filter(|length| **length > 0) {
            counts[*length] += 1;
        }
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|one| lengths[*one] > 0).collect();
        symbols.sort_by_key(|symbol| lengths[*symbol]);
        if symbols.len() < 2 {
            return (symbols.len() == 1).then_some(Self {
                symbols,
                counts: [0; LONGEST + 1],
            });
        }
        let used: usize = (1..=LONGEST)
            .map(|length| counts[length] << (LONGEST - length))
            .sum();
        (used == 1 << LONGEST).then_some(Self { symbols, counts })
    }

    /// Whether its only symbol takes no bits.
    fn is_free(&self) -> bool {
        self.symbols.len() == 1
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Option<usize> {
        if self.is_free() {
            return self.symbols.first().copied();
        }
        let (mut code, mut first, mut index) = (0, 0, 0);
        for length in 1..=LONGEST {
            code = code << 1 | bits.read(1)? as usize;
            first <<= 1;
            let count = self.counts[length];
            if code - first < count {
                return self.symbols.get(index + code - first).copied();
            }
            index += count;
            first += count;
        }
        None
    }
}

/// Reads the lengths of a code's symbols.
fn code_lengths(bits: &mut Bits<'_>, code: &Code, alphabet: usize) -> Option<Vec<usize>> {
    let mut left = alphabet;
    if bits.read(1)? == 1 {
        let width = 2 + 2 * bits.read(3)?;
        left = 2 + bits.read(width)? as usize;
        if left > alphabet {
            return None;
        }
    }
    let mut lengths = Vec::with_capacity(alphabet);
    let mut last = 8;
    while lengths.len() < alphabet && left > 0 {
        left -= 1;
        let (length, times) = match code.symbol(bits)? {
            length @ 0..=15 => (length, 1),
            16 => (last, 3 + bits.read(2)? as usize),
            17 => (0, 3 + bits.read(3)? as usize),
            _ => (0, 11 + bits.read(7)? as usize),
        };
        if length > 0 {
            last = length;
        }
        lengths.extend(std::iter::repeat_n(length, times));
    }
    (lengths.len() <= alphabet).then_some(())?;
    lengths.resize(alphabet, 0);
    Some(lengths)
}

/// Bits, the lowest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    /// Up to 32 bits as a number; `None` at the end.
    fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.position / 8)?;
            value |= u32::from(byte >> (self.position % 8) & 1) << place;
            self.position += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prediction whose image has references as its only values, which take no bits.
    const REFERENCES_WITHOUT_BITS: [u8; 9] = [0x01, 0x80, 0x20, 0xfe, 0xaf, 0x65, 0x44, 0x44, 0x00];
    const LARGEST: FrameSize = FrameSize::new(1 << 24, 1 << 24);

    #[test]
    fn values_without_bits_are_read_once() {
        let codes = prefix_codes(&REFERENCES_WITHOUT_BITS, Some(LARGEST));
        let one = PrefixCodes {
            groups: 1,
            cached_colors: 0,
        };
        assert_eq!(codes, Some(one));
        // Behind the kind of the transform and the size of its blocks.
        let mut bits = Bits {
            bytes: &REFERENCES_WITHOUT_BITS,
            position: 6,
        };
        assert_eq!(sub_image(&mut bits, LARGEST, |_, _| {}), Some(1));
    }
}
