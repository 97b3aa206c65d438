//! Resizes images to what a model takes as input.

use ::image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;
use utoipa::ToSchema;

use crate::geometry::{FrameSize, Region};
use crate::word_list;

use super::hidden::HiddenPixels;
use super::resize::{Interpolation, resize};

/// Most pixels of a preprocessed image, also before the second step makes it smaller.
///
/// Lower bounds make long images large: a strip of 20000x100 pixels would become 100800x504.
pub const MAX_PROCESSED_PIXELS: u64 = 32 << 20;

/// The same as a multiple of the square of the processing resolution: a lower bound of 504 takes images
/// that are up to 10 times as long as wide. What the model needs grows with the pixels of a frame.
const MAX_SQUARES: u64 = 10;

/// How the processing resolution bounds the size of an image.
///
/// The image is first scaled, its aspect ratio kept, until its longest or its shortest side is
/// the processing resolution. Then both sides are made multiples of the patch size.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(
    serialize_all = "snake_case",
    parse_err_fn = unknown_method,
    parse_err_ty = UnknownProcessResMethod
)]
pub enum ProcessResMethod {
    /// The longest side becomes the resolution; a second resize rounds to the nearest multiples.
    #[default]
    UpperBoundResize,
    /// The shortest side becomes the resolution; a second resize rounds to the nearest multiples.
    LowerBoundResize,
    /// The longest side becomes the resolution; a crop of the middle rounds down to multiples.
    UpperBoundCrop,
    /// The shortest side becomes the resolution; a crop of the middle rounds down to multiples.
    LowerBoundCrop,
}

impl ProcessResMethod {
    /// The side that the processing resolution bounds.
    fn bounded_side(self, size: FrameSize) -> u32 {
        match self {
            Self::UpperBoundResize | Self::UpperBoundCrop => size.width.max(size.height),
            Self::LowerBoundResize | Self::LowerBoundCrop => size.width.min(size.height),
        }
    }

    fn crops(self) -> bool {
        matches!(self, Self::UpperBoundCrop | Self::LowerBoundCrop)
    }
}

/// No [`ProcessResMethod`] has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "unknown method {0:?}; the methods are {names}",
    names = word_list(ProcessResMethod::VARIANTS.iter().map(<&str>::from), "and")
)]
pub struct UnknownProcessResMethod(pub String);

fn unknown_method(name: &str) -> UnknownProcessResMethod {
    UnknownProcessResMethod(name.to_owned())
}

/// Why an image cannot be resized for a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PreprocessError {
    /// A side would be smaller than one patch.
    #[error(
        "the image of {image} would be {scaled} at processing \
         resolution {process_res}, and the model needs at least {patch_size} pixels a side; use a \
         higher resolution or a less narrow image"
    )]
    TooSmall {
        /// Size of the image.
        image: FrameSize,
        /// Size after scaling, before the sides are rounded to multiples of the patch size.
        scaled: FrameSize,
        process_res: u32,
        patch_size: u32,
    },
    /// The result would have more than [`MAX_PROCESSED_PIXELS`], or more than 10 squares of the
    /// resolution.
    #[error(
        "the image of {image} would be {scaled} at processing \
         resolution {process_res}, more than {most} pixels; use an upper bound or crop the image"
    )]
    TooLarge {
        /// Size of the image.
        image: FrameSize,
        /// Size after scaling, before the sides are rounded to multiples of the patch size.
        scaled: FrameSize,
        process_res: u32,
        /// Most pixels at this resolution.
        most: u64,
    },
}

/// Resizes an image to the processing resolution, with both sides multiples of `patch_size` pixels.
///
/// Enlarging uses cubic interpolation, shrinking the mean over the area, both as in OpenCV. Between
/// the two steps of a `resize` method the samples are rounded to 8 bits.
///
/// # Errors
///
/// Those of [`processed_size`].
pub fn preprocess(
    image: &RgbImage,
    process_res: u32,
    method: ProcessResMethod,
    patch_size: u32,
) -> Result<RgbImage, PreprocessError> {
    let steps = plan(FrameSize::of(image), process_res, method, patch_size)?;
    let scaled = resize_if_needed(image, steps.scaled);
    let scaled = scaled.as_ref().unwrap_or(image);
    let FrameSize { width, height } = steps.result;
    let result = if method.crops() {
        let (left, top) = steps.margins();
        imageops::crop_imm(scaled, left, top, width, height).to_image()
    } else {
        resize_if_needed(scaled, steps.result).unwrap_or_else(|| scaled.clone())
    };
    Ok(result)
}

