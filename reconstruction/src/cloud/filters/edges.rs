//! Flying points: where a near surface ends before a far one, a model blends their depths, and
//! the blend lies on neither.

use crate::cloud::confident::is_known;
use crate::prediction::Prediction;

/// From this relative jump of the depth on, there is an edge.
///
/// A plane that is seen at an angle `a` to its normal jumps by about `2 tan(a) / f` within three
/// pixels, where `f` is the focal length in pixels: at 480, which is usual for images of 504
/// pixels, only surfaces seen at more than 84 degrees are taken for edges.
pub const EDGE_JUMP: f32 = 0.04;

/// Whether the depth jumps at a pixel: in its 3 x 3 neighbourhood, as far as that is in the image
/// and the model knows it, the largest depth exceeds the smallest one by more than [`EDGE_JUMP`]
/// of the smallest.
///
/// Both sides of an edge count, since a blend may lie nearer to either. Pixels below the
/// confidence threshold count as neighbours, as they often are the blend; pixels that the model
/// says nothing about do not.
pub fn lies_at_edge(prediction: &Prediction, frame: usize, index: usize) -> bool {
    let (width, height) = (prediction.size.columns(), prediction.size.rows());
    let depth = prediction.frame_depth(frame);
    let confidence = prediction.frame_confidence(frame);
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
    // Not a difference, which could overflow. Without known pixels this is 0 > infinity.
    f64::from(high) > f64::from(low) * (1.0 + f64::from(EDGE_JUMP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::FrameSize;

    /// A single frame.
    fn prediction(width: u32, depth: Vec<f32>, confidence: Vec<f32>) -> Prediction {
        Prediction {
            size: FrameSize::new(width, depth.len() as u32 / width),
            cameras: Vec::new(),
            depth,
            confidence,
        }
    }

    fn edges(prediction: &Prediction) -> Vec<usize> {
        (0..prediction.depth.len())
            .filter(|&index| lies_at_edge(prediction, 0, index))
            .collect()
    }

    #[test]
    fn a_step_is_an_edge_on_both_sides_and_only_there() {
        let row = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0];
        let step = prediction(6, row.repeat(3), vec![2.0; 18]);
        assert_eq!(edges(&step), [2, 3, 8, 9, 14, 15]);
    }

    #[test]
    fn a_lone_flying_pixel_takes_its_neighbours_along() {
        let mut depth = vec![3.0; 25];
        depth[12] = 2.0;
        let expected = [6, 7, 8, 11, 12, 13, 16, 17, 18];
        assert_eq!(edges(&prediction(5, depth, vec![2.0; 25])), expected);
    }

    #[test]
    fn slopes_below_the_threshold_stay() {
        let depth = |step: f32| (0..8).map(|x| 10.0 + step * x as f32).collect::<Vec<_>>();
        // Two pixels differ by less, or by more, than 4 % of the smaller.
        assert!(edges(&prediction(8, depth(0.19), vec![2.0; 8])).is_empty());
        assert!(!edges(&prediction(8, depth(0.21), vec![2.0; 8])).is_empty());
        // The measure is relative: a hundred times farther, the same slope is an edge no more.
        let far = depth(0.21).iter().map(|depth| depth + 1000.0).collect();
        assert!(edges(&prediction(8, far, vec![2.0; 8])).is_empty());
    }

    #[test]
    fn what_is_not_known_is_no_neighbour() {
        let depth = vec![1.0, 1.0, 9.0, f32::NAN, -1.0, 0.0, f32::INFINITY, 1.0];
        let confidence = vec![2.0, 2.0, 1.0, 2.0, 2.0, 2.0, 2.0, f32::NAN];
        assert!(edges(&prediction(8, depth.clone(), confidence.clone())).is_empty());
        // Hardly known is known.
        let mut hardly = confidence;
        hardly[2] = 1.01;
        assert_eq!(edges(&prediction(8, depth, hardly)), [1, 2]);
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
