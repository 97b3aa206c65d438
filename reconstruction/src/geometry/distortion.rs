//! Radial distortion of a lens.

use serde::{Deserialize, Serialize};

/// A Newton step that ends the iteration, in normalised coordinates. The error of the next radius is
/// of the order of its square, far below a millionth of a pixel.
const LAST_STEP: f64 = 1e-7;

/// Most steps. Bisection alone would reach the precision of a double in about as many.
const MAX_STEPS: usize = 60;

/// Radial distortion after Brown, with the coefficients of OpenCV's first two terms.
///
/// A point at `(x, y)` in the plane at depth 1 of the camera appears at `(x, y)` times
/// `1 + k1 r^2 + k2 r^4` with `r^2 = x^2 + y^2`; the intrinsics map the result to pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Distortion {
    pub k1: f64,
    pub k2: f64,
}

impl Distortion {
    /// A pinhole camera.
    pub const NONE: Distortion = Distortion { k1: 0.0, k2: 0.0 };

    /// Whether the camera is a pinhole camera.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Whether both coefficients are finite.
    pub fn is_finite(self) -> bool {
        self.k1.is_finite() && self.k2.is_finite()
    }

    /// The coefficients as a list, the form they have in files.
    pub fn coefficients(self) -> [f64; 2] {
        [self.k1, self.k2]
    }

    /// Where a point of the plane at depth 1 appears in that plane.
    pub fn distort(self, [x, y]: [f64; 2]) -> [f64; 2] {
        let factor = self.factor(x * x + y * y);
        [x * factor, y * factor]
    }

    /// The point of the plane at depth 1 that appears at this point: the inverse of
    /// [`Distortion::distort`]. `None` beyond the largest radius at which anything appears.
    pub fn undistort(self, [x, y]: [f64; 2]) -> Option<[f64; 2]> {
        let seen = x.hypot(y);
        if self.is_none() || seen == 0.0 {
            return Some([x, y]);
        }
        let fold = self.fold();
        let factor = self.radius(seen, seen.min(fold), fold)? / seen;
        Some([x * factor, y * factor])
    }

    /// Distorted by undistorted radius at this squared undistorted radius.
    fn factor(self, squared: f64) -> f64 {
        1.0 + squared * (self.k1 + squared * self.k2)
    }

    /// Derivative of the distorted by the undistorted radius.
    fn slope(self, squared: f64) -> f64 {
        1.0 + squared * (3.0 * self.k1 + squared * 5.0 * self.k2)
    }

    /// The undistorted radius up to which the distorted one grows, where the image of the scene
    /// folds back onto itself; infinite if it always grows.
    pub(crate) fn fold(self) -> f64 {
        // The smallest positive root s of 1 + 3 k1 s + 5 k2 s^2, in the form that is exact for a
        // small k2: -2 / (3 k1 - sqrt(9 k1^2 - 20 k2)).
        let linear = 3.0 * self.k1;
        let discriminant = linear * linear - 20.0 * self.k2;
        let root = -2.0 / (linear - discriminant.sqrt());
        match root.is_finite() && root > 0.0 {
            true => root.sqrt(),
            false => f64::INFINITY,
        }
    }

    /// The undistorted radius below `fold` that appears at the radius `seen`, by Newton's method from
    /// `start` with bisection where a step leaves the bracket.
    fn radius(self, seen: f64, start: f64, fold: f64) -> Option<f64> {
        let excess = |radius: f64| radius * self.factor(radius * radius) - seen;
        let (mut low, mut high) = (0.0, fold);
        if fold.is_finite() {
            if excess(fold).is_nan() || excess(fold) < 0.0 {
                return None;
            }
        } else {
            high = seen;
            while high.is_finite() && excess(high) < 0.0 {
                high *= 2.0;
            }
        }
        let mut radius = start;
        for _ in 0..MAX_STEPS {
            let error = excess(radius);
            if error < 0.0 {
                low = radius;
            } else {
                high = radius;
            }
            let newton = radius - error / self.slope(radius * radius);
            if low <= newton && newton <= high {
                let step = (newton - radius).abs();
                radius = newton;
                if step <= LAST_STEP * radius.min(1.0) {
                    break;
                }
            } else {
                radius = 0.5 * (low + high);
            }
        }
        radius.is_finite().then_some(radius)
    }
}

/// Inverts the distortion of one camera for many points: one Newton step from an interpolated table.
#[derive(Debug, Clone)]
pub(crate) struct Undistortion {
    distortion: Distortion,
    /// Entries of the table per unit of the squared distorted radius.
    density: f64,
    /// Undistorted by distorted radius, at equal steps of the squared distorted radius. Ends where
    /// nothing appears.
    factors: Vec<f64>,
}

impl Undistortion {
    /// Steps of the table.
    const STEPS: u32 = 512;

    /// Largest step that suffices: the remaining error is of the order of its square.
    const LARGEST_STEP: f64 = 1e-6;

    /// For points up to this distorted radius; `None` without distortion.
    pub fn new(distortion: Distortion, reach: f64) -> Option<Self> {
        if distortion.is_none() {
            return None;
        }
        let fold = distortion.fold();
        let density = f64::from(Self::STEPS) / (reach * reach);
        let factors = (0..=Self::STEPS).map_while(|step| {
            let seen = (f64::from(step) / density).sqrt();
            if step == 0 {
                return Some(1.0);
            }
            Some(distortion.radius(seen, seen.min(fold), fold)? / seen)
        });
        Some(Self {
            distortion,
            density,
            factors: factors.collect(),
        })
    }

