//! How many voxels there may be, and the memory that they take.

use super::grid::BLOCK_VOXELS;

/// Bytes for each voxel that is allowed, measured by `tests/surface_need.rs`: the voxel, the vertices and triangles,
/// and the tables by which they are found. What one frame takes comes on top.
pub const SURFACE_VOXEL_NEED: u64 = 30;

/// Voxels for each pixel of all frames. A pixel takes a column of them through the surface, and most of the surface
/// is seen by several frames.
const OF_A_PIXEL: usize = 4;
/// Voxels that a small result may have as well.
const FEWEST: usize = 1 << 20;
/// Voxels that no result may exceed.
const MOST: usize = 16 << 20;
/// Voxels for each vertex. A smooth surface has far more than so many.
const OF_A_VERTEX: usize = 8;

/// How large a surface may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    voxels: usize,
}

impl Limits {
    /// Those of frames with so many pixels in all.
    pub fn for_pixels(pixels: usize) -> Self {
        Self::of_voxels(pixels.saturating_mul(OF_A_PIXEL).clamp(FEWEST, MOST))
    }

    /// At most so many voxels.
    pub fn of_voxels(voxels: usize) -> Self {
        Self { voxels }
    }

    /// The most voxels.
    pub fn voxels(self) -> usize {
        self.voxels
    }

    /// The bytes that making the surface takes, but for those of a frame.
    pub fn bytes(self) -> u64 {
        self.voxels as u64 * SURFACE_VOXEL_NEED
    }

    /// The most blocks.
    pub(super) fn blocks(self) -> usize {
        self.voxels / BLOCK_VOXELS
    }

    /// The most vertices.
    pub(super) fn vertices(self) -> usize {
        self.voxels / OF_A_VERTEX
    }
}
