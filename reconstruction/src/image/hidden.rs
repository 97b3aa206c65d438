//! The transparent pixels of an image: nobody sees them, so their colours are nobody's business.

use ::image::metadata::Orientation;
use ::image::{DynamicImage, GrayImage, ImageBuffer, Pixel, Rgb, RgbImage, imageops};

use crate::geometry::FrameSize;

use super::resize::{Interpolation, touched};
use super::unify::centre;

/// What hidden pixels look like to the model and in small copies.
const NEUTRAL: Rgb<u8> = Rgb([128; 3]);
/// In the mask; 0 is visible.
const HIDDEN: u8 = u8::MAX;

/// Which pixels of an image are hidden: those that are less than half opaque. There is at least one.
///
/// A hidden pixel is never a point. Its colour is replaced before pixels are mixed, and a pixel that is
/// mixed from others is hidden if one of them is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenPixels {
    mask: GrayImage,
}

impl HiddenPixels {
    /// The hidden pixels of a decoded image, `None` if there are none.
    pub(super) fn of(image: &DynamicImage) -> Option<Self> {
        match image {
            DynamicImage::ImageLumaA8(image) => Self::find(image, u8::MAX / 2),
            DynamicImage::ImageRgba8(image) => Self::find(image, u8::MAX / 2),
            DynamicImage::ImageLumaA16(image) => Self::find(image, u16::MAX / 2),
            DynamicImage::ImageRgba16(image) => Self::find(image, u16::MAX / 2),
            _ => None,
        }
    }

    /// Alpha is the last channel of a pixel.
    fn find<P: Pixel>(image: &ImageBuffer<P, Vec<P::Subpixel>>, half: P::Subpixel) -> Option<Self> {
        let channels = usize::from(P::CHANNEL_COUNT);
        let alphas = || image.as_raw().iter().skip(channels - 1).step_by(channels);
        if alphas().all(|alpha| *alpha > half) {
            return None;
        }
        let mask = alphas().map(|alpha| if *alpha > half { 0 } else { HIDDEN });
        GrayImage::from_raw(image.width(), image.height(), mask.collect()).map(|mask| Self { mask })
    }

    /// `None` if no pixel is hidden.
    fn some(mask: GrayImage) -> Option<Self> {
        mask.iter()
            .any(|pixel| *pixel != 0)
            .then_some(Self { mask })
    }

    /// Size of the image.
    pub fn size(&self) -> FrameSize {
        self.mask.dimensions().into()
    }

    /// Whether each pixel is hidden, row-major.
    pub fn iter(&self) -> impl Iterator<Item = bool> {
        self.mask.iter().map(|pixel| *pixel != 0)
    }

    /// Replaces the colours of the hidden pixels.
    pub(super) fn cover(&self, image: &mut RgbImage) {
        for (pixel, hidden) in image.pixels_mut().zip(self.iter()) {
            if hidden {
                *pixel = NEUTRAL;
            }
        }
    }

    pub(super) fn upright(self, orientation: Orientation) -> Self {
        let mut upright = DynamicImage::ImageLuma8(self.mask);
        upright.apply_orientation(orientation);
        Self {
            mask: upright.into_luma8(),
        }
    }

    /// Those of the image when it is resized: all that a hidden pixel has a part in.
    pub(super) fn resized(&self, size: FrameSize, interpolation: Interpolation) -> Option<Self> {
        Self::some(touched(&self.mask, size, interpolation))
    }

    /// Those of a part of the image, `None` if none are in it.
    pub(super) fn cropped(&self, left: u32, top: u32, size: FrameSize) -> Option<Self> {
        let FrameSize { width, height } = size;
        let part = imageops::crop_imm(&self.mask, left, top, width, height);
        Self::some(part.to_image())
    }

    /// Those of [`center_crop`](super::center_crop), `None` if none are in it.
    pub fn center_crop(&self, size: FrameSize) -> Option<Self> {
        let (left, top, size) = centre(self.size(), size);
        self.cropped(left, top, size)
    }

    /// Bytes of [`to_bits`](Self::to_bits).
    pub fn bytes_of_bits(size: FrameSize) -> u64 {
        size.pixels().div_ceil(8)
    }

    /// One bit for each pixel, row-major, the first in the lowest bit of the first byte.
    pub fn to_bits(&self) -> Vec<u8> {
        let bytes = self.mask.as_raw().chunks(8).map(|pixels| {
            let bits = pixels.iter().enumerate();
            bits.fold(0, |byte, (bit, pixel)| byte | u8::from(*pixel != 0) << bit)
        });
        bytes.collect()
    }

    /// Reads [`to_bits`](Self::to_bits), `None` if there are fewer bits or no pixel is hidden.
    pub fn from_bits(bits: &[u8], size: FrameSize) -> Option<Self> {
        let pixels = bits
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| if byte >> bit & 1 == 0 { 0 } else { HIDDEN }));
        let pixels: Vec<u8> = pixels.take(size.columns() * size.rows()).collect();
        Self::some(GrayImage::from_raw(size.width, size.height, pixels)?)
    }
}
