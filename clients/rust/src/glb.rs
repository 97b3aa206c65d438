//! Reads the GLB files that the server writes.
//!
//! docs/formats.md describes them. Libraries for glTF expect positions as floats, but quantised
//! clouds have integers, and files from a network must not make them panic.

use bytes::{Buf as _, Bytes};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::matrix::{Matrix4, compose, place};

const POINTS: u64 = 0;

/// Points with their colours, in the coordinates of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    /// x, y and z.
    pub positions: Vec<[f32; 3]>,
    /// Red, green and blue, sRGB.
    pub colors: Vec<[u8; 3]>,
}

/// A parsed file.
pub(crate) struct Glb {
    document: Document,
    binary: Bytes,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    nodes: Vec<Node>,
    meshes: Vec<Mesh>,
    accessors: Vec<Accessor>,
    buffer_views: Vec<View>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Node {
    pub name: String,
    pub camera: Option<usize>,
    pub extras: Map<String, Value>,
    mesh: Option<usize>,
    children: Vec<usize>,
    matrix: Option<[f64; 16]>,
    translation: Option<[f64; 3]>,
    rotation: Option<[f64; 4]>,
    scale: Option<[f64; 3]>,
}

#[derive(Deserialize)]
struct Mesh {
    primitives: Vec<Primitive>,
}

#[derive(Deserialize)]
struct Primitive {
    mode: Option<u64>,
    attributes: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accessor {
    buffer_view: usize,
    #[serde(default)]
    byte_offset: usize,
    component_type: u32,
    count: usize,
    r#type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    #[serde(default)]
    byte_offset: usize,
    byte_stride: Option<usize>,
    #[serde(default)]
    extensions: Map<String, Value>,
}

impl Node {
    /// The transform of the node to its parent.
    pub fn transform(&self) -> Matrix4 {
        if let Some(columns) = self.matrix {
            return std::array::from_fn(|row| {
                std::array::from_fn(|column| columns[4 * column + row])
            });
        }
        compose(
            self.translation.unwrap_or_default(),
            self.rotation.unwrap_or([0.0, 0.0, 0.0, 1.0]),
            self.scale.unwrap_or([1.0; 3]),
        )
    }
}

impl Glb {
    pub fn parse(data: &Bytes) -> Result<Self, Error> {
        let (text, binary) = chunks(data)?;
        let document = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
        Ok(Self { document, binary })
    }

    pub fn nodes(&self) -> &[Node] {
        &self.document.nodes
    }

    /// The points of a node and of its children, in the coordinates of the node.
    pub fn points(&self, node: &Node) -> Result<Option<Points>, Error> {
        let mut found = self.mesh(node)?;
        for index in &node.children {
            let child = get(&self.document.nodes, *index)?;
            if let Some(mut points) = self.mesh(child)? {
                let by = child.transform();
                for position in &mut points.positions {
                    *position = place(&by, *position);
                }
                let found = found.get_or_insert_with(Points::default);
                found.positions.append(&mut points.positions);
                found.colors.append(&mut points.colors);
            }
        }
        Ok(found)
    }

    fn mesh(&self, node: &Node) -> Result<Option<Points>, Error> {
        let Some(index) = node.mesh else {
            return Ok(None);
        };
        let mut primitives = get(&self.document.meshes, index)?.primitives.iter();
        let Some(cloud) = primitives.find(|one| one.mode == Some(POINTS)) else {
            return Ok(None);
        };
        let positions = self.accessor(cloud, "POSITION", read_position)?;
        let colors = self.accessor(cloud, "COLOR_0", read_color)?;
        if positions.len() != colors.len() {
            return Err(damaged(&"positions and colours differ in number"));
        }
        Ok(Some(Points { positions, colors }))
    }

