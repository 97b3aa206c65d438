//! A mesh as binary little-endian PLY (<https://paulbourke.net/dataformats/ply/>).

use std::io::{self, Write};

use crate::surface::Mesh;

/// Writes the vertices, then the triangles.
pub fn write(mesh: &Mesh, file: &mut impl Write) -> io::Result<()> {
    write!(
        file,
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
         element face {}\n\
         property list uchar int vertex_indices\n\
         end_header\n",
        env!("CARGO_PKG_VERSION"),
        mesh.positions.len(),
        mesh.triangles.len()
    )?;
    for (position, color) in mesh.positions.iter().zip(&mesh.colors) {
        for value in position {
            file.write_all(&value.to_le_bytes())?;
        }
        file.write_all(color)?;
    }
    for triangle in &mesh.triangles {
        file.write_all(&[3])?;
        for vertex in triangle {
            // A mesh has far fewer vertices than an int can count.
            file.write_all(&vertex.to_le_bytes())?;
        }
    }
    Ok(())
}
