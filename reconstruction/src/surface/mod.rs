//! A surface of triangles from depth maps and their cameras.
//!
//! The depth maps are fused in a grid of voxels, each with its signed distance to the surface (Curless and Levoy, "A
//! volumetric method for building complex models from range images", SIGGRAPH 1996). Only the voxels near the surface
//! are stored, in blocks (Nießner et al., "Real-time 3D reconstruction at scale using voxel hashing", ACM TOG 2013).
//! The triangles are those of surface nets (Gibson, "Constrained elastic surface nets", MICCAI 1998), without
//! their relaxation: a vertex in each cell that the surface crosses.
//!
//! 1. [`seen`] finds out at which angle each pixel sees the surface;
//! 2. [`scale`] chooses the size of the voxels, so that no more than [allowed](Limits) are needed;
//! 3. [`grid`] has the voxels, and [`fusion`] fuses a frame with them;
//! 4. [`extraction`] makes triangles, and [`pieces`] removes small ones that float.
//!
//! Where nothing is known there is no surface: holes are not closed, and a near surface is not joined to a far one
//! behind it. All coordinates are those of the poses. The same frames give the same mesh.

mod extraction;
mod frame;
mod fusion;
mod grid;
mod need;
mod pieces;
mod scale;
mod seen;

pub use frame::{DepthFrame, DepthFrames};
pub use need::{Limits, SURFACE_VOXEL_NEED};

use extraction::extract;
use fusion::fuse;
use grid::Grid;
use scale::Sizes;
use seen::Seen;

/// Triangles with coloured vertices. They are counterclockwise for who sees the surface.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mesh {
    /// Finite.
    pub positions: Vec<[f32; 3]>,
    /// sRGB, one for each position.
    pub colors: Vec<[u8; 3]>,
    /// Indices of positions.
    pub triangles: Vec<[u32; 3]>,
    /// Side of the voxels that it was made of: it has no smaller detail.
    pub voxel_size: f64,
}

/// Why there is no surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SurfaceError {
    #[error(
        "no pixel of the result is confident and has neighbours that are; take more photos that overlap, or lower \
         conf_thresh_percentile"
    )]
    NoDepth,
    #[error(
        "the depth of the photos does not agree on a surface; take more photos that overlap, from places that are \
         farther apart"
    )]
    NoSurface,
    #[error("the surface does not fit into {voxels} voxels, whatever their size")]
    TooLarge { voxels: usize },
}

/// Makes a surface of the frames. It reads each of them three times or more often.
///
/// Parallel on rayon's pool.
///
/// # Errors
/// Those of the frames, or a [`SurfaceError`].
pub fn make_surface<F: DepthFrames>(frames: &F, limits: Limits) -> Result<Mesh, F::Error>
where
    F::Error: From<SurfaceError>,
{
    let sizes = Sizes::of(frames)?.ok_or(SurfaceError::NoDepth)?;
    for size in sizes.fitting(frames, limits)? {
        let mut grid = Grid::new(size, limits);
        if !each(frames, |seen| grid.allocate(seen))? {
            continue;
        }
        each(frames, |seen| {
            fuse(&mut grid, seen);
            true
        })?;
        let Some(mesh) = extract(grid, limits) else {
            continue;
        };
        let mesh = pieces::without_small(mesh);
        return match mesh.triangles.is_empty() {
            true => Err(SurfaceError::NoSurface.into()),
            false => Ok(mesh),
        };
    }
    Err(SurfaceError::TooLarge {
        voxels: limits.voxels(),
    }
    .into())
}

/// Visits the frames in their order until `visit` wants no more; whether it saw all.
fn each<F: DepthFrames>(
    frames: &F,
    mut visit: impl FnMut(&Seen) -> bool,
) -> Result<bool, F::Error> {
    for index in 0..frames.count() {
        if let Some(frame) = frames.read(index)?
            && !visit(&Seen::new(frame))
        {
            return Ok(false);
        }
    }
    Ok(true)
}