    fn accessor<T>(
        &self,
        primitive: &Primitive,
        name: &str,
        read: fn(u32, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let index = primitive.attributes.get(name).and_then(Value::as_u64);
        let index = index.and_then(|index| usize::try_from(index).ok());
        let index = index.ok_or_else(|| damaged(&format!("points have no {name}")))?;
        let accessor = get(&self.document.accessors, index)?;
        let view = get(&self.document.buffer_views, accessor.buffer_view)?;
        if view.extensions.contains_key("EXT_meshopt_compression") {
            return Err(Error::Glb(
                "the points are compressed with meshopt, which this crate does not read; create \
                 the session with another glb_compression, or download another format"
                    .to_owned(),
            ));
        }
        let width =
            width(accessor).ok_or_else(|| damaged(&format!("{name} is of a wrong type")))?;
        let stride = view.byte_stride.unwrap_or(width).max(width);
        let begin = view.byte_offset.saturating_add(accessor.byte_offset);
        let data = self.binary.get(begin..).unwrap_or_default();
        // Before anything is reserved for so many.
        let needed = match accessor.count {
            0 => 0,
            count => (count - 1).saturating_mul(stride).saturating_add(width),
        };
        if needed > data.len() {
            return Err(damaged(&format!("{name} goes beyond the end")));
        }
        let values = data.chunks(stride).take(accessor.count);
        let values: Option<Vec<T>> = values
            .map(|value| read(accessor.component_type, value))
            .collect();
        values.ok_or_else(|| damaged(&format!("{name} is of a wrong type")))
    }
}

/// The bytes of one value.
fn width(accessor: &Accessor) -> Option<usize> {
    let size = match accessor.component_type {
        5120 | 5121 => 1,
        5122 | 5123 => 2,
        5126 => 4,
        _ => return None,
    };
    match accessor.r#type.as_str() {
        "VEC3" => Some(3 * size),
        "VEC4" => Some(4 * size),
        _ => None,
    }
}

fn read_position(component: u32, mut data: &[u8]) -> Option<[f32; 3]> {
    let mut position = [0.0; 3];
    for value in &mut position {
        *value = match component {
            5122 => f32::from(data.try_get_i16_le().ok()?),
            5123 => f32::from(data.try_get_u16_le().ok()?),
            5126 => data.try_get_f32_le().ok()?,
            _ => return None,
        };
    }
    Some(position)
}

fn read_color(component: u32, data: &[u8]) -> Option<[u8; 3]> {
    match (component, data) {
        (5121, [red, green, blue, ..]) => Some([*red, *green, *blue]),
        _ => None,
    }
}

fn chunks(data: &Bytes) -> Result<(Bytes, Bytes), Error> {
    let mut rest = data.clone();
    let whole = rest.len() >= 12
        && rest.split_to(4) == b"glTF"[..]
        && rest.get_u32_le() == 2
        && usize::try_from(rest.get_u32_le()) == Ok(data.len());
    if !whole {
        return Err(damaged(&"not a whole GLB of version 2"));
    }
    let text = chunk(&mut rest, b"JSON")?;
    let binary = match rest.is_empty() {
        true => Bytes::new(),
        false => chunk(&mut rest, b"BIN\0")?,
    };
    Ok((text, binary))
}

fn chunk(rest: &mut Bytes, kind: &[u8]) -> Result<Bytes, Error> {
    let size = rest.try_get_u32_le().unwrap_or(u32::MAX) as usize;
    if rest.len() < 4 || rest.split_to(4) != kind || rest.len() < size {
        return Err(damaged(&"a chunk is missing or not whole"));
    }
    Ok(rest.split_to(size))
}

fn get<T>(list: &[T], index: usize) -> Result<&T, Error> {
    list.get(index)
        .ok_or_else(|| damaged(&"something refers to nothing"))
}

pub(crate) fn damaged(reason: &dyn std::fmt::Display) -> Error {
    Error::Glb(format!("this is not a GLB of the server ({reason})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny_glb::{self, Cloud};

    fn file() -> Bytes {
        tiny_glb::file(&[Cloud {
            node: serde_json::json!({"name": "points", "translation": [1, 0, 0]}),
            positions: vec![[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
            colors: vec![[1, 2, 3], [4, 5, 6]],
        }])
    }

    #[test]
    fn points_are_read() {
        let glb = Glb::parse(&file()).unwrap();
        let points = glb.points(&glb.nodes()[0]).unwrap().unwrap();
        assert_eq!(points.positions, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
        assert_eq!(points.colors, [[1, 2, 3], [4, 5, 6]]);
        assert_eq!(glb.nodes()[0].transform()[0][3], 1.0);
    }

    #[test]
    fn no_file_makes_it_panic() {
        let whole = file();
        for length in 0..whole.len() {
            assert!(Glb::parse(&whole.slice(..length)).is_err(), "{length}");
        }
        for index in 0..whole.len() {
            for change in [1, 0x10, 0x80] {
                let mut changed = whole.to_vec();
                changed[index] ^= change;
                if let Ok(glb) = Glb::parse(&changed.into()) {
                    for node in glb.nodes() {
                        let _ = glb.points(node);
                    }
                }
            }
        }
    }

    #[test]
    fn a_huge_count_reserves_nothing() {
        let whole = file();
        let count = b"\"count\":2";
        let place = whole.windows(count.len()).position(|part| part == count);
        let place = place.unwrap();
        let mut changed = whole[..place].to_vec();
        changed.extend_from_slice(b"\"count\":9");
        changed.extend_from_slice(&whole[place + 9..]);
        let glb = Glb::parse(&changed.into()).unwrap();
        let error = glb.points(&glb.nodes()[0]).unwrap_err();
        assert!(error.to_string().contains("beyond the end"));
    }
}