    /// As [`Distortion::undistort`].
    pub fn undistort(&self, [x, y]: [f64; 2]) -> Option<[f64; 2]> {
        let squared = x * x + y * y;
        let place = squared * self.density;
        let step = place as usize;
        if let Some([low, high, ..]) = self.factors.get(step..) {
            // The root f of f * factor(f^2 r^2) = 1, where r is the distorted radius.
            let near = low + (high - low) * (place - step as f64);
            let inside = squared * near * near;
            let error = near * self.distortion.factor(inside) - 1.0;
            let newton = error / self.distortion.slope(inside);
            if newton.abs() <= Self::LARGEST_STEP {
                let factor = near - newton;
                return Some([x * factor, y * factor]);
            }
        }
        // Near the fold, or beyond the table.
        self.distortion.undistort([x, y])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lenses with barrel and pincushion distortion, some with both signs.
    const LENSES: [Distortion; 9] = [
        lens(-0.3, 0.0),
        lens(0.3, 0.0),
        lens(-0.3, 0.1),
        lens(-0.25, -0.05),
        lens(0.3, -0.1),
        lens(0.3, 0.1),
        lens(0.0, 0.1),
        lens(0.0, -0.1),
        lens(-1e-9, 1e-12),
    ];

    const fn lens(k1: f64, k2: f64) -> Distortion {
        Distortion { k1, k2 }
    }

    /// The pixels of an image of 504 x 378 pixels with a horizontal field of view of 57 degrees, as
    /// points of the plane at depth 1.
    fn image() -> impl Iterator<Item = [f64; 2]> {
        let pixels = (0..378).flat_map(|v| (0..504).map(move |u| (f64::from(u), f64::from(v))));
        pixels.map(|(u, v)| [(u - 251.5) / FOCAL, (v - 188.5) / FOCAL])
    }

    const FOCAL: f64 = 464.0;

    #[test]
    fn every_pixel_survives_the_round_trip() {
        for lens in LENSES {
            let table = Undistortion::new(lens, 0.68).unwrap();
            for seen in image() {
                for ray in [lens.undistort(seen), table.undistort(seen)] {
                    let back = lens.distort(ray.unwrap());
                    for axis in 0..2 {
                        let error = (back[axis] - seen[axis]).abs() * FOCAL;
                        assert!(error < 1e-6, "{lens:?} {seen:?}: {error} pixels");
                    }
                }
            }
        }
    }

    #[test]
    fn distortion_is_that_of_opencv() {
        // From cv2.projectPoints with the coefficients (-0.2, 0.05, 0, 0) and K = identity.
        let [x, y] = lens(-0.2, 0.05).distort([0.4, -0.3]);
        assert!((x - 0.38125).abs() < 1e-12 && (y + 0.2859375).abs() < 1e-12);
    }

    #[test]
    fn the_table_covers_the_image() {
        let table = Undistortion::new(lens(-0.3, 0.1), 0.68).unwrap();
        assert_eq!(table.factors.len(), 513);
        assert!(Undistortion::new(Distortion::NONE, 0.68).is_none());
        // An image of one pixel.
        let point = Undistortion::new(lens(-0.3, 0.1), 0.0).unwrap();
        assert_eq!(point.undistort([0.0, 0.0]), Some([0.0, 0.0]));
    }

    #[test]
    fn nothing_appears_beyond_the_fold() {
        let barrel = lens(-0.3, 0.0);
        // Radius 1.054 appears at 0.703, and so does nothing farther out.
        let fold = (1.0_f64 / 0.9).sqrt();
        let [edge, _] = barrel.distort([fold, 0.0]);
        assert!(barrel.undistort([edge * 1.000_001, 0.0]).is_none());
        let [inside, _] = barrel.undistort([edge * 0.999_999, 0.0]).unwrap();
        assert!(inside < fold && inside > 0.99 * fold, "{inside}");
        let table = Undistortion::new(barrel, 2.0).unwrap();
        assert!(table.undistort([edge * 1.000_001, 0.0]).is_none());
        let [tabled, _] = table.undistort([edge * 0.999_999, 0.0]).unwrap();
        assert!((barrel.distort([tabled, 0.0])[0] - edge * 0.999_999).abs() < 1e-9);
    }

    #[test]
    fn senseless_coefficients_give_no_ray_or_a_finite_one() {
        for k1 in [-1e300, -1e6, 1e6, 1e300] {
            for k2 in [-1e300, 0.0, 1e300] {
                for point in [[0.0, 0.0], [1e-200, 0.0], [0.5, 0.5], [1e200, -1e200]] {
                    let ray = lens(k1, k2).undistort(point);
                    assert!(ray.is_none_or(|ray| ray.iter().all(|value| value.is_finite())));
                    if let Some(table) = Undistortion::new(lens(k1, k2), 0.7) {
                        let ray = table.undistort(point);
                        assert!(ray.is_none_or(|ray| ray.iter().all(|value| value.is_finite())));
                    }
                }
            }
        }
    }
}
