//! The depth maps that a surface is made of.

use ::image::RgbImage;
use nalgebra::{Isometry3, Matrix3};

use crate::geometry::Distortion;

/// A depth map with its camera and its image.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthFrame {
    /// From camera coordinates (x right, y down, z forward) to those of the surface.
    pub pose: Isometry3<f64>,
    /// From camera coordinates to pixels; (0, 0) is the centre of the top left pixel.
    pub intrinsics: Matrix3<f64>,
    pub distortion: Distortion,
    /// z in camera coordinates, in the unit of the surface, row-major; 0 for a pixel that does not count.
    pub depth: Vec<f32>,
    /// A pixel for each depth.
    pub image: RgbImage,
}

/// Frames that are read one at a time.
pub trait DepthFrames {
    /// Why a frame cannot be read.
    type Error;

    /// How many there are.
    fn count(&self) -> usize;

    /// A frame, counted from 0; `None` if it shows nothing of the surface.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&self, index: usize) -> Result<Option<DepthFrame>, Self::Error>;
}
