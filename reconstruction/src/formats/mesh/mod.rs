//! A mesh with coloured vertices: the [surface](crate::surface) of a result, as GLB, PLY or OBJ.
//!
//! It is made of the depth of the frames, not of the points, so that it has no holes where points were left out to
//! have fewer of them. Vertices are in GLB coordinates, colours are sRGB, and triangles are counterclockwise for
//! who stands where the photos were taken.

mod depth;
mod obj;
mod ply;

use std::io::Write;

pub use depth::DepthRules;

use super::glb::write_mesh_glb;
use super::reconstruction::{Cameras, Reconstruction, WriteError};
use crate::surface::{Limits, Mesh, make_surface};
use depth::ReconstructionDepth;

/// Bytes for each pixel of a frame, with those of its image while it is decoded.
const FRAME_PIXEL_NEED: u64 = 64;

/// The form of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeshFile {
    /// Binary glTF 2.0.
    Glb,
    /// Binary little-endian PLY.
    Ply,
    /// Wavefront OBJ, with the colours behind the positions of vertices.
    Obj,
}

/// An upper bound of the bytes of memory that [`write_mesh`] takes, measured by `tests/surface_need.rs`.
pub fn mesh_need(cameras: &Cameras) -> u64 {
    let frame = cameras.image_size().pixels() * FRAME_PIXEL_NEED;
    limits(cameras).bytes() + frame
}

/// How large the mesh may become.
fn limits(cameras: &Cameras) -> Limits {
    let placed = cameras.all().iter().filter(|camera| camera.pose.is_some());
    let size = cameras.image_size();
    let pixels = size.columns().saturating_mul(size.rows());
    Limits::for_pixels(pixels.saturating_mul(placed.count()))
}

/// Makes a mesh and writes it.
///
/// # Errors
/// [`WriteError::Surface`] if there is no surface; otherwise if the reconstruction cannot be read or the file cannot
/// be written.
pub fn write_mesh(
    reconstruction: &Reconstruction,
    rules: &DepthRules,
    form: MeshFile,
    file: &mut impl Write,
) -> Result<(), WriteError> {
    let mesh = mesh_of(reconstruction, rules)?;
    match form {
        MeshFile::Glb => Ok(file.write_all(&write_mesh_glb(&mesh)?)?),
        MeshFile::Ply => Ok(ply::write(&mesh, file)?),
        MeshFile::Obj => Ok(obj::write(&mesh, file)?),
    }
}

/// The mesh of a reconstruction.
///
/// # Errors
/// Those of [`write_mesh`], but for the file's.
pub fn mesh_of(reconstruction: &Reconstruction, rules: &DepthRules) -> Result<Mesh, WriteError> {
    let frames = ReconstructionDepth {
        reconstruction,
        placed: reconstruction.placed().collect(),
        rules,
    };
    make_surface(&frames, limits(reconstruction.cameras))
}
