//! The depth of a reconstruction that a mesh is made of.

use super::super::reconstruction::{PlacedFrame, Reconstruction, WriteError, mismatch};
use crate::cloud::{PointFilters, is_edge, is_known};
use crate::surface::{DepthFrame, DepthFrames};

/// Which pixels count.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthRules {
    /// The confidence that the pixels of each frame must have; a frame without one does not count.
    pub thresholds: Vec<Option<f32>>,
    /// Pixels of the background do not count. Those at edges never do, whether they are filtered or not, and how many
    /// points a cube keeps does not matter.
    pub filters: PointFilters,
}

/// The depth of the placed frames, in GLB units.
pub(super) struct ReconstructionDepth<'a> {
    pub reconstruction: &'a Reconstruction<'a>,
    pub placed: Vec<PlacedFrame<'a>>,
    pub rules: &'a DepthRules,
}

impl DepthFrames for ReconstructionDepth<'_> {
    type Error = WriteError;

    fn count(&self) -> usize {
        self.placed.len()
    }

    fn read(&self, index: usize) -> Result<Option<DepthFrame>, WriteError> {
        let missing = || WriteError::Read(mismatch("there is no such frame"));
        let frame = self.placed.get(index).ok_or_else(missing)?;
        let threshold = self.rules.thresholds.get(frame.index).copied().flatten();
        let Some(threshold) = threshold else {
            return Ok(None);
        };
        let reconstruction = self.reconstruction;
        let size = reconstruction.image_size();
        let depth = reconstruction.depth(frame)?;
        let confidence = reconstruction.confidence(frame)?;
        let pixels = size.columns() * size.rows();
        if [depth.len(), confidence.len()] != [pixels; 2] {
            return Err(WriteError::Read(mismatch("depth has the wrong size")));
        }
        let image = reconstruction.image(frame)?;
        let colors: &[[u8; 3]] = image.as_raw().as_chunks().0;
        let scale = reconstruction.cameras.world_to_glb().scaling();
        let counts = |index: usize| {
            is_known(confidence[index], depth[index])
                && confidence[index] >= threshold
                && !colors
                    .get(index)
                    .is_none_or(|&color| self.rules.filters.is_background(color))
                && !is_edge(size, &depth, &confidence, index)
        };
        let scaled = |index: usize| match counts(index) {
            true => (f64::from(depth[index]) * scale) as f32,
            false => 0.0,
        };
        Ok(Some(DepthFrame {
            pose: frame.pose,
            intrinsics: frame.camera.intrinsics,
            distortion: frame.camera.distortion,
            depth: (0..pixels).map(scaled).collect(),
            image,
        }))
    }
}
