//! Thins a cloud to one point per cube of a grid.

use rayon::prelude::*;

use crate::cloud::confident::ConfidentPixels;
use crate::cloud::sample::Pixel;
use crate::cloud::unproject::Unprojector;

/// Edge length of the cubes in GLB units, finite and greater than 0.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct VoxelSize(f64);

impl VoxelSize {
    /// `None` if the size is not finite or not above 0.
    pub fn new(size: f64) -> Option<VoxelSize> {
        (size.is_finite() && size > 0.0).then_some(VoxelSize(size))
    }

    /// The edge length.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The voxel `i, j, k` of a finite point `x, y, z`: `i <= x / size < i + 1`, likewise for `j`
    /// and `k`.
    fn voxel_of(self, point: [f32; 3]) -> Voxel {
        /// Larger numbers have no fraction in double precision.
        const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
        /// Distinguishes coordinates from grid indices.
        const COORDINATE: i64 = 1 << 62;
        point.map(|coordinate| {
            let position = (f64::from(coordinate) / self.0).floor();
            if position.abs() < EXACT {
                position as i64
            } else {
                // The voxel is so small that it holds one single precision number.
                COORDINATE | i64::from(coordinate.to_bits())
            }
        })
    }
}

/// Grid index along each axis.
type Voxel = [i64; 3];

/// Index of a point and the hash of its voxel. Different voxels may have the same hash.
#[derive(Debug, Clone, Copy)]
struct Hashed {
    hash: u64,
    point: u32,
}

/// The most confident pixel of each voxel, the first one if several are equally confident, ordered
/// by frame and index. Pixels without a finite point are removed. The sample is in that order.
pub fn most_confident(
    sample: &[Pixel],
    pixels: &ConfidentPixels,
    unprojector: &Unprojector,
    size: VoxelSize,
) -> Vec<Pixel> {
    let position = |index: usize| unprojector.point(sample[index]);
    let confidence = |index: usize| {
        let pixel = sample[index];
        let frame = pixels.prediction().frame_confidence(pixel.frame as usize);
        frame[pixel.index as usize]
    };
    let kept = best_of_voxels(sample.len(), position, confidence, size);
    kept.into_iter()
        .map(|index| sample[index as usize])
        .collect()
}

/// Keeps the most confident point of each voxel, the first one if several are equally confident, in
/// their order. `of` gives the position and confidence of a point.
pub fn keep_most_confident<T: Sync>(
    points: &mut Vec<T>,
    size: VoxelSize,
    of: impl Fn(&T) -> ([f32; 3], f32) + Sync,
) {
    let position = |index: usize| of(&points[index]).0;
    let confidence = |index: usize| of(&points[index]).1;
    let kept = best_of_voxels(points.len(), position, confidence, size);
    let mut kept = kept.into_iter().peekable();
    let mut index = 0;
    points.retain(|_| {
        let keep = kept.next_if_eq(&index).is_some();
        index += 1;
        keep
    });
}

/// Indices of the most confident point of each voxel, ascending. A point that is NaN has none. Points
/// beyond 2^32 are left out.
///
/// Sorts by a hash of the voxel instead of filling a hash table: this needs a third of the memory
/// if nearly every point has a voxel of its own.
fn best_of_voxels(
    count: usize,
    position: impl Fn(usize) -> [f32; 3] + Sync,
    confidence: impl Fn(usize) -> f32 + Sync,
    size: VoxelSize,
) -> Vec<u32> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let mut hashed: Vec<Hashed> = (0..count)
        .into_par_iter()
        .filter_map(|point| {
            let at = position(point as usize);
            (!at[0].is_nan()).then(|| Hashed {
                hash: hash(size.voxel_of(at)),
                point,
            })
        })
        .collect();
    hashed.par_sort_unstable_by_key(|hashed| (hashed.hash, hashed.point));
    let mut kept: Vec<u32> = hashed
        .par_chunk_by(|a, b| a.hash == b.hash)
        .flat_map_iter(|group| {
            let mut best: Vec<(Voxel, u32)> = Vec::with_capacity(1);
            for &Hashed { point, .. } in group {
                let index = point as usize;
                let voxel = size.voxel_of(position(index));
                match best.iter_mut().find(|(known, _)| *known == voxel) {
                    Some((_, best)) if confidence(index) > confidence(*best as usize) => {
                        *best = point;
                    }
                    Some(_) => {}
                    None => best.push((voxel, point)),
                }
            }
            best.into_iter().map(|(_, point)| point)
        })
        .collect();
    kept.par_sort_unstable();
    kept
}

/// Hashes a voxel to 64 bits with the finaliser of SplitMix64 (Steele, Lea and
/// Flood, "Fast splittable pseudorandom number generators", 2014) after each axis.
fn hash(voxel: Voxel) -> u64 {
    voxel.iter().fold(0, |state: u64, &axis| {
        let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ axis as u64;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_finite_and_positive() {
        for no_size in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(VoxelSize::new(no_size), None, "{no_size}");
        }
        assert_eq!(VoxelSize::new(0.25).map(VoxelSize::get), Some(0.25));
        assert!(VoxelSize::new(f64::MIN_POSITIVE).is_some());
        assert!(VoxelSize::new(f64::MAX).is_some());
    }

    #[test]
    fn voxels_are_half_open_cubes() {
        let size = VoxelSize::new(0.5).unwrap();
        assert_eq!(size.voxel_of([0.0, 0.49, 0.5]), [0, 0, 1]);
        assert_eq!(size.voxel_of([-0.0, -0.01, -0.5]), [0, -1, -1]);
        assert_eq!(size.voxel_of([1e3, -1e3, 7.3]), [2000, -2000, 14]);
    }

    #[test]
    fn tiny_voxels_hold_one_number_and_huge_voxels_half_an_axis() {
        let points = [
            f32::MIN,
            -1.0,
            -1e-40,
            0.0,
            1e-40,
            1.0,
            1.0 + f32::EPSILON,
            f32::MAX,
        ];
        for size in [f64::MIN_POSITIVE, 1e-310, 1e-60] {
            let size = VoxelSize::new(size).unwrap();
            let voxels = points.map(|x| size.voxel_of([x; 3])[0]);
            for (i, a) in voxels.iter().enumerate() {
                assert!(!voxels[..i].contains(a), "{size:?} joins {}", points[i]);
            }
        }
        let huge = VoxelSize::new(1e200).unwrap();
        let voxels = points.map(|x| huge.voxel_of([x; 3])[0]);
        assert_eq!(voxels, [-1, -1, -1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn hashes_spread() {
        let mut hashes: Vec<u64> = (0..64_000)
            .map(|i| hash([i % 40 - 20, i / 40 % 40 - 20, i / 1600 - 20]))
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 64_000);
    }
}
