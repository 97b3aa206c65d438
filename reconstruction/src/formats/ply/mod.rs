//! Binary little-endian PLY, the Stanford triangle format without triangles
//! (<https://paulbourke.net/dataformats/ply/>).
//!
//! One vertex per point, in the order of the GLB and in its coordinates (x right, y up, z
//! backward as seen by the session's first camera): `x`, `y`, `z` (float), `red`, `green`, `blue`
//! (uchar, sRGB) and `confidence` (float).

use std::io::Write;

use super::reconstruction::{Point, Reconstruction, WriteError};

/// Bytes of a vertex.
const VERTEX_BYTES: usize = 3 * 4 + 3 + 4;

/// Upper bound of the bytes of the header.
const HEADER_BOUND: u64 = 1024;

/// An upper bound of the file's size in bytes.
pub fn size_bound(reconstruction: &Reconstruction) -> u64 {
    HEADER_BOUND + reconstruction.point_count() as u64 * VERTEX_BYTES as u64
}

/// Writes the points, frame by frame.
///
/// # Errors
/// [`WriteError`] if the reconstruction cannot be read or the file cannot be written.
pub fn write_ply(reconstruction: &Reconstruction, file: &mut impl Write) -> Result<(), WriteError> {
    let header = format!(
        "ply\n\
         format binary_little_endian 1.0\n\
         comment pointstream {}\n\
         element vertex {}\n\
         property float x\n\
         property float y\n\
         property float z\n\
         property uchar red\n\
         property uchar green\n\
         property uchar blue\n\
         property float confidence\n\
         end_header\n",
        env!("CARGO_PKG_VERSION"),
        reconstruction.point_count()
    );
    file.write_all(header.as_bytes())?;
    let mut vertices = Vec::new();
    for frame in reconstruction.placed() {
        vertices.clear();
        for point in reconstruction.points(&frame)? {
            vertices.extend_from_slice(&vertex(&point));
        }
        file.write_all(&vertices)?;
    }
    Ok(())
}

fn vertex(point: &Point) -> [u8; VERTEX_BYTES] {
    let mut bytes = [0; VERTEX_BYTES];
    let (position, rest) = bytes.split_at_mut(12);
    for (target, value) in position.as_chunks_mut().0.iter_mut().zip(point.position) {
        *target = value.to_le_bytes();
    }
    let (color, confidence) = rest.split_at_mut(3);
    color.copy_from_slice(&point.color);
    confidence.copy_from_slice(&point.confidence.to_le_bytes());
    bytes
}
