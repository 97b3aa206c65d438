//! Buffer views and accessors: byte ranges and types of a mesh's numbers.

use std::collections::BTreeMap;
use std::ops::Range;

use gltf_json::accessor::{ComponentType, GenericComponentType, Type};
use gltf_json::buffer::{Stride, Target, View};
use gltf_json::mesh::Semantic;
use gltf_json::validation::Checked::{self, Valid};
use gltf_json::validation::USize64;
use gltf_json::{Accessor, Buffer, Index, Root};
use serde_json::{Map, Value, json};

use super::points::{Points, QUANTIZED_BYTES};
use super::vertices::{COLOR_BYTES, Vertices};

const QUANTIZATION: &str = "KHR_mesh_quantization";
const MESHOPT: &str = "EXT_meshopt_compression";

/// The buffer of the binary chunk.
const CHUNK: u32 = 0;

pub type Attributes = BTreeMap<Checked<Semantic>, Index<Accessor>>;

/// Adds the views of the points and the extensions that reading them requires.
pub fn points(
    root: &mut Root,
    points: &Points,
    position_bytes: Range<usize>,
    color_bytes: Range<usize>,
) -> Attributes {
    let count = points.len();
    match points {
        Points::Plain(vertices) => {
            let positions = view(root, position_bytes, Target::ArrayBuffer);
            let colors = view(root, color_bytes, Target::ArrayBuffer);
            attributes(root, count, positions, colors, vertices.bounds)
        }
        Points::Quantized { bounds, .. } => {
            require(root, QUANTIZATION);
            let positions = view(root, position_bytes, Target::ArrayBuffer);
            root.buffer_views[positions.value()].byte_stride = Some(Stride(QUANTIZED_BYTES));
            let colors = view(root, color_bytes, Target::ArrayBuffer);
            quantized_attributes(root, count, positions, colors, *bounds)
        }
        Points::Meshopt { bounds, .. } => {
            require(root, QUANTIZATION);
            require(root, MESHOPT);
            let fallback = fallback_buffer(root, count * (QUANTIZED_BYTES + COLOR_BYTES));
            let mut decoded = 0;
            let mut compressed_view = |bytes, stride| {
                let view = compressed_view(root, bytes, (fallback, decoded), count, stride);
                decoded += count * stride;
                view
            };
            let positions = compressed_view(position_bytes, QUANTIZED_BYTES);
            let colors = compressed_view(color_bytes, COLOR_BYTES);
            quantized_attributes(root, count, positions, colors, *bounds)
        }
    }
}

/// Adds the views of vertices, and of so many indices of lines or triangles.
pub fn indexed<P: AsRef<[[f32; 3]]>, C>(
    root: &mut Root,
    vertices: &Vertices<P, C>,
    indices: usize,
    bytes: IndexedBytes,
) -> (Attributes, Index<Accessor>) {
    let positions = view(root, bytes.positions, Target::ArrayBuffer);
    let colors = view(root, bytes.colors, Target::ArrayBuffer);
    let count = vertices.positions.as_ref().len();
    let attributes = attributes(root, count, positions, colors, vertices.bounds);
    let view = view(root, bytes.indices, Target::ElementArrayBuffer);
    let indices = accessor(root, view, indices, ComponentType::U32, Type::Scalar);
    (attributes, indices)
}

/// Where the bytes of vertices and their indices are in the chunk.
pub struct IndexedBytes {
    pub positions: Range<usize>,
    pub colors: Range<usize>,
    pub indices: Range<usize>,
}

/// Attributes of vertices with single precision positions.
fn attributes(
    root: &mut Root,
    count: usize,
    positions: Index<View>,
    colors: Index<View>,
    [low, high]: [[f32; 3]; 2],
) -> Attributes {
    let positions = accessor(root, positions, count, ComponentType::F32, Type::Vec3);
    root.accessors[positions.value()].min = Some(json!(low));
    root.accessors[positions.value()].max = Some(json!(high));
    with_colors(root, count, positions, colors)
}

/// Attributes of vertices with integer positions.
fn quantized_attributes(
    root: &mut Root,
    count: usize,
    positions: Index<View>,
    colors: Index<View>,
    [low, high]: [[i16; 3]; 2],
) -> Attributes {
    let positions = accessor(root, positions, count, ComponentType::I16, Type::Vec3);
    root.accessors[positions.value()].min = Some(json!(low));
    root.accessors[positions.value()].max = Some(json!(high));
    with_colors(root, count, positions, colors)
}

fn with_colors(
    root: &mut Root,
    count: usize,
    positions: Index<Accessor>,
    colors: Index<View>,
) -> Attributes {
    let colors = accessor(root, colors, count, ComponentType::U8, Type::Vec4);
    root.accessors[colors.value()].normalized = true;
    Attributes::from([
        (Valid(Semantic::Positions), positions),
        (Valid(Semantic::Colors(0)), colors),
    ])
}

fn require(root: &mut Root, extension: &str) {
    if root
        .extensions_required
        .iter()
        .any(|known| known == extension)
    {
        return;
    }
    root.extensions_used.push(extension.to_owned());
    root.extensions_required.push(extension.to_owned());
}

/// A buffer without content that stands for the decoded content of compressed views.
fn fallback_buffer(root: &mut Root, bytes: usize) -> Index<Buffer> {
    root.push(Buffer {
        byte_length: USize64::from(bytes),
        name: None,
        uri: None,
        extensions: Some(gltf_json::extensions::buffer::Buffer {
            others: Map::from_iter([(MESHOPT.to_owned(), json!({ "fallback": true }))]),
        }),
        extras: None,
    })
}

/// A view of `count` elements of `stride` bytes: encoded at `bytes` of the chunk, decoded at an
/// offset of the fallback buffer.
fn compressed_view(
    root: &mut Root,
    bytes: Range<usize>,
    (fallback, offset): (Index<Buffer>, usize),
    count: usize,
    stride: usize,
) -> Index<View> {
    let compression: Value = json!({
        "buffer": CHUNK,
        "byteOffset": bytes.start,
        "byteLength": bytes.len(),
        "byteStride": stride,
        "count": count,
        "mode": "ATTRIBUTES",
    });
    root.push(View {
        buffer: fallback,
        byte_length: USize64::from(count * stride),
        byte_offset: Some(USize64::from(offset)),
        byte_stride: Some(Stride(stride)),
        name: None,
        target: Some(Valid(Target::ArrayBuffer)),
        extensions: Some(gltf_json::extensions::buffer::View {
            others: Map::from_iter([(MESHOPT.to_owned(), compression)]),
        }),
        extras: None,
    })
}

fn view(root: &mut Root, bytes: Range<usize>, target: Target) -> Index<View> {
    root.push(View {
        buffer: Index::new(CHUNK),
        byte_length: USize64::from(bytes.len()),
        byte_offset: Some(USize64::from(bytes.start)),
        byte_stride: None,
        name: None,
        target: Some(Valid(target)),
        extensions: None,
        extras: None,
    })
}

fn accessor(
    root: &mut Root,
    view: Index<View>,
    count: usize,
    component: ComponentType,
    type_: Type,
) -> Index<Accessor> {
    root.push(Accessor {
        buffer_view: Some(view),
        byte_offset: None,
        count: USize64::from(count),
        component_type: Valid(GenericComponentType(component)),
        extensions: None,
        extras: None,
        type_: Valid(type_),
        min: None,
        max: None,
        name: None,
        normalized: false,
        sparse: None,
    })
}
