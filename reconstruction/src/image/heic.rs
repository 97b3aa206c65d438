//! Reads HEIC files: still pictures that are coded like one picture of a video (HEVC), in the container of
//! ISO/IEC 23008-12.
//!
//! The decoder compares only the size of the item with a limit, not those of the coded pictures, so all of
//! them are checked before it sees one. It is young: what makes it panic is a damaged file.

use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::image::error::{DecodingError, ImageFormatHint};
use ::image::{ColorType, ImageDecoder, ImageError, ImageResult};
use heic_rs::boxes::BoxIter;
use heic_rs::context::Context;
use heic_rs::meta::iref::RefKind;
use heic_rs::props::simple::{AuxKind, parse_auxc};
use heic_rs::{
    Error, Image, MatrixCoefficients, Mirror, Nclx, PixelLayout, Range, Transform, color, metadata,
    transform,
};
use moxcms::ColorProfile;

use crate::geometry::FrameSize;

use self::entries::Entries;
use self::picture::{Picture, Work, is_in_one_part, properties};
use super::colour::MAX_PROFILE;
use super::decode::{DecodeError, DecodeLimits, check_pixels};
use super::format::Format;

mod entries;
mod picture;
mod sequence;

/// Tiles of phones have so many pixels along each side. Those at the right and bottom edge stick out.
const TILE: u32 = 512;
/// How often each pixel may be decoded: once for each slice of a picture.
const MAX_SLICES: u64 = 4;
/// Primaries of Display P3 (ITU-T H.273).
const P3: u16 = 12;
/// Curves like that of sRGB, or none (ITU-T H.273).
const LIKE_SRGB: [u16; 4] = [1, 2, 6, 13];
/// How colours are coded if neither the file nor the coded picture says it (ISO/IEC 23000-22, 7.3.6.4).
const COLOUR: Nclx = Nclx {
    primaries: 1,
    transfer: 13,
    matrix: MatrixCoefficients::Bt601,
    matrix_code: 6,
    range: Range::Full,
};

/// A file whose pictures are within the limits.
pub(super) struct Still<'a> {
    context: Context<'a>,
    main: Picture,
    alpha: Option<Picture>,
    transforms: Vec<Transform>,
    colour: Nclx,
    profile: Option<Vec<u8>>,
    /// Upright.
    pub size: FrameSize,
    /// The most memory that decoding takes, in bytes.
    pub bytes: u64,
}

impl<'a> Still<'a> {
    /// Reads the headers of a file.
    ///
    /// # Errors
    /// If they are damaged, announce too much, or something that cannot be decoded.
    pub fn read(file: &'a [u8], limits: &DecodeLimits) -> Result<Self, DecodeError> {
        caught(|| Self::read_uncaught(file, limits))
    }

    fn read_uncaught(file: &'a [u8], limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let (mut still, entries) = Self::open(file).map_err(failure)?;
        check_pixels(still.size, limits)?;
        let most = most_coded(still.size, limits);
        for picture in iter::once(&still.main).chain(&still.alpha) {
            let size = picture.coded_size();
            if size.pixels() > most {
                let limit = limits.max_pixels;
                return Err(DecodeError::TooManyPixels { size, limit });
            }
        }
        let mut left = Work {
            bytes: limits.max_bytes as u64,
            pixels: most.saturating_mul(MAX_SLICES),
        };
        let Self {
            context,
            main,
            alpha,
            ..
        } = &mut still;
        for picture in iter::once(main).chain(alpha) {
            picture.check_tiles(context, &mut left).map_err(failure)?;
        }
        still.bytes = still.decoding_bytes() + entries.bytes();
        Ok(still)
    }

