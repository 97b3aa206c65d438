//! Which pixels of a prediction may become points.

use rayon::prelude::*;

use super::threshold::confidence_threshold;
use super::view::View;
use crate::prediction::Prediction;

/// Confidence that stands for "not known": such a pixel has no geometry and is never a point.
const NOT_KNOWN: f32 = 1.0;

/// The pixels of a prediction whose confidence reaches the threshold.
#[derive(Debug)]
pub struct ConfidentPixels<'a> {
    prediction: &'a Prediction,
    views: Vec<Option<View>>,
    threshold: f32,
}

impl<'a> ConfidentPixels<'a> {
    /// Computes the threshold over all registered frames; `percentile` is 0 to 100.
    pub fn new(prediction: &'a Prediction, percentile: f64) -> Self {
        let views: Vec<_> = prediction.cameras.iter().map(View::from_camera).collect();
        let mut confidence = Vec::with_capacity(prediction.confidence.len());
        for (frame, view) in views.iter().enumerate() {
            if view.is_some() {
                let values = prediction.frame_confidence(frame).iter();
                confidence.extend(values.filter(|value| value.is_finite()));
            }
        }
        let threshold = confidence_threshold(&mut confidence, percentile);
        ConfidentPixels {
            prediction,
            views,
            threshold,
        }
    }

    /// The prediction that the pixels are of.
    pub fn prediction(&self) -> &'a Prediction {
        self.prediction
    }

    /// The cameras; `None` for a frame that contributes nothing.
    pub fn views(&self) -> &[Option<View>] {
        &self.views
    }

    /// The confidence that a pixel needs.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// The first frame that the model could place, and its camera.
    pub fn first_view(&self) -> Option<(usize, &View)> {
        let mut views = self.views.iter().enumerate();
        views.find_map(|(frame, view)| view.as_ref().map(|view| (frame, view)))
    }

    /// Pixel indices (row-major) of a frame that may become points, in ascending order.
    pub fn of_frame(&self, frame: usize) -> impl Iterator<Item = u32> + '_ {
        let (confidence, depth) = match self.views[frame] {
            Some(_) => (
                self.prediction.frame_confidence(frame),
                self.prediction.frame_depth(frame),
            ),
            None => (&[][..], &[][..]),
        };
        (0_u32..)
            .zip(confidence.iter().zip(depth))
            .filter(|&(_, (&confidence, &depth))| self.accepts(confidence, depth))
            .map(|(index, _)| index)
    }

    /// Whether one pixel may become a point.
    pub fn contains(&self, frame: usize, index: usize) -> bool {
        self.views[frame].is_some()
            && self.accepts(
                self.prediction.frame_confidence(frame)[index],
                self.prediction.frame_depth(frame)[index],
            )
    }

    /// How many pixels of each frame may become points.
    pub fn count_by_frame(&self) -> Vec<usize> {
        (0..self.views.len())
            .into_par_iter()
            .map(|frame| self.of_frame(frame).count())
            .collect()
    }

    fn accepts(&self, confidence: f32, depth: f32) -> bool {
        confidence >= self.threshold && is_known(confidence, depth)
    }
}

/// Whether the model says anything about a pixel at all.
pub fn is_known(confidence: f32, depth: f32) -> bool {
    confidence > NOT_KNOWN && confidence.is_finite() && depth > 0.0 && depth.is_finite()
}
