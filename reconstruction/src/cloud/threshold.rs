//! The confidence threshold for points.

use super::statistics::percentile;

/// Smallest threshold, unless too few pixels reach it.
pub const BASE_CONFIDENCE: f32 = 1.05;

/// The pixels above this percentile are always kept.
pub const ENSURED_PERCENTILE: f64 = 90.0;

/// `min(max(1.05, percentile(confidence, p)), percentile(confidence, 90))`.
///
/// The lower bound removes unknown pixels; the upper bound keeps a tenth of the pixels of any
/// result. Without values it is [`BASE_CONFIDENCE`].
pub fn confidence_threshold(confidence: &mut [f32], p: f64) -> f32 {
    match (
        percentile(confidence, p),
        percentile(confidence, ENSURED_PERCENTILE),
    ) {
        (Some(lower), Some(upper)) => BASE_CONFIDENCE.max(lower).min(upper),
        _ => BASE_CONFIDENCE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threshold_has_three_cases() {
        // 1.01, 1.02, ..., 2.00
        let mut spread: Vec<f32> = (1..=100).map(|i| 1.0 + i as f32 / 100.0).collect();
        assert!((confidence_threshold(&mut spread, 40.0) - 1.406).abs() < 1e-6);
        assert_eq!(confidence_threshold(&mut spread, 1.0), BASE_CONFIDENCE);
        assert!((confidence_threshold(&mut spread, 99.0) - 1.901).abs() < 1e-6);
        let mut doubtful = vec![1.01; 50];
        assert_eq!(confidence_threshold(&mut doubtful, 40.0), 1.01);
        assert_eq!(confidence_threshold(&mut [], 40.0), BASE_CONFIDENCE);
    }
}
