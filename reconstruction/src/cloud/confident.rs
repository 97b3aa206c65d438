//! The pixels of a prediction that may become points.

use rayon::prelude::*;

use super::threshold::confidence_threshold;
use super::view::View;
use crate::prediction::Prediction;

/// Confidence that means "unknown": such a pixel has no geometry and is never a point.
pub const UNKNOWN_CONFIDENCE: f32 = 1.0;

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

    pub fn prediction(&self) -> &'a Prediction {
        self.prediction
    }

    /// One camera per frame; `None` for a frame without points.
    pub fn views(&self) -> &[Option<View>] {
        &self.views
    }

    /// Every confident pixel has at least this confidence.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// The first frame with a camera.
    pub fn first_view(&self) -> Option<(usize, &View)> {
        let mut views = self.views.iter().enumerate();
        views.find_map(|(frame, view)| view.as_ref().map(|view| (frame, view)))
    }

    /// Row-major indices of the confident pixels of a frame, in ascending order.
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

    /// Whether a pixel is confident.
    pub fn contains(&self, frame: usize, index: usize) -> bool {
        self.views[frame].is_some()
            && self.accepts(
                self.prediction.frame_confidence(frame)[index],
                self.prediction.frame_depth(frame)[index],
            )
    }

    /// Number of confident pixels of each frame.
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

/// Whether the model has an estimate for a pixel.
pub fn is_known(confidence: f32, depth: f32) -> bool {
    confidence > UNKNOWN_CONFIDENCE && confidence.is_finite() && depth > 0.0 && depth.is_finite()
}