    /// Reads the container, and the first tile of each picture.
    fn open(file: &'a [u8]) -> heic_rs::Result<(Self, Entries)> {
        check_is_still(file)?;
        let entries = Entries::count(file)?;
        let context = Context::open(file)?;
        let item = context.meta.primary;
        let kind = context.meta.primary_item()?;
        if !kind.is_hevc() && !kind.is_grid() {
            return Err(Error::Unsupported("pictures that are not coded with HEVC"));
        }
        let properties = properties(&context, item)?;
        let (main, of_tile) = Picture::open(&context, item)?;
        let alpha = match alpha_item(&context, item) {
            Some(alpha) => Some(Picture::open(&context, alpha)?.0),
            None => None,
        };
        if alpha.as_ref().is_some_and(|alpha| alpha.size != main.size) {
            return Err(Error::Unsupported("an alpha channel of another size"));
        }
        check_transforms(&properties.transforms)?;
        let transforms = properties.transforms.into_iter().map(as_standardized);
        let transforms: Vec<_> = transforms.collect();
        let FrameSize { width, height } = main.size;
        let (width, height) = transform::transformed_size(width, height, &transforms)?;
        let said = properties.nclx.or(of_tile.nclx).or(main.sequence.colour);
        let mut colour = said.unwrap_or(COLOUR);
        if colour.matrix == MatrixCoefficients::Unspecified {
            colour.matrix = COLOUR.matrix;
        }
        let profile = properties.icc.or(of_tile.icc);
        let still = Self {
            context,
            main,
            alpha,
            transforms,
            colour,
            profile: profile.map_or_else(|| profile_of(colour), known_profile),
            size: FrameSize::new(width, height),
            bytes: 0,
        };
        Ok((still, entries))
    }

    pub fn has_alpha(&self) -> bool {
        self.alpha.is_some()
    }

    pub fn has_profile(&self) -> bool {
        self.profile.is_some()
    }

    fn decoding_bytes(&self) -> u64 {
        let main = self.main.decoded_bytes();
        let channels = if self.has_alpha() { 4 } else { 3 };
        let pixels = channels * self.main.size.pixels();
        // Some rows while colours are converted.
        let rows = 32 * u64::from(self.main.size.width);
        let (mut most, mut planes) = (self.main.decoding_bytes(), main);
        if let Some(alpha) = &self.alpha {
            most = most.max(main + alpha.decoding_bytes());
            planes += alpha.decoded_bytes();
        }
        most.max(planes + pixels + rows).max(2 * pixels)
    }

    /// Decodes the pictures and turns them upright.
    fn decode(&self) -> heic_rs::Result<Image> {
        let frame = self.main.decode(&self.context)?;
        let alpha = self.alpha.as_ref();
        let alpha = alpha.map(|alpha| alpha.decode(&self.context)).transpose()?;
        let layout = match alpha {
            Some(_) => PixelLayout::Rgba8,
            None => PixelLayout::Rgb8,
        };
        let alpha = alpha.as_ref();
        let image = color::convert(&frame, alpha, self.colour, layout, u64::MAX, Some(1))?;
        drop(frame);
        transform::apply_all(image, &self.transforms)
    }

    /// The EXIF data of the picture. Data that cannot be read count as missing.
    fn exif(&self) -> Option<Vec<u8>> {
        let item = self.context.exif_item(self.context.meta.primary)?;
        if !is_in_one_part(&self.context, item) {
            return None;
        }
        let data = self.context.item_data(item).ok()?;
        metadata::exif_tiff(&data).ok().map(<[u8]>::to_vec)
    }
}

/// The most pixels that may be coded for a picture of this size: the limit, or its tiles.
fn most_coded(size: FrameSize, limits: &DecodeLimits) -> u64 {
    let tiles = size.map(|side| side.div_ceil(TILE).saturating_mul(TILE));
    let overhang = limits.max_pixels / 4 + u64::from(TILE).pow(2);
    let most = limits.max_pixels.saturating_add(overhang);
    tiles.pixels().min(most).max(limits.max_pixels)
}

/// Sequences have a box of videos instead of that of pictures.
fn check_is_still(file: &[u8]) -> heic_rs::Result<()> {
    let mut is_sequence = false;
    for part in BoxIter::new(file) {
        let part = part?;
        if part.is(b"meta") {
            return Ok(());
        }
        is_sequence |= part.is(b"moov");
    }
    Err(match is_sequence {
        true => Error::Unsupported("a sequence of pictures"),
        false => Error::MissingBox("meta"),
    })
}

/// The alpha channel of an item. Phones attach other pictures, too: depth, and brightness for HDR.
fn alpha_item(context: &Context<'_>, item: u32) -> Option<u32> {
    let references = context.meta.refs.iter();
    let attached = references.filter(|it| it.kind == RefKind::Auxl && it.to.contains(&item));
    let is_alpha = |item| {
        let kind = context.meta.props.find(item, b"auxC");
        kind.and_then(|kind| parse_auxc(kind).ok())
            .is_some_and(|kind| kind.kind == AuxKind::Alpha)
    };
    attached.map(|it| it.from).find(|&from| is_alpha(from))
}

