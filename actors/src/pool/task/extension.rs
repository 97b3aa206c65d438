//! Placing new frames among placed ones.

use std::sync::Arc;

use pointstream_reconstruction::model::{
    ExtensionFrame, Features, Model, ModelError, OnStep, PlacedFrame,
};
use pointstream_reconstruction::prediction::Prediction;

use super::{TaskContext, TaskJob, hints};

impl TaskJob {
    /// Whether some frames of the job are placed.
    pub(super) fn extends(&self) -> bool {
        self.spec.frames.iter().any(|frame| frame.placed.is_some())
    }

    /// The prediction of the frames that are not placed. The model's own maps are kept for the next
    /// extension.
    pub(super) fn extend(
        &self,
        model: &dyn Model,
        context: &TaskContext,
        features: &[Arc<Features>],
        on_step: &mut OnStep<'_>,
    ) -> Result<Prediction, ModelError> {
        let (frames, size) = (&self.spec.frames, self.spec.size);
        let maps: Vec<Option<Arc<Features>>> = frames
            .iter()
            .map(|frame| {
                frame.placed.as_ref()?;
                context.encoded.maps(&frame.blob, size)
            })
            .collect();
        let extension_frames: Vec<ExtensionFrame> = frames
            .iter()
            .zip(hints(frames, size))
            .zip(features.iter().zip(&maps))
            .map(|((frame, hint), (features, maps))| ExtensionFrame {
                features,
                hint,
                placed: frame.placed.as_ref().map(|camera| PlacedFrame {
                    camera,
                    maps: maps.as_deref(),
                }),
            })
            .collect();
        let extension = model.extend(&extension_frames, on_step)?;
        for (frame, maps) in frames.iter().zip(extension.maps) {
            if let Some(maps) = maps {
                self.keep_maps(context, frame.blob, &Arc::new(maps));
            }
        }
        Ok(extension.prediction)
    }
}
