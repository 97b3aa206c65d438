//! The size of the voxels: as fine as the pixels if the voxels may be so many.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::each;
use super::frame::DepthFrames;
use super::grid::{BlockKey, Blocks, VoxelSize};
use super::need::Limits;
use super::seen::Seen;

/// The finest voxel, in sides of the square that the median pixel shows.
const FINEST: f32 = 1.0;
/// Frames whose pixels are measured for it.
const MEASURED: usize = 16;
/// Sizes for each doubling.
const SIZES_OF_DOUBLING: u32 = 4;
/// Doublings that are tried.
const DOUBLINGS: u32 = 6;
/// Every so many pixels are looked at. Blocks are larger.
const STRIDE: usize = 3;
/// One of so many blocks is counted.
const COUNTED: u64 = 32;
/// The part of the limit that the counted blocks may fill, since others are guessed.
const FILLED: f64 = 0.9;

/// The sizes that voxels may have, from the finest.
pub struct Sizes(Vec<VoxelSize>);

impl Sizes {
    /// The sizes for these frames; `None` if they see nothing.
    pub fn of<F: DepthFrames>(frames: &F) -> Result<Option<Self>, F::Error> {
        let count = frames.count();
        let every = count.div_ceil(MEASURED).max(1);
        let mut footprints = Vec::new();
        for index in (0..count).step_by(every) {
            if let Some(frame) = frames.read(index)? {
                measure(&Seen::new(frame), &mut footprints);
            }
        }
        if footprints.is_empty() {
            // Others may see something.
            each(frames, |seen| {
                measure(seen, &mut footprints);
                footprints.is_empty()
            })?;
        }
        if footprints.is_empty() {
            return Ok(None);
        }
        let middle = footprints.len() / 2;
        let (_, median, _) = footprints.select_nth_unstable_by(middle, f32::total_cmp);
        let finest = FINEST * *median;
        let sizes = (0..=DOUBLINGS * SIZES_OF_DOUBLING).map(|step| {
            let factor = (f64::from(step) / f64::from(SIZES_OF_DOUBLING)).exp2();
            VoxelSize::new(f64::from(finest) * factor)
        });
        Ok(Some(Self(sizes.collect())))
    }

    /// The finest sizes that probably fit into the limits, the finest of them first.
    pub fn fitting<F: DepthFrames>(
        self,
        frames: &F,
        limits: Limits,
    ) -> Result<Vec<VoxelSize>, F::Error> {
        let mut counts: Vec<HashSet<BlockKey>> = vec![HashSet::new(); self.0.len()];
        let most = (limits.blocks() as f64 * FILLED / COUNTED as f64) as usize;
        each(frames, |seen| {
            for (&size, counted) in self.0.iter().zip(&mut counts) {
                let mut blocks = Blocks::default();
                for (depth, point) in seen.points(STRIDE) {
                    // It is too fine already.
                    if counted.len() > most {
                        break;
                    }
                    blocks.visit(&size.blocks_at(seen, depth, point), |key| {
                        if is_counted(key) {
                            counted.insert(key);
                        }
                    });
                }
            }
            true
        })?;
        let first = counts.iter().position(|counted| counted.len() <= most);
        let mut sizes = self.0;
        sizes.drain(..first.unwrap_or(sizes.len()));
        Ok(sizes)
    }
}

/// The sides of the squares that pixels show.
fn measure(seen: &Seen, footprints: &mut Vec<f32>) {
    let points = seen.points(STRIDE);
    footprints.extend(points.map(|(depth, _)| seen.footprint(depth)));
}

fn is_counted(key: BlockKey) -> bool {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish().is_multiple_of(COUNTED)
}
