//! What a client may have left out of its point cloud, beyond what the model is unsure of.
//!
//! Filters only ever remove points: the confidence threshold, the session's world and the cameras
//! are those of the unfiltered result, so results with and without filters overlay.

mod background;
mod edges;
mod voxels;

use ::image::RgbImage;
use nalgebra::Similarity3;
use rayon::prelude::*;

pub use background::{BLACK_BELOW, WHITE_FROM, is_black, is_white};
pub use edges::{EDGE_JUMP, lies_at_edge};
pub use voxels::VoxelSize;

use super::confident::ConfidentPixels;
use super::sample::Pixel;
use super::unproject::Unprojector;

/// Which confident pixels do not become points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointFilters {
    /// Leave out what [lies at a discontinuity](lies_at_edge) of the depth.
    pub edges: bool,
    /// Leave out what [is black](is_black).
    pub black_background: bool,
    /// Leave out what [is white](is_white).
    pub white_background: bool,
    /// Keep one point of each cube of this size, the most confident one.
    pub voxel_size: Option<VoxelSize>,
}

impl PointFilters {
    /// All confident pixels may become points.
    pub const OFF: PointFilters = PointFilters {
        edges: false,
        black_background: false,
        white_background: false,
        voxel_size: None,
    };

    /// Whether there is nothing to do.
    pub fn is_off(&self) -> bool {
        *self == PointFilters::OFF
    }

    /// The confident pixels that pass, ordered by frame and index. There is one image for each
    /// frame of the prediction, as large as it; `to_glb` places the voxels.
    ///
    /// Runs on all threads of rayon's pool.
    pub fn apply(
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
                !(self.black_background && is_black(color)
                    || self.white_background && is_white(color)
                    || self.edges && lies_at_edge(prediction, frame, index as usize))
            })
            .map(move |index| Pixel {
                frame: frame as u32,
                index,
            })
    }
}
