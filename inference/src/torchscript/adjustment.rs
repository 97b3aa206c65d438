//! Adjusts the cameras of placed frames together.

use pointstream_reconstruction::model::{AdjustedCamera, Adjustment, ModelError};
use pointstream_reconstruction::prediction::{LINK_NUMBERS, Links};
use tch::Tensor;

use super::errors::{Work, broken};
use super::inputs::{hint_rows, link_rows, placed_rows};
use super::model::TorchScriptModel;
use super::numbers::{CAMERA_NUMBERS, DISTORTED_CAMERA_NUMBERS, camera, integers, to_vec};

impl TorchScriptModel {
    /// What the model says about the points that the frames of a run share.
    pub(super) fn links(
        &self,
        state: &Tensor,
        size: &Tensor,
        work: Work,
    ) -> Result<Option<Links>, ModelError> {
        const ENTRY_POINT: &str = "links";
        if !self.metadata.adjust {
            return Ok(None);
        }
        let rows = self.call(ENTRY_POINT, &[state, size], work)?;
        let per_frame = match rows.size()[..] {
            [_, per_frame, _] => usize::try_from(per_frame).unwrap_or(0),
            _ => 0,
        };
        let shape = [work.frames, per_frame, LINK_NUMBERS];
        let numbers = to_vec(&rows, ENTRY_POINT, &shape, work)?;
        if !numbers.iter().all(|number| number.is_finite()) {
            return Err(broken(ENTRY_POINT, "a link is not finite"));
        }
        Ok(Links::new(work.frames, per_frame, numbers))
    }

    /// See [`Model::adjust`](pointstream_reconstruction::model::Model::adjust).
    pub(super) fn adjust_frames(
        &self,
        adjustment: &Adjustment<'_>,
    ) -> Result<Vec<Option<AdjustedCamera>>, ModelError> {
        const ENTRY_POINT: &str = "adjust";
        if adjustment.frames.is_empty() {
            return Err(ModelError::Empty);
        }
        if !self.metadata.adjust {
            let name = &self.metadata.name;
            return Err(ModelError::Features(format!(
                "{name} cannot adjust frames together"
            )));
        }
        let work = Work {
            frames: adjustment.frames.len(),
            size: adjustment.size,
        };
        let distortion = self.metadata.distortion;
        let links = link_rows(adjustment.links, self.device, work)?;
        let cameras = adjustment.frames.iter().map(|frame| Some(frame.camera));
        let cameras = placed_rows(cameras, distortion, ENTRY_POINT, self.device, work)?;
        let hints: Vec<_> = adjustment.frames.iter().map(|frame| frame.hint).collect();
        let hints = hint_rows(&hints, self.device, work)?;
        let size = integers(
            [i64::from(work.size.height), i64::from(work.size.width)],
            work,
        )?;
        let rows = self.call(ENTRY_POINT, &[&links, &cameras, &hints, &size], work)?;
        let columns = match distortion {
            true => DISTORTED_CAMERA_NUMBERS,
            false => CAMERA_NUMBERS,
        };
        let numbers = to_vec(&rows, ENTRY_POINT, &[work.frames, columns + 1], work)?;
        numbers
            .chunks_exact(columns + 1)
            .map(|row| {
                let (row, factor) = row.split_at(columns);
                let depth_factor = f64::from(factor[0]);
                let finite = row.iter().all(|number| number.is_finite());
                if !finite || !depth_factor.is_normal() || depth_factor < 0.0 {
                    return Err(broken(ENTRY_POINT, "a camera or its depths are impossible"));
                }
                let camera = camera(row);
                Ok(camera.registered.then_some(AdjustedCamera {
                    camera,
                    depth_factor,
                }))
            })
            .collect()
    }
}