/// The standard allows each once. Each takes time for all pixels.
fn check_transforms(transforms: &[Transform]) -> heic_rs::Result<()> {
    let count = |is: fn(&Transform) -> bool| transforms.iter().filter(|it| is(it)).count();
    let most = count(|it| matches!(it, Transform::Crop(_)))
        .max(count(|it| matches!(it, Transform::Rotate(_))))
        .max(count(|it| matches!(it, Transform::Mirror(_))));
    if most > 1 {
        return Err(Error::Malformed("the picture is turned twice"));
    }
    Ok(())
}

/// The transform that is meant. The reader takes the axis of a mirror for the one that stays in place. Since
/// its second edition the standard says that 0 exchanges top and bottom, and phones have always meant that
/// (ISO/IEC 23008-12:2022, 6.5.12).
fn as_standardized(transform: Transform) -> Transform {
    match transform {
        Transform::Mirror(Mirror::LeftRight) => Transform::Mirror(Mirror::TopBottom),
        Transform::Mirror(Mirror::TopBottom) => Transform::Mirror(Mirror::LeftRight),
        other => other,
    }
}

fn known_profile(profile: &[u8]) -> Option<Vec<u8>> {
    (profile.len() <= MAX_PROFILE).then(|| profile.to_vec())
}

/// The profile of colours that are described by numbers, if it is Display P3. Others are taken as sRGB.
fn profile_of(colour: Nclx) -> Option<Vec<u8>> {
    if colour.primaries != P3 || !LIKE_SRGB.contains(&colour.transfer) {
        return None;
    }
    let mut profile = ColorProfile::new_display_p3();
    // The crate states other primaries there than those that it means.
    profile.cicp = None;
    profile.encode().ok()
}

/// A decoded file.
pub(super) struct HeicDecoder {
    image: Image,
    exif: Option<Vec<u8>>,
    profile: Option<Vec<u8>>,
}

impl HeicDecoder {
    /// Decodes a file.
    ///
    /// # Errors
    /// Those of [`Still::read`], and if the coded pictures are damaged.
    pub fn new(file: &[u8], limits: &DecodeLimits) -> Result<Self, DecodeError> {
        caught(|| {
            let still = Still::read_uncaught(file, limits)?;
            Ok(Self {
                image: still.decode().map_err(failure)?,
                exif: still.exif(),
                profile: still.profile,
            })
        })
    }
}

impl ImageDecoder for HeicDecoder {
    fn dimensions(&self) -> (u32, u32) {
        (self.image.width, self.image.height)
    }

    fn color_type(&self) -> ColorType {
        match self.image.layout {
            PixelLayout::Rgba8 => ColorType::Rgba8,
            _ => ColorType::Rgb8,
        }
    }

    fn icc_profile(&mut self) -> ImageResult<Option<Vec<u8>>> {
        Ok(self.profile.take())
    }

    fn exif_metadata(&mut self) -> ImageResult<Option<Vec<u8>>> {
        Ok(self.exif.take())
    }

    fn read_image(self, buffer: &mut [u8]) -> ImageResult<()> {
        if buffer.len() != self.image.data.len() {
            return Err(damaged(Error::Malformed("the picture has two sizes")));
        }
        buffer.copy_from_slice(&self.image.data);
        Ok(())
    }

    fn read_image_boxed(self: Box<Self>, buffer: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(buffer)
    }
}

/// Makes panics errors.
fn caught<T>(read: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    let panicked = |_| Err(failure(Error::Malformed("the decoder failed")));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(panicked)
}

fn failure(error: Error) -> DecodeError {
    match error {
        Error::Truncated(_) => DecodeError::Truncated(Format::Heic),
        Error::Unsupported(feature) => DecodeError::HeicFeature(feature),
        error => DecodeError::Damaged {
            format: Format::Heic,
            source: damaged(error),
        },
    }
}

fn damaged(error: Error) -> ImageError {
    let format = ImageFormatHint::Name(Format::Heic.to_string());
    ImageError::Decoding(DecodingError::new(format, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_decoder_is_a_damaged_file() {
        let error = caught::<()>(|| panic!("as if it were the decoder")).unwrap_err();
        assert!(matches!(error, DecodeError::Damaged { .. }), "{error}");
    }
}
