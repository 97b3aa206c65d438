//! The confidence threshold for points.

use super::statistics::percentile;

/// Smallest threshold: the depth of a pixel below it is a guess, and is never a point.
pub const KNOWN_CONFIDENCE: f32 = 1.05;

/// The pixels above this percentile are kept, as far as they are known.
const ENSURED_PERCENTILE: f64 = 90.0;

/// `max(1.05, percentile(confidence, min(p, 90)))`.
///
/// The lower bound removes pixels without a reliable depth, even if none is left then. The upper
/// bound keeps a tenth of the pixels of a result that is known throughout. Without values it is
/// [`KNOWN_CONFIDENCE`].
pub fn confidence_threshold(confidence: &mut [f32], p: f64) -> f32 {
    percentile(confidence, p.min(ENSURED_PERCENTILE))
        .map_or(KNOWN_CONFIDENCE, |lower| KNOWN_CONFIDENCE.max(lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_counts_between_its_bounds() {
        // 1.01, 1.02, ..., 2.00
        let mut spread: Vec<f32> = (1..=100).map(|i| 1.0 + i as f32 / 100.0).collect();
        assert!((confidence_threshold(&mut spread, 40.0) - 1.406).abs() < 1e-6);
        assert_eq!(confidence_threshold(&mut spread, 1.0), KNOWN_CONFIDENCE);
        assert!((confidence_threshold(&mut spread, 99.0) - 1.901).abs() < 1e-6);
        assert_eq!(confidence_threshold(&mut [], 40.0), KNOWN_CONFIDENCE);
    }

    #[test]
    fn no_percentile_lets_unknown_pixels_in() {
        for p in [0.0, 10.0, 90.0, 99.0, 100.0] {
            for value in [1.0, 1.01, 1.049] {
                assert_eq!(
                    confidence_threshold(&mut [value; 50], p),
                    KNOWN_CONFIDENCE,
                    "{value} at percentile {p}"
                );
            }
            // Less than a tenth is known.
            let mut few = [1.0; 100];
            few[..5].fill(9.0);
            let threshold = confidence_threshold(&mut few, p);
            assert!(threshold >= KNOWN_CONFIDENCE, "{threshold} at {p}");
        }
    }
}
