//! Intrinsics of images that were cropped and resized.

use nalgebra::Matrix3;

use super::{FrameSize, Region};

/// The intrinsics of a region of an image of size `source`, resampled to `size`, by those of the image. The
/// centre of the top left pixel is (0, 0).
pub(crate) fn resampled(
    intrinsics: &Matrix3<f64>,
    source: FrameSize,
    region: Region,
    size: FrameSize,
) -> Matrix3<f64> {
    let [(sx, tx), (sy, ty)] = axes(source, region, size);
    Matrix3::new(sx, 0.0, tx, 0.0, sy, ty, 0.0, 0.0, 1.0) * intrinsics
}

/// The intrinsics of the image, by those of the region: the inverse of [`resampled`].
pub(crate) fn resampled_whole(
    intrinsics: &Matrix3<f64>,
    source: FrameSize,
    region: Region,
    size: FrameSize,
) -> Matrix3<f64> {
    let [(sx, tx), (sy, ty)] = axes(source, region, size);
    let (x, y) = (-tx / sx, -ty / sy);
    Matrix3::new(1.0 / sx, 0.0, x, 0.0, 1.0 / sy, y, 0.0, 0.0, 1.0) * intrinsics
}

/// Scale and shift of pixel coordinates, across and down, from an image to its region at `size`.
fn axes(source: FrameSize, region: Region, size: FrameSize) -> [(f64, f64); 2] {
    let axis = |source: u32, start: f64, extent: f64, size: u32| {
        // The image begins half a pixel before the centre of its first pixel.
        let scale = f64::from(size) / (extent * f64::from(source));
        let shift = (0.5 - start * f64::from(source)) * scale - 0.5;
        (scale, shift)
    };
    [
        axis(source.width, region.left, region.width, size.width),
        axis(source.height, region.top, region.height, size.height),
    ]
}
