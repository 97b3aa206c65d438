//! The JSON chunk: meshes, nodes and cameras.

use gltf_json::camera::Perspective;
use gltf_json::extensions::material::Unlit;
use gltf_json::mesh::Mode;
use gltf_json::scene::UnitQuaternion;
use gltf_json::validation::Checked::Valid;
use gltf_json::validation::USize64;
use gltf_json::{
    Accessor, Asset, Buffer, Camera, Extras, Index, Material, Mesh, Node, Root, Scene as GltfScene,
};
use nalgebra::Similarity3;
use serde_json::json;
use serde_json::value::to_raw_value;

use super::binary::Binary;
use super::names::{self, safe_names};
use super::views::{self, Attributes, IndexedBytes};
use crate::cloud::{Alignment, Scene, SceneCamera, axes_flip, rows};
use crate::geometry::FrameSize;

const UNLIT: &str = "KHR_materials_unlit";

/// Largest vertical field of view of a camera node, in radians. glTF requires less than pi.
const MAX_FIELD_OF_VIEW: f64 = 3.1;

/// Near plane of the camera nodes, as a fraction of a drawn camera's depth.
pub const NEAR_PLANE: f64 = 0.1;

/// Builds the document of a scene whose bytes are in `binary`.
pub fn build(scene: &Scene, binary: &Binary) -> Result<Root, serde_json::Error> {
    let extras = AssetExtras::of(scene);
    let mut document = Document::new(&extras, binary.len())?;
    let layout = binary.layout();
    if binary.points.len() > 0 {
        let (positions, colors) = (layout.point_positions.clone(), layout.point_colors.clone());
        let root = &mut document.root;
        let attributes = views::points(root, &binary.points, positions, colors);
        let mesh = document.mesh(names::POINTS, Mode::Points, attributes, None);
        let grid = binary.points.grid();
        document.node(Node {
            mesh: Some(mesh),
            name: Some(names::POINTS.to_owned()),
            translation: grid.map(|grid| grid.origin),
            scale: grid.map(|grid| grid.step),
            ..Node::default()
        });
    }
    if !binary.lines.is_empty() {
        let bytes = IndexedBytes {
            positions: layout.frustum_positions,
            colors: layout.frustum_colors,
            indices: layout.lines,
        };
        let (root, lines) = (&mut document.root, binary.lines.len());
        let (attributes, lines) = views::indexed(root, &binary.frustums, lines, bytes);
        let mesh = document.mesh(names::FRUSTUMS, Mode::Lines, attributes, Some(lines));
        document.node(Node {
            mesh: Some(mesh),
            name: Some(names::FRUSTUMS.to_owned()),
            ..Node::default()
        });
    }
    let names = safe_names(scene.cameras.iter().map(|camera| camera.name.as_ref()));
    for (camera, name) in scene.cameras.iter().zip(names) {
        let near = NEAR_PLANE * scene.camera_size;
        if let Some(node) = document.camera(camera, name, scene.image_size, near)? {
            document.node(node);
        }
    }
    Ok(document.finish())
}

/// What the file says about all of its content.
pub struct AssetExtras<'a> {
    pub image_size: FrameSize,
    pub world_to_glb: &'a Similarity3<f64>,
    pub confidence_threshold: f32,
    pub alignment: &'a Alignment,
}

/// A document that is being built.
pub struct Document {
    pub root: Root,
    nodes: Vec<Index<Node>>,
}

impl Document {
    pub fn new(extras: &AssetExtras, binary_bytes: usize) -> Result<Self, serde_json::Error> {
        Ok(Self::with_extras(extras.to_json()?, binary_bytes))
    }

    pub fn with_extras(extras: Extras, binary_bytes: usize) -> Self {
        let mut root = Root {
            asset: Asset {
                generator: Some(concat!("pointstream ", env!("CARGO_PKG_VERSION")).to_owned()),
                extras,
                ..Asset::default()
            },
            ..Root::default()
        };
        if binary_bytes > 0 {
            root.push(Buffer {
                byte_length: USize64::from(binary_bytes),
                name: None,
                uri: None,
                extensions: None,
                extras: None,
            });
            root.extensions_used.push(UNLIT.to_owned());
            let mut material = Material::default();
            material.extensions.get_or_insert_default().unlit = Some(Unlit {});
            // Closest to unlit in viewers without the extension.
            material.pbr_metallic_roughness.metallic_factor.0 = 0.0;
            root.push(material);
        }
        Document {
            root,
            nodes: Vec::new(),
        }
    }

