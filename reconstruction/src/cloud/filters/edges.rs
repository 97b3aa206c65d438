//! Flying points: where a near surface ends in front of a far one, a model blends their depths, and
//! the blended point lies on neither.

use crate::cloud::confident::is_known;
use crate::geometry::FrameSize;
use crate::prediction::Prediction;

/// Relative jump of depth above which there is an edge.
///
/// The depth of a plane that is seen at an angle `a` to its normal changes by about `2 tan(a) / f`
/// within three pixels, where `f` is the focal length in pixels. With `f` = 480, which is usual for
/// images of 504 pixels, only surfaces seen at more than 84 degrees are taken for edges.
pub const EDGE_JUMP: f32 = 0.04;

/// Whether depth jumps at a pixel: among the known pixels of its 3 x 3 neighbourhood, the largest
/// depth exceeds the smallest by more than [`EDGE_JUMP`] of the smallest.
///
/// Pixels on both sides of an edge count, because a blended point may be nearer to either. Pixels
/// below the confidence threshold count as neighbours, because they often are the blended ones;
/// unknown pixels do not.
pub fn lies_at_edge(prediction: &Prediction, frame: usize, index: usize) -> bool {
    let depth = prediction.frame_depth(frame);
    let confidence = prediction.frame_confidence(frame);
    is_edge(prediction.size, depth, confidence, index)
}

/// [`lies_at_edge`] for a frame of this size.
pub fn is_edge(size: FrameSize, depth: &[f32], confidence: &[f32], index: usize) -> bool {
    let (width, height) = (size.columns(), size.rows());
    let (x, y) = (index % width, index / width);
    let columns = x.saturating_sub(1)..(x + 2).min(width);
    let (mut low, mut high) = (f32::INFINITY, 0.0_f32);
    for row in y.saturating_sub(1)..(y + 2).min(height) {
        let row = row * width + columns.start..row * width + columns.end;
        for (&depth, &confidence) in depth[row.clone()].iter().zip(&confidence[row]) {
            if is_known(confidence, depth) {
                low = low.min(depth);
                high = high.max(depth);
            }
        }
    }
    // A difference could overflow. Without known pixels this compares 0 > infinity.
    f64::from(high) > f64::from(low) * (1.0 + f64::from(EDGE_JUMP))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A single frame.
    fn prediction(width: u32, depth: Vec<f32>, confidence: Vec<f32>) -> Prediction {
        Prediction {
            size: FrameSize::new(width, depth.len() as u32 / width),
            cameras: Vec::new(),
            depth,
            confidence,
            report: None,
            links: None,
        }
    }

    fn edges(prediction: &Prediction) -> Vec<usize> {
        (0..prediction.depth.len())
            .filter(|&index| lies_at_edge(prediction, 0, index))
            .collect()
    }

    #[test]
    fn a_step_is_an_edge_on_both_sides() {
        let row = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0];
        let step = prediction(6, row.repeat(3), vec![2.0; 18]);
        assert_eq!(edges(&step), [2, 3, 8, 9, 14, 15]);
    }

    #[test]
    fn the_neighbours_of_a_flying_pixel_are_edges() {
        let mut depth = vec![3.0; 25];
        depth[12] = 2.0;
        let expected = [6, 7, 8, 11, 12, 13, 16, 17, 18];
        assert_eq!(edges(&prediction(5, depth, vec![2.0; 25])), expected);
    }

    #[test]
    fn slopes_below_the_threshold_are_not_edges() {
        let depth = |step: f32| (0..8).map(|x| 10.0 + step * x as f32).collect::<Vec<_>>();
        // Two pixels differ by less, or by more, than 4 % of the smaller.
        assert!(edges(&prediction(8, depth(0.19), vec![2.0; 8])).is_empty());
        assert!(!edges(&prediction(8, depth(0.21), vec![2.0; 8])).is_empty());
        // The jump is relative: a hundred times farther away, the same slope is not an edge.
        let far = depth(0.21).iter().map(|depth| depth + 1000.0).collect();
        assert!(edges(&prediction(8, far, vec![2.0; 8])).is_empty());
    }

    #[test]
    fn unknown_pixels_are_ignored() {
        let depth = vec![1.0, 1.0, 9.0, f32::NAN, -1.0, 0.0, f32::INFINITY, 1.0];
        let confidence = vec![2.0, 2.0, 1.0, 2.0, 2.0, 2.0, 2.0, f32::NAN];
        assert!(edges(&prediction(8, depth.clone(), confidence.clone())).is_empty());
        // Any confidence above 1 is known.
        let mut known = confidence;
        known[2] = 1.01;
        assert_eq!(edges(&prediction(8, depth, known)), [1, 2]);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let extreme = prediction(2, vec![f32::MIN_POSITIVE, f32::MAX], vec![2.0; 2]);
        assert_eq!(edges(&extreme), [0, 1]);
        let same = prediction(2, vec![f32::MAX; 2], vec![2.0; 2]);
        assert!(edges(&same).is_empty());
        assert!(edges(&prediction(1, vec![1.0], vec![2.0])).is_empty());
    }
}
