//! What is wrong with the images of a request, whatever the model makes of them.

use std::collections::BTreeSet;

use super::reason::QualityReason;
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
        let sharpness = Sharpness::of(images);
        let exposure = images
            .iter()
            .map(|image| exposure(&image.statistics, &sharpness));
        Self {
            exposure: exposure.collect(),
            is_duplicate,
            different: seen.len(),
        }
    }
}

fn exposure(statistics: &ImageStatistics, sharpness: &Sharpness) -> Option<QualityReason> {
    // A dark image has no contrast either: darkness is the cause.
    if statistics.is_too_dark() {
        return Some(QualityReason::TooDark);
    }
    statistics
        .is_blurred(sharpness.median_of_others(statistics.sharpness))
        .then_some(QualityReason::Blurred)
}

/// The sharpness of all images, ascending: sorted once, since a session may have many images.
struct Sharpness(Vec<f32>);

impl Sharpness {
    fn of(images: &[RequestImage]) -> Self {
        let mut values: Vec<f32> = images
            .iter()
            .map(|image| image.statistics.sharpness)
            .collect();
        values.sort_by(f32::total_cmp);
        Self(values)
    }

    /// The median without one image of this sharpness; `None` if it is the only one.
    fn median_of_others(&self, own: f32) -> Option<f32> {
        let rank = self
            .0
            .partition_point(|value| value.total_cmp(&own).is_lt());
        let other = |index: usize| self.0.get(index + usize::from(index >= rank)).copied();
        let last = self.0.len().checked_sub(2)?;
        let (low, high) = (other(last / 2)?, other(last.div_ceil(2))?);
        Some(low.midpoint(high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_others_leaves_out_one_of_the_values() {
        let median = |values: &[f32], own: f32| {
            let mut sorted = values.to_vec();
            sorted.sort_by(f32::total_cmp);
            Sharpness(sorted).median_of_others(own)
        };
        assert_eq!(median(&[3.0], 3.0), None);
        assert_eq!(median(&[3.0, 8.0], 3.0), Some(8.0));
        assert_eq!(median(&[3.0, 8.0], 8.0), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 4.0], 4.0), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 4.0], 4.0), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 2.0], 1.0), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 2.0], 9.0), Some(2.0));
    }
}
