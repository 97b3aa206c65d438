//! Reads the content of a GLB.

use gltf::mesh::Mode;
use nalgebra::{Matrix4, Point3};

/// The content of a result's GLB, in root coordinates.
#[derive(Debug, Default)]
pub struct Contents {
    pub points: Vec<Point3<f32>>,
    /// Stored RGB of each point.
    pub colours: Vec<[u8; 3]>,
    /// Name and position of each camera node.
    pub cameras: Vec<(String, Point3<f32>)>,
    /// Number of line vertices that draw the cameras.
    pub line_ends: usize,
}

/// Reads a GLB that consists of points, lines and cameras.
pub fn read(bytes: &[u8]) -> Contents {
    // Parsing also validates the document: indices, required fields, enumerations.
    let gltf = gltf::Gltf::from_slice(bytes).expect("a valid GLB");
    let mut contents = Contents::default();
    let scene = gltf.default_scene().expect("a GLB shows one scene");
    for node in scene.nodes() {
        visit(&node, Matrix4::identity(), &gltf, &mut contents);
    }
    contents
}

fn visit(node: &gltf::Node, parent: Matrix4<f32>, gltf: &gltf::Gltf, contents: &mut Contents) {
    let columns = node.transform().matrix();
    let to_root = parent * Matrix4::from_fn(|row, column| columns[column][row]);
    if node.camera().is_some() {
        let name = node.name().expect("a camera has a name").to_owned();
        let position = to_root.transform_point(&Point3::origin());
        contents.cameras.push((name, position));
    }
    for primitive in node.mesh().iter().flat_map(gltf::Mesh::primitives) {
        let reader = primitive.reader(|_| gltf.blob.as_deref());
        let positions = reader.read_positions().expect("positions");
        match primitive.mode() {
            Mode::Points => {
                let placed = positions.map(|point| to_root.transform_point(&Point3::from(point)));
                contents.points.extend(placed);
                let colours = reader.read_colors(0).expect("points have colours");
                contents.colours.extend(colours.into_rgb_u8());
            }
            Mode::Lines => {
                let indices = reader
                    .read_indices()
                    .map(|indices| indices.into_u32().count());
                contents.line_ends += indices.unwrap_or_else(|| positions.count());
            }
            other => panic!("neither points nor lines: {other:?}"),
        }
    }
    for child in node.children() {
        visit(&child, to_root, gltf, contents);
    }
}
