//! The images of a reconstruction as they are exported: as the model saw them, or as the photos at full
//! resolution, without the distortion of their lenses.

use std::io;

use ::image::codecs::jpeg::JpegEncoder;
use ::image::codecs::png::{CompressionType, FilterType, PngEncoder};
use ::image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage, imageops};
use nalgebra::Matrix3;

use super::reconstruction::{PlacedFrame, Reconstruction, WriteError};
use crate::geometry::{Distortion, FrameSize, Region, resampled, resampled_whole};

/// JPEG quality of exported photos, of 100.
const QUALITY: u8 = 95;
/// How much an undistorted photo may be enlarged or reduced in its middle.
const ZOOMS: [f64; 2] = [0.25, 4.0];
/// Halvings of the range of zooms: to less than a thousandth of a pixel at 64 million pixels.
const HALVINGS: u32 = 30;
/// Points of each side of a photo that its zoom is chosen by.
const SIDE_POINTS: u32 = 64;

/// Which images a file has.
#[derive(Clone, Copy)]
pub enum Images<'a> {
    /// As the model saw them, lossless.
    Processed,
    /// The photos of the clients.
    Original(&'a dyn Photos),
}

/// The photos that the frames were made of.
pub trait Photos {
    /// Reads the upright photo of a frame, counted from 0, and passes it on, with the part of it that the
    /// frame shows. What it takes in memory is given back when `take` returns.
    ///
    /// # Errors
    /// Those of the storage, or if the photo cannot be decoded.
    fn read(&self, frame: usize, take: &mut dyn FnMut(RgbImage, Region)) -> io::Result<()>;
}

impl Images<'_> {
    /// The extension of the images' files.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Processed => "png",
            Self::Original(_) => "jpg",
        }
    }

    /// The image of a frame, and its file.
    ///
    /// # Errors
    /// [`WriteError`] if the image or photo cannot be read or encoded.
    pub(super) fn export(
        self,
        reconstruction: &Reconstruction,
        frame: &PlacedFrame,
    ) -> Result<(ExportedImage, Vec<u8>), WriteError> {
        let processed = Lens {
            intrinsics: frame.camera.intrinsics,
            distortion: frame.camera.distortion,
        };
        let processed_size = reconstruction.image_size();
        let Self::Original(photos) = self else {
            let image = ExportedImage {
                size: processed_size,
                lens: processed,
                processed,
                photo: None,
            };
            return Ok((image, png(&reconstruction.image(frame)?)?));
        };
        let mut exported = None;
        let mut take = |picture: RgbImage, region| {
            let size = FrameSize::of(&picture);
            let photo = Lens {
                intrinsics: resampled_whole(&processed.intrinsics, size, region, processed_size),
                distortion: processed.distortion,
            };
            let image = ExportedImage {
                size,
                lens: photo.undistorted(size),
                processed,
                photo: Some(photo),
            };
            exported = Some(jpeg(&image.undistort(picture)).map(|file| (image, file)));
        };
        photos
            .read(frame.index, &mut take)
            .map_err(WriteError::Read)?;
        exported.unwrap_or_else(|| {
            let error = io::Error::other("the photo was not passed on");
            Err(WriteError::Read(error))
        })
    }
}

/// A lossless file, so that points and pixels have the same colours.
fn png(image: &RgbImage) -> Result<Vec<u8>, WriteError> {
    let mut file = Vec::new();
    PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
        .write_image(
            image.as_raw(),
            image.width(),
            image.height(),
            ExtendedColorType::Rgb8,
        )?;
    Ok(file)
}

fn jpeg(image: &RgbImage) -> Result<Vec<u8>, WriteError> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, QUALITY).encode_image(image)?;
    Ok(file)
}

/// An image as it is exported, with its camera.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExportedImage {
    pub size: FrameSize,
    pub lens: Lens,
    /// That of the processed image.
    processed: Lens,
    /// That of the photo, if it is the photo that is exported.
    photo: Option<Lens>,
}

impl ExportedImage {
    /// Where a pixel of the processed image is, as indices.
    pub fn place(&self, pixel: [f64; 2]) -> [f64; 2] {
        if self.photo.is_none() {
            return pixel;
        }
        let seen = self.processed.unproject(pixel);
        // A pixel that is a point has a ray.
        let ray = self.processed.distortion.undistort(seen).unwrap_or(seen);
        self.lens.see(ray)
    }

