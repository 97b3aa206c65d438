//! A mesh as Wavefront OBJ. The format has no colours of vertices; red, green and blue from 0 to 1 behind the position
//! are what MeshLab, Blender and trimesh read and write.

use std::io::{self, Write};

use crate::surface::Mesh;

/// Writes the vertices, then the triangles, which count vertices from 1.
pub fn write(mesh: &Mesh, file: &mut impl Write) -> io::Result<()> {
    writeln!(file, "# pointstream {}", env!("CARGO_PKG_VERSION"))?;
    for ([x, y, z], color) in mesh.positions.iter().zip(&mesh.colors) {
        let [red, green, blue] = color.map(|value| f32::from(value) / 255.0);
        writeln!(file, "v {x} {y} {z} {red:.4} {green:.4} {blue:.4}")?;
    }
    for triangle in &mesh.triangles {
        let [a, b, c] = triangle.map(|vertex| u64::from(vertex) + 1);
        writeln!(file, "f {a} {b} {c}")?;
    }
    Ok(())
}
