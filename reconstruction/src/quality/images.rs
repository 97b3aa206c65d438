//! What is wrong with the images of a request, whatever the model makes of them.

use std::collections::BTreeSet;

use super::reason::QualityReason;
use crate::cloud::percentile;
use crate::image::ImageStatistics;

/// An image that a request covers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestImage<'a> {
    /// The client's name for it.
    pub name: &'a str,
    pub statistics: ImageStatistics,
    /// Index of its frame in the prediction. `None` if the model did not get it, because its shape
    /// is too odd.
    pub frame: Option<usize>,
}

/// What is wrong with the images.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImageFaults {
    /// One per image: too dark or blurred.
    pub exposure: Vec<Option<QualityReason>>,
    /// One per image: whether an earlier image has the same pixels.
    pub is_duplicate: Vec<bool>,
    /// Number of images with different pixels.
    pub different: usize,
}

impl ImageFaults {
    pub fn of(images: &[RequestImage]) -> Self {
        let mut seen = BTreeSet::new();
        let is_duplicate: Vec<bool> = images
            .iter()
            .map(|image| !seen.insert(image.statistics.content))
            .collect();
        let exposure = (0..images.len()).map(|index| exposure(images, index));
        Self {
            exposure: exposure.collect(),
            is_duplicate,
            different: seen.len(),
        }
    }
}

fn exposure(images: &[RequestImage], index: usize) -> Option<QualityReason> {
    let statistics = &images[index].statistics;
    // A dark image has no contrast either: darkness is the cause.
    if statistics.is_too_dark() {
        return Some(QualityReason::TooDark);
    }
    let others = images
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != index);
    let mut sharpness: Vec<f32> = others
        .map(|(_, image)| image.statistics.sharpness)
        .collect();
    statistics
        .is_blurred(percentile(&mut sharpness, 50.0))
        .then_some(QualityReason::Blurred)
}