    /// The photo as this camera sees it.
    fn undistort(&self, photo: RgbImage) -> RgbImage {
        let Some(lens) = self.photo.filter(|lens| !lens.distortion.is_none()) else {
            return photo;
        };
        let [right, bottom] = [photo.width(), photo.height()].map(|side| f64::from(side) - 1.0);
        RgbImage::from_fn(self.size.width, self.size.height, |u, v| {
            let [x, y] = lens.see(self.lens.unproject([u, v].map(f64::from)));
            let (x, y) = (x.clamp(0.0, right) as f32, y.clamp(0.0, bottom) as f32);
            imageops::interpolate_bilinear(&photo, x, y).unwrap_or(Rgb([0; 3]))
        })
    }

    /// The size of a depth map of this image with the resolution of the processed image, and for each of
    /// its pixels in row-major order the row-major index in the processed image; `None` beyond it.
    pub fn depth_map(
        &self,
        processed: FrameSize,
    ) -> (FrameSize, impl Iterator<Item = Option<usize>> + use<>) {
        let (lens, of_processed) = (self.lens, self.processed);
        let is_same = self.photo.is_none();
        // Without the crop that made the processed image.
        let side = |side: u32, axis: usize| {
            let scale = of_processed.intrinsics[(axis, axis)] / lens.intrinsics[(axis, axis)];
            ((f64::from(side) * scale).round() as u32).clamp(1, side.max(1))
        };
        let size = match is_same {
            true => processed,
            false => FrameSize::new(side(self.size.width, 0), side(self.size.height, 1)),
        };
        let own = Lens {
            intrinsics: resampled(&lens.intrinsics, self.size, Region::WHOLE, size),
            distortion: Distortion::NONE,
        };
        let pixels = (0..size.height).flat_map(move |v| (0..size.width).map(move |u| [u, v]));
        let indices = pixels.map(move |[u, v]| {
            let index = |u: u32, v: u32| v as usize * processed.columns() + u as usize;
            if is_same {
                return Some(index(u, v));
            }
            let place = of_processed.see(own.unproject([u, v].map(f64::from)));
            let [u, v] = place.map(f64::round);
            let is_within = (0.0..f64::from(processed.width)).contains(&u)
                && (0.0..f64::from(processed.height)).contains(&v);
            is_within.then(|| index(u as u32, v as u32))
        });
        (size, indices)
    }
}

/// What maps the rays of a camera to pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lens {
    /// Camera coordinates to pixel indices.
    pub intrinsics: Matrix3<f64>,
    pub distortion: Distortion,
}

impl Lens {
    /// The point at depth 1, distorted, of a pixel.
    fn unproject(&self, [u, v]: [f64; 2]) -> [f64; 2] {
        let k = &self.intrinsics;
        let y = (v - k[(1, 2)]) / k[(1, 1)];
        [(u - k[(0, 2)] - k[(0, 1)] * y) / k[(0, 0)], y]
    }

    /// The pixel where a point at depth 1 appears.
    fn see(&self, ray: [f64; 2]) -> [f64; 2] {
        let k = &self.intrinsics;
        let [x, y] = self.distortion.distort(ray);
        [
            k[(0, 0)] * x + k[(0, 1)] * y + k[(0, 2)],
            k[(1, 1)] * y + k[(1, 2)],
        ]
    }

    /// A pinhole camera that sees as much as it can of an image of this size, and nothing beyond it.
    fn undistorted(&self, size: FrameSize) -> Self {
        if self.distortion.is_none() {
            return *self;
        }
        let [mut too_wide, mut enough] = ZOOMS;
        for _ in 0..HALVINGS {
            let zoom = (too_wide * enough).sqrt();
            match self.covers(&self.pinhole(zoom), size) {
                true => enough = zoom,
                false => too_wide = zoom,
            }
        }
        self.pinhole(enough)
    }

    fn pinhole(&self, zoom: f64) -> Self {
        let mut intrinsics = self.intrinsics;
        for entry in [(0, 0), (0, 1), (1, 1)] {
            intrinsics[entry] *= zoom;
        }
        Self {
            intrinsics,
            distortion: Distortion::NONE,
        }
    }

    /// Whether an image of this size has all that a pinhole camera sees in one of the same size.
    fn covers(&self, pinhole: &Self, size: FrameSize) -> bool {
        let [right, bottom] = [size.width, size.height].map(|side| f64::from(side) - 1.0);
        let fold = self.distortion.fold();
        (0..=SIDE_POINTS).all(|step| {
            let along = f64::from(step) / f64::from(SIDE_POINTS);
            let (u, v) = (along * right, along * bottom);
            [[u, 0.0], [u, bottom], [0.0, v], [right, v]]
                .into_iter()
                .all(|pixel| {
                    let ray = pinhole.unproject(pixel);
                    let [x, y] = self.see(ray);
                    // The middle half of the outermost pixels.
                    ray[0].hypot(ray[1]) <= fold
                        && (-0.25..=right + 0.25).contains(&x)
                        && (-0.25..=bottom + 0.25).contains(&y)
                })
        })
    }
}
