//! Reads the sequence parameter set of a coded picture (ITU-T H.265, 7.3.2.2), as far as its colours.
//!
//! The decoder allocates the picture that this set announces. It tells only the size after cropping, which
//! can be any part of it.

use heic_rs::{ChromaFormat, Error, MatrixCoefficients, Nclx, Range, Result};

use crate::geometry::FrameSize;

/// What a set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    /// Size of the picture that is decoded.
    pub coded: FrameSize,
    /// Size of the part of it that is kept.
    pub kept: FrameSize,
    pub chroma: ChromaFormat,
    /// Bits of a sample of luminance.
    pub depth: u8,
    /// How colours are coded, if it says so.
    pub colour: Option<Nclx>,
}

/// The type of a unit of the coded picture, `None` if it is of another layer than the picture.
pub(super) fn unit_type(unit: &[u8]) -> Option<u8> {
    let &[first, second, ..] = unit else {
        return None;
    };
    let layer = (first & 1) << 5 | second >> 3;
    (layer == 0).then_some(first >> 1 & 0x3f)
}

impl Sequence {
    /// Reads a set.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn read(unit: &[u8]) -> Result<Self> {
        let content = without_escapes(unit.get(2..).unwrap_or_default());
        let mut bits = Bits {
            bytes: &content,
            at: 0,
        };
        bits.skip(4)?;
        let layers = bits.take(3)?;
        bits.skip(1)?;
        bits.skip_profile(layers)?;
        bits.number()?;
        let format = bits.number()?;
        let format = if format == 3 && bits.flag()? {
            0
        } else {
            format
        };
        let chroma = u8::try_from(format).ok().and_then(ChromaFormat::from_idc);
        let chroma = chroma.ok_or(Error::Malformed("the picture has no known chroma format"))?;
        let coded = FrameSize::new(bits.number()?, bits.number()?);
        let mut kept = coded;
        if bits.flag()? {
            let (across, down) = (1 << chroma.x_shift(), 1 << chroma.y_shift());
            let mut cropped = |side: u32, unit: u32| {
                let (before, after) = (bits.number()?, bits.number()?);
                let cropped = before.checked_add(after);
                cropped
                    .and_then(|count| side.checked_sub(count.checked_mul(unit)?))
                    .ok_or(Error::Malformed("the picture is cropped to nothing"))
            };
            kept = FrameSize::new(cropped(coded.width, across)?, cropped(coded.height, down)?);
        }
        let depth = bits.number()?.saturating_add(8);
        let depth =
            u8::try_from(depth).map_err(|_| Error::Malformed("samples of too many bits"))?;
        Ok(Self {
            coded,
            kept,
            chroma,
            depth,
            colour: bits.colour(layers).unwrap_or(None),
        })
    }
}

/// The content without the bytes that only keep it from looking like the start of a unit.
fn without_escapes(content: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let kept = content.iter().filter(|&&byte| {
        let is_escape = zeros >= 2 && byte == 3;
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        !is_escape
    });
    kept.copied().collect()
}

/// Reads numbers of some bits, the highest bit first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    const END: Error = Error::Truncated("a sequence parameter set");

    fn flag(&mut self) -> Result<bool> {
        let byte = self.bytes.get(self.at / 8).ok_or(Self::END)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit != 0)
    }

    fn take(&mut self, count: u32) -> Result<u32> {
        (0..count).try_fold(0, |number, _| Ok(number << 1 | u32::from(self.flag()?)))
    }

    fn skip(&mut self, count: usize) -> Result<()> {
        self.at = self.at.checked_add(count).ok_or(Self::END)?;
        if self.at > self.bytes.len() * 8 {
            return Err(Self::END);
        }
        Ok(())
    }

    /// A number in the code of Golomb.
    fn number(&mut self) -> Result<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(Error::Malformed("a number of too many bits"));
            }
        }
        Ok((1 << zeros) - 1 + self.take(zeros)?)
    }

    fn skip_numbers(&mut self, count: u32) -> Result<()> {
        (0..count).try_for_each(|_| self.number().map(drop))
    }

    /// Skips profile, tier and level, of the sequence and of so many layers (7.3.3).
    fn skip_profile(&mut self, layers: u32) -> Result<()> {
        const PROFILE: usize = 88;
        const LEVEL: usize = 8;
        self.skip(PROFILE + LEVEL)?;
        let mut skipped = 0;
        for _ in 0..layers {
            let (profile, level) = (self.flag()?, self.flag()?);
            skipped += if profile { PROFILE } else { 0 } + if level { LEVEL } else { 0 };
        }
        if layers > 0 {
            self.skip(2 * (8 - layers as usize))?;
        }
        self.skip(skipped)
    }

    /// Reads how colours are coded, from behind the depth of luminance. `None` if nothing is said.
    fn colour(&mut self, layers: u32) -> Result<Option<Nclx>> {
        // Depth of colours, and bits of a picture's number.
        self.skip_numbers(2)?;
        let described = if self.flag()? { layers + 1 } else { 1 };
        self.skip_numbers(3 * described)?;
        // Sizes of blocks and how often they are divided.
        self.skip_numbers(6)?;
        if self.flag()? && self.flag()? {
            self.skip_scaling_lists()?;
        }
        // Two tools of coding, and one with parameters.
        self.skip(2)?;
        if self.flag()? {
            self.skip(8)?;
            self.skip_numbers(2)?;
            self.skip(1)?;
        }
        // A still picture refers to no others.
        if self.number()? != 0 || self.flag()? {
            return Ok(None);
        }
        self.skip(2)?;
        if !self.flag()? {
            return Ok(None);
        }
        // Aspect ratio and overscan.
        if self.flag()? && self.take(8)? == 255 {
            self.skip(32)?;
        }
        if self.flag()? {
            self.skip(1)?;
        }
        if !self.flag()? {
            return Ok(None);
        }
        self.skip(3)?;
        let range = if self.flag()? {
            Range::Full
        } else {
            Range::Limited
        };
        let mut code = [2; 3];
        if self.flag()? {
            for code in &mut code {
                *code = self.take(8)? as u16;
            }
        }
        let [primaries, transfer, matrix_code] = code;
        Ok(Some(Nclx {
            primaries,
            transfer,
            matrix: MatrixCoefficients::from_code(matrix_code),
            matrix_code,
            range,
        }))
    }

    /// Skips the lists of factors by which frequencies are scaled (7.3.4).
    fn skip_scaling_lists(&mut self) -> Result<()> {
        for size in 0..4 {
            for _ in 0..if size == 3 { 2 } else { 6 } {
                if !self.flag()? {
                    self.number()?;
                    continue;
                }
                let first = u32::from(size > 1);
                self.skip_numbers(first + if size == 0 { 16 } else { 64 })?;
            }
        }
        Ok(())
    }
}
