//! Positions as 16-bit integers (`KHR_mesh_quantization`).

/// Largest coordinate in the grid; the smallest is its negative, so that the middle is 0.
const LAST: i16 = i16::MAX;

/// Steps between the smallest and the largest coordinate.
const STEPS: f64 = 2.0 * LAST as f64;

/// A grid over a bounding box. A position is `origin + step * coordinate` along each axis: `origin`
/// and `step` are the translation and the scale of the node whose mesh has the coordinates.
///
/// The integers are not normalised to -1..1, because viewers disagree on how to normalise signed
/// integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Middle of the box.
    pub origin: [f32; 3],
    /// 1 / 65534 of the box's sides; 1 where a side is 0.
    pub step: [f32; 3],
}

impl Grid {
    /// The grid over a box between its lowest and its highest corner.
    pub fn over([low, high]: [[f32; 3]; 2]) -> Grid {
        let mut grid = Grid {
            origin: [0.0; 3],
            step: [1.0; 3],
        };
        for axis in 0..3 {
            let (low, high) = (f64::from(low[axis]), f64::from(high[axis]));
            grid.origin[axis] = (0.5 * (low + high)) as f32;
            let step = ((high - low) / STEPS) as f32;
            // A smaller step has too few digits; the box counts as flat along this axis.
            if step.is_normal() {
                grid.step[axis] = step;
            }
        }
        grid
    }

    /// The nearest coordinates of positions inside the box. The fourth number is padding:
    /// positions have to lie at multiples of four bytes.
    pub fn quantize(&self, positions: &[[f32; 3]]) -> Vec<[i16; 4]> {
        let origin = self.origin.map(f64::from);
        let per_step = self.step.map(|step| 1.0 / f64::from(step));
        let coordinate = |position: &[f32; 3], axis: usize| {
            let steps = (f64::from(position[axis]) - origin[axis]) * per_step[axis];
            // Rounding of origin and step may exceed the range slightly. The cast alone would
            // saturate at -32768.
            steps.round().clamp(f64::from(-LAST), f64::from(LAST)) as i16
        };
        positions
            .iter()
            .map(|position| {
                let axis = |axis| coordinate(position, axis);
                [axis(0), axis(1), axis(2), 0]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(positions: &[[f32; 3]], bounds: [[f32; 3]; 2]) {
        let grid = Grid::over(bounds);
        let quantized = grid.quantize(positions);
        for (position, coordinates) in positions.iter().zip(&quantized) {
            assert_eq!(coordinates[3], 0);
            for axis in 0..3 {
                let step = f64::from(grid.step[axis]);
                let found = f64::from(grid.origin[axis]) + step * f64::from(coordinates[axis]);
                let error = (found - f64::from(position[axis])).abs();
                // Half a step, and the rounding of the origin.
                let rounding = f64::from(grid.origin[axis]).abs() * f64::from(f32::EPSILON);
                assert!(error <= 0.503 * step + rounding, "{error} of {step}");
            }
        }
    }

    #[test]
    fn positions_move_by_half_a_step_at_most() {
        let bounds = [[-3.0, 100.0, 1e-6], [7.5, 100.25, 3e4]];
        let positions: Vec<_> = (0..=1000)
            .map(|i| {
                [0, 1, 2].map(|axis: usize| {
                    let share = (i * (2 * axis + 7) % 1001) as f32 / 1000.0;
                    let [low, high] = [bounds[0][axis], bounds[1][axis]];
                    (low + (high - low) * share).clamp(low, high)
                })
            })
            .collect();
        check(&positions, bounds);
        // The corners use the whole range.
        let corners = Grid::over(bounds).quantize(&bounds);
        assert_eq!(corners, [[-LAST, -LAST, -LAST, 0], [LAST, LAST, LAST, 0]]);
    }

    #[test]
    fn flat_and_huge_boxes_have_a_grid() {
        let point = [[5.0, -0.1, 1e30]];
        check(&point, [point[0], point[0]]);
        assert_eq!(Grid::over([point[0]; 2]).quantize(&point), [[0; 4]]);
        let bounds = [
            [f32::MIN, 0.0, -1e-40],
            [f32::MAX, f32::MIN_POSITIVE, 1e-40],
        ];
        let grid = Grid::over(bounds);
        for number in grid.origin.into_iter().chain(grid.step) {
            assert!(number.is_finite());
        }
        assert_eq!(grid.step[1..], [1.0, 1.0]);
        let corners = grid.quantize(&bounds);
        assert_eq!((corners[0][0], corners[1][0]), (-LAST, LAST));
    }
}
