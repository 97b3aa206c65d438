//! Binary glTF 2.0 (<https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html>).
//!
//! A file contains, if the scene has them:
//!
//! - the node `points`: one primitive of mode POINTS with `POSITION` and `COLOR_0`;
//! - the node `frustums`: the drawn cameras as one primitive of mode LINES, a pyramid each from
//!   the camera's centre to the corners of its image, in a hue of its own;
//! - a glTF camera node for each registered frame, named after its image, with the intrinsics and
//!   extrinsics in its `extras`.
//!
//! Colours are the sRGB bytes of the images. The specification defines `COLOR_0` as linear, but
//! point clouds are commonly written with sRGB (also by Depth Anything 3), so a viewer that follows
//! the specification shows them too bright. `asset.extras.color_space` is `srgb`, so that viewers
//! can correct it. Materials are unlit (`KHR_materials_unlit`, optional), because points and lines
//! have no normals.
//!
//! The points may be [compressed](GlbCompression); the file then requires the extensions for it.
//! The translation and scale of their node map the grid of the quantised positions to GLB
//! coordinates.
//!
//! [`write_frames_glb`] writes single frames of a map instead, each as a node of its own, and
//! [`write_mesh_glb`] a mesh.

mod binary;
mod compression;
mod document;
mod error;
mod frames;
mod frustum;
mod meshopt;
mod names;
mod points;
mod quantized;
mod surface;
mod vertices;
mod views;

pub use compression::{GlbCompression, UnknownGlbCompression};
pub use error::GlbError;
pub use frames::{FramesGlb, write_frames_glb};
pub use names::safe_names;
pub use surface::write_mesh_glb;

use crate::cloud::Scene;
use binary::Binary;

const MAGIC: &[u8; 4] = b"glTF";
const VERSION: u32 = 2;
const JSON_CHUNK: &[u8; 4] = b"JSON";
const BINARY_CHUNK: &[u8; 4] = b"BIN\0";
const HEADER_BYTES: usize = 12;
const CHUNK_HEADER_BYTES: usize = 8;

/// Writes a scene as one GLB file.
///
/// Deterministic: the same scene gives the same bytes.
///
/// # Errors
/// [`GlbError`] if the file would exceed 4 GiB, or if the scene is inconsistent or not finite.
pub fn write_glb(scene: &Scene, compression: GlbCompression) -> Result<Vec<u8>, GlbError> {
    check_size(data_bytes(scene.points.len(), scene.cameras.len()))?;
    let binary = Binary::new(scene, compression)?;
    let json = serde_json::to_vec(&document::build(scene, &binary)?)?;
    file(&json, binary.len(), |file| binary.write(file))
}

/// The file of a document and of so many bytes that `write` appends.
fn file(
    json: &[u8],
    binary_bytes: usize,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<Vec<u8>, GlbError> {
    let json_bytes = json.len().next_multiple_of(4);
    let total = file_bytes(json_bytes as u64, binary_bytes as u64);
    let total_u32 = check_size(total)?;

    let mut file = Vec::with_capacity(total as usize);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&total_u32.to_le_bytes());
    // Both chunks are shorter than the file, whose length fits.
    file.extend_from_slice(&(json_bytes as u32).to_le_bytes());
    file.extend_from_slice(JSON_CHUNK);
    file.extend_from_slice(json);
    file.resize(HEADER_BYTES + CHUNK_HEADER_BYTES + json_bytes, b' ');
    if binary_bytes > 0 {
        file.extend_from_slice(&(binary_bytes as u32).to_le_bytes());
        file.extend_from_slice(BINARY_CHUNK);
        write(&mut file);
    }
    Ok(file)
}

/// Lengths in the format have 32 bits.
fn check_size(bytes: u64) -> Result<u32, GlbError> {
    u32::try_from(bytes).map_err(|_| GlbError::TooLarge { bytes })
}

/// An upper bound of the bytes of points and frustums.
fn data_bytes(points: usize, cameras: usize) -> u64 {
    points as u64 * binary::POINT_BYTES as u64 + cameras as u64 * binary::FRUSTUM_BYTES as u64
}

fn file_bytes(json: u64, binary: u64) -> u64 {
    let chunk = |bytes| bytes + CHUNK_HEADER_BYTES as u64;
    let binary = if binary > 0 { chunk(binary) } else { 0 };
    HEADER_BYTES as u64 + chunk(json) + binary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_points_are_refused_before_anything_is_written() {
        assert!(check_size(data_bytes(268_000_000, 100)).is_ok());
        let error = check_size(data_bytes(300_000_000, 0)).unwrap_err();
        assert!(matches!(
            error,
            GlbError::TooLarge {
                bytes: 4_800_000_000
            }
        ));
        assert!(check_size(u64::from(u32::MAX)).is_ok());
        assert!(check_size(u64::from(u32::MAX) + 1).is_err());
    }

    #[test]
    fn file_size_counts_every_header() {
        assert_eq!(file_bytes(100, 0), 12 + 8 + 100);
        assert_eq!(file_bytes(100, 40), 12 + 8 + 100 + 8 + 40);
    }
}