    pub fn mesh(
        &mut self,
        name: &str,
        mode: Mode,
        attributes: Attributes,
        indices: Option<Index<Accessor>>,
    ) -> Index<Mesh> {
        self.root.push(Mesh {
            extensions: None,
            extras: None,
            name: Some(name.to_owned()),
            primitives: vec![gltf_json::mesh::Primitive {
                attributes,
                extensions: None,
                extras: None,
                indices,
                material: Some(Index::new(0)),
                mode: Valid(mode),
                targets: None,
            }],
            weights: None,
        })
    }

    /// A camera and its node, unless the frame has no pose or glTF cannot express its camera. `size` is
    /// that of the processed frames, `near` the distance of the near plane.
    pub fn camera(
        &mut self,
        camera: &SceneCamera,
        name: String,
        size: FrameSize,
        near: f64,
    ) -> Result<Option<Node>, serde_json::Error> {
        let Some((translation, rotation)) = node_pose(camera) else {
            return Ok(None);
        };
        let Some(perspective) = perspective(camera, size, near) else {
            return Ok(None);
        };
        let index = self.root.push(Camera {
            name: Some(name.clone()),
            orthographic: None,
            perspective: Some(perspective),
            type_: Valid(gltf_json::camera::Type::Perspective),
            extensions: None,
            extras: None,
        });
        let extras = json!({
            "id": camera.id,
            "intrinsics": rows(&camera.intrinsics),
            "distortion": camera.distortion.coefficients(),
            "extrinsics": rows(&camera.extrinsics),
        });
        Ok(Some(Node {
            camera: Some(index),
            name: Some(name),
            translation: Some(translation),
            rotation: Some(UnitQuaternion(rotation)),
            extras: Some(to_raw_value(&extras)?),
            ..Node::default()
        }))
    }

    /// Adds a node of the scene.
    pub fn node(&mut self, node: Node) {
        let node = self.root.push(node);
        self.nodes.push(node);
    }

    pub fn finish(mut self) -> Root {
        if self.nodes.is_empty() {
            // Some readers require a node.
            self.node(Node {
                name: Some(names::POINTS.to_owned()),
                ..Node::default()
            });
        }
        let scene = self.root.push(GltfScene {
            extensions: None,
            extras: None,
            name: None,
            nodes: self.nodes,
        });
        self.root.scene = Some(scene);
        self.root
    }
}

impl<'a> AssetExtras<'a> {
    fn of(scene: &'a Scene) -> Self {
        Self {
            image_size: scene.image_size,
            world_to_glb: &scene.world_to_glb,
            confidence_threshold: scene.confidence_threshold,
            alignment: &scene.alignment,
        }
    }

    fn to_json(&self) -> Result<Extras, serde_json::Error> {
        let FrameSize { width, height } = self.image_size;
        let extras = json!({
            "color_space": "srgb",
            "image_size": [width, height],
            "world_to_glb": rows(&self.world_to_glb.to_homogeneous()),
            "confidence_threshold": self.confidence_threshold,
            "alignment": self.alignment,
        });
        to_raw_value(&extras).map(Some)
    }
}

/// Translation and rotation (x, y, z, w) of a camera node: camera-to-GLB with glTF camera axes.
fn node_pose(camera: &SceneCamera) -> Option<([f32; 3], [f32; 4])> {
    let pose = camera.pose?;
    let translation = pose.translation.vector.map(|value| value as f32);
    let rotation = (pose.rotation * axes_flip())
        .coords
        .map(|value| value as f32);
    let finite = translation
        .iter()
        .chain(rotation.iter())
        .all(|value| value.is_finite());
    finite.then(|| (translation.into(), rotation.into()))
}

/// The symmetric perspective with the same fields of view: glTF has no principal point.
fn perspective(camera: &SceneCamera, size: FrameSize, near: f64) -> Option<Perspective> {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let (focal_x, focal_y) = (camera.intrinsics[(0, 0)], camera.intrinsics[(1, 1)]);
    let aspect_ratio = (width * focal_y / (height * focal_x)) as f32;
    let yfov = (2.0 * (0.5 * height / focal_y).atan()).min(MAX_FIELD_OF_VIEW) as f32;
    let znear = near as f32;
    let valid = [aspect_ratio, yfov, znear]
        .iter()
        .all(|value| value.is_normal() && *value > 0.0);
    valid.then_some(Perspective {
        aspect_ratio: Some(aspect_ratio),
        yfov,
        zfar: None,
        znear,
        extensions: None,
        extras: None,
    })
}