/// The hidden pixels of the image that [`preprocess`] makes; `None` if it has none.
///
/// # Errors
///
/// Those of [`processed_size`].
pub fn preprocess_hidden(
    hidden: &HiddenPixels,
    process_res: u32,
    method: ProcessResMethod,
    patch_size: u32,
) -> Result<Option<HiddenPixels>, PreprocessError> {
    let steps = plan(hidden.size(), process_res, method, patch_size)?;
    let Some(scaled) = resize_hidden(hidden, steps.scaled) else {
        return Ok(None);
    };
    Ok(if method.crops() {
        let (left, top) = steps.margins();
        scaled.cropped(left, top, steps.result)
    } else {
        resize_hidden(&scaled, steps.result)
    })
}

fn resize_hidden(hidden: &HiddenPixels, size: FrameSize) -> Option<HiddenPixels> {
    match interpolation(hidden.size(), size) {
        Some(interpolation) => hidden.resized(size, interpolation),
        None => Some(hidden.clone()),
    }
}

/// The size that [`preprocess`] gives an image of size `image`.
///
/// # Errors
///
/// [`PreprocessError::TooSmall`] if a side would be smaller than a patch, which takes a very
/// narrow image or a very low resolution; [`PreprocessError::TooLarge`] if there would be more
/// than [`MAX_PROCESSED_PIXELS`] or 10 squares of the resolution.
pub fn processed_size(
    image: FrameSize,
    process_res: u32,
    method: ProcessResMethod,
    patch_size: u32,
) -> Result<FrameSize, PreprocessError> {
    plan(image, process_res, method, patch_size).map(|steps| steps.result)
}

/// The region of an image of size `image` that [`preprocess`] kept when it gave it the size `processed`.
pub fn processed_region(
    image: FrameSize,
    process_res: u32,
    method: ProcessResMethod,
    processed: FrameSize,
) -> Region {
    if !method.crops() {
        return Region::WHOLE;
    }
    let part = |side: u32, kept: u32| {
        let start = side.saturating_sub(kept) / 2;
        (
            f64::from(start) / f64::from(side),
            f64::from(kept) / f64::from(side),
        )
    };
    let scaled = scaled_size(image, process_res, method);
    let (left, width) = part(scaled.width, processed.width);
    let (top, height) = part(scaled.height, processed.height);
    Region {
        left,
        top,
        width,
        height,
    }
}

/// The size of an image after each of the two steps.
struct Steps {
    scaled: FrameSize,
    result: FrameSize,
}

impl Steps {
    /// The left and the top margin of a crop.
    fn margins(&self) -> (u32, u32) {
        let left = (self.scaled.width - self.result.width) / 2;
        (left, (self.scaled.height - self.result.height) / 2)
    }
}

/// The size of an image after the first step.
fn scaled_size(image: FrameSize, process_res: u32, method: ProcessResMethod) -> FrameSize {
    let bounded_side = method.bounded_side(image).max(1);
    let scale = f64::from(process_res) / f64::from(bounded_side);
    // Ties round to even, like Python's `round`.
    image.map(|side| {
        let rounded = (f64::from(side) * scale).round_ties_even();
        (rounded as u32).max(1)
    })
}

fn plan(
    image: FrameSize,
    process_res: u32,
    method: ProcessResMethod,
    patch_size: u32,
) -> Result<Steps, PreprocessError> {
    let patch_size = patch_size.max(1);
    let scaled = scaled_size(image, process_res, method);
    let result = scaled.map(|side| match method.crops() {
        true => side / patch_size * patch_size,
        false => nearest_multiple(side, patch_size),
    });
    if result.is_empty() {
        return Err(PreprocessError::TooSmall {
            image,
            scaled,
            process_res,
            patch_size,
        });
    }
    // Rounding to patches may add one to each side.
    let square = u64::from(process_res.max(patch_size)).saturating_pow(2);
    let most = MAX_PROCESSED_PIXELS.min(square.saturating_mul(MAX_SQUARES));
    if scaled.pixels() > most || result.pixels() > MAX_PROCESSED_PIXELS {
        return Err(PreprocessError::TooLarge {
            image,
            scaled,
            process_res,
            most,
        });
    }
    Ok(Steps { scaled, result })
}

/// The multiple of `patch_size` nearest to `side`; the larger of two equally near ones.
fn nearest_multiple(side: u32, patch_size: u32) -> u32 {
    let below = side / patch_size * patch_size;
    if side - below >= patch_size.div_ceil(2) {
        below.saturating_add(patch_size)
    } else {
        below
    }
}

/// Resizes an image unless it has the size already.
fn resize_if_needed(image: &RgbImage, size: FrameSize) -> Option<RgbImage> {
    let interpolation = interpolation(FrameSize::of(image), size)?;
    Some(resize(image, size, interpolation))
}

/// `None` if nothing is resized. Cubic as soon as one side grows.
fn interpolation(source: FrameSize, size: FrameSize) -> Option<Interpolation> {
    if source == size {
        return None;
    }
    let grows = size.width > source.width || size.height > source.height;
    Some(match grows {
        true => Interpolation::Cubic,
        false => Interpolation::Area,
    })
}
