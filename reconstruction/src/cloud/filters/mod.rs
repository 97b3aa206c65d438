//! Filters that remove points from a cloud at the request of a client.
//!
//! Filters change nothing else: the confidence threshold, the session's world and the cameras are
//! those of the unfiltered result, so results with and without filters overlay.

mod background;
mod edges;
mod voxels;

use ::image::RgbImage;
use nalgebra::Similarity3;
use rayon::prelude::*;

use background::{is_black, is_white};
pub(crate) use edges::is_edge;
use edges::lies_at_edge;
pub use voxels::VoxelSize;
pub(crate) use voxels::keep_most_confident;

use super::confident::ConfidentPixels;
use super::sample::Pixel;
use super::unproject::Unprojector;

/// Which confident pixels are removed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointFilters {
    /// Remove pixels at a discontinuity of depth: a jump of more than 4 % within 3 x 3 pixels.
    pub edges: bool,
    /// Remove pixels whose channels are all below 16.
    pub black_background: bool,
    /// Remove pixels whose channels are all at least 240.
    pub white_background: bool,
    /// Keep the most confident point of each cube of this size.
    pub voxel_size: Option<VoxelSize>,
}

impl PointFilters {
    /// Removes nothing.
    pub const OFF: PointFilters = PointFilters {
        edges: false,
        black_background: false,
        white_background: false,
        voxel_size: None,
    };

    /// Whether no filter is on.
    pub fn is_off(&self) -> bool {
        *self == PointFilters::OFF
    }

    /// The confident pixels that pass all filters, ordered by frame and index. `images` has one
    /// image per frame, with the size of the prediction; `to_glb` maps the world of the prediction
    /// to the coordinates of the voxels.
    ///
    /// Parallel on rayon's pool.
    pub(super) fn apply(
        &self,
        pixels: &ConfidentPixels,
        images: &[&RgbImage],
        to_glb: &Similarity3<f64>,
    ) -> Vec<Pixel> {
        let passing: Vec<Pixel> = images
            .par_iter()
            .enumerate()
            .flat_map_iter(|(frame, image)| self.of_frame(pixels, frame, image))
            .collect();
        match self.voxel_size {
            Some(size) => {
                let unprojector = Unprojector::new(pixels, to_glb);
                voxels::most_confident(&passing, pixels, &unprojector, size)
            }
            None => passing,
        }
    }

    /// Whether a pixel is removed because of its colour.
    pub(crate) fn is_background(&self, color: [u8; 3]) -> bool {
        self.black_background && is_black(color) || self.white_background && is_white(color)
    }

    fn of_frame(
        &self,
        pixels: &ConfidentPixels,
        frame: usize,
        image: &RgbImage,
    ) -> impl Iterator<Item = Pixel> {
        let prediction = pixels.prediction();
        let colors: &[[u8; 3]] = image.as_raw().as_chunks().0;
        pixels
            .of_frame(frame)
            .filter(move |&index| {
                let color = colors[index as usize];
                !(self.is_background(color)
                    || self.edges && lies_at_edge(prediction, frame, index as usize))
            })
            .map(move |index| Pixel {
                frame: frame as u32,
                index,
            })
    }
}
