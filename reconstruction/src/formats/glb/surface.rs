//! A mesh as a GLB: the node `mesh` with one primitive of triangles.
//!
//! Both sides of the triangles are drawn: a surface has holes, and may be looked at from behind.

use gltf_json::Node;
use gltf_json::mesh::Mode;
use serde_json::json;
use serde_json::value::to_raw_value;

use super::document::Document;
use super::error::GlbError;
use super::names;
use super::vertices::{COLOR_BYTES, POSITION_BYTES, Vertices, opaque, write_words};
use super::views::{self, IndexedBytes};
use super::{check_size, file};
use crate::surface::Mesh;

/// Bytes of an index.
const INDEX_BYTES: usize = 4;

/// Writes a mesh as one GLB file. Deterministic: the same mesh gives the same bytes.
///
/// # Errors
/// [`GlbError`] if the file would exceed 4 GiB, or if the mesh is inconsistent or not finite.
pub fn write_mesh_glb(mesh: &Mesh) -> Result<Vec<u8>, GlbError> {
    let vertices = Vertices::new(&mesh.positions[..], &mesh.colors[..])?;
    let (count, indices) = (mesh.positions.len(), mesh.triangles.as_flattened());
    let positions = 0..count * POSITION_BYTES;
    let colors = positions.end..positions.end + count * COLOR_BYTES;
    let triangles = colors.end..colors.end + indices.len() * INDEX_BYTES;
    let bytes = triangles.end;
    check_size(bytes as u64)?;
    let extras = to_raw_value(&json!({ "color_space": "srgb" }))?;
    let mut document = Document::with_extras(Some(extras), bytes);
    if !indices.is_empty() {
        let bytes = IndexedBytes {
            positions,
            colors,
            indices: triangles,
        };
        let (attributes, indices) =
            views::indexed(&mut document.root, &vertices, indices.len(), bytes);
        let mesh = document.mesh(names::MESH, Mode::Triangles, attributes, Some(indices));
        for material in &mut document.root.materials {
            material.double_sided = true;
        }
        document.node(Node {
            mesh: Some(mesh),
            name: Some(names::MESH.to_owned()),
            ..Node::default()
        });
    }
    let json = serde_json::to_vec(&document.finish())?;
    file(&json, bytes, |file| {
        write_words(file, mesh.positions.as_flattened(), |x| x.to_le_bytes());
        write_words(file, &mesh.colors, opaque);
        write_words(file, indices, |x| x.to_le_bytes());
    })
}
