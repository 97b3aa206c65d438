//! Reads the points of a GLB, compressed or not. The glTF library of the other tests supports
//! neither extension.

use serde_json::Value;

const FLOAT: u64 = 5126;
const SHORT: u64 = 5122;
const UNSIGNED_BYTE: u64 = 5121;

/// Points in GLB coordinates.
#[derive(Debug)]
pub struct StoredPoints {
    pub positions: Vec<[f64; 3]>,
    /// RGB.
    pub colours: Vec<[u8; 3]>,
    /// The node's scale: the quantization step if positions are integers.
    pub step: [f64; 3],
    /// The extensions that the file requires.
    pub required: Vec<String>,
}

/// Reads the node `points`.
pub fn read(bytes: &[u8]) -> StoredPoints {
    let glb = gltf::binary::Glb::from_slice(bytes).expect("a GLB");
    let document: Value = serde_json::from_slice(&glb.json).expect("JSON");
    let chunk = glb.bin.expect("a binary chunk");
    let nodes = document["nodes"].as_array().expect("nodes");
    let node = nodes.iter().find(|node| node["name"] == "points");
    let node = node.expect("a node with the points");
    let primitive = &document["meshes"][index(&node["mesh"])]["primitives"][0];
    assert_eq!(primitive["mode"], 0, "POINTS");
    let attribute = |name: &str| {
        let accessor = &document["accessors"][index(&primitive["attributes"][name])];
        let elements = elements(&document, &chunk, accessor);
        (number(&accessor["componentType"]), elements)
    };

    let (step, origin) = (
        triple(&node["scale"], 1.0),
        triple(&node["translation"], 0.0),
    );
    let (component, elements) = attribute("POSITION");
    let coordinate = |element: &[u8], axis: usize| match component {
        FLOAT => f64::from(f32::from_le_bytes(at(element, axis))),
        SHORT => f64::from(i16::from_le_bytes(at(element, axis))),
        other => panic!("positions of type {other}"),
    };
    let place = |element: &Vec<u8>| {
        [0, 1, 2].map(|axis| origin[axis] + step[axis] * coordinate(element, axis))
    };
    let positions = elements.iter().map(place).collect();

    let (component, elements) = attribute("COLOR_0");
    assert_eq!(component, UNSIGNED_BYTE);
    let colours = elements.iter().map(|rgba| [rgba[0], rgba[1], rgba[2]]);
    let required = document["extensionsRequired"].as_array();
    let names = required.into_iter().flatten();
    StoredPoints {
        positions,
        colours: colours.collect(),
        step,
        required: names
            .map(|name| name.as_str().expect("a name").to_owned())
            .collect(),
    }
}

/// The bytes of each element, including padding.
fn elements(document: &Value, chunk: &[u8], accessor: &Value) -> Vec<Vec<u8>> {
    let count = index(&accessor["count"]);
    let view = &document["bufferViews"][index(&accessor["bufferView"])];
    let compression = &view["extensions"]["EXT_meshopt_compression"];
    if compression.is_null() {
        assert_eq!(view["buffer"], 0, "the chunk");
        let bytes = part(chunk, view);
        let stride = view["byteStride"].as_u64().map(|stride| stride as usize);
        let stride = stride.unwrap_or(bytes.len() / count);
        return bytes.chunks(stride).map(<[u8]>::to_vec).collect();
    }
    let fallback = &document["buffers"][index(&view["buffer"])];
    assert_eq!(
        fallback["extensions"]["EXT_meshopt_compression"]["fallback"],
        true
    );
    assert!(fallback["uri"].is_null());
    let end = index(&view["byteOffset"]) + index(&view["byteLength"]);
    assert!(end <= index(&fallback["byteLength"]), "beyond the fallback");
    assert_eq!(compression["mode"], "ATTRIBUTES");
    assert_eq!(index(&compression["count"]), count);
    assert_eq!(compression["byteStride"], view["byteStride"]);
    let bytes = part(chunk, compression);
    assert_eq!(meshopt::decode_vertex_version(bytes), Some(0));
    let words: Vec<Vec<u8>> = match index(&compression["byteStride"]) {
        4 => decode::<4>(bytes, count),
        8 => decode::<8>(bytes, count),
        other => panic!("elements of {other} bytes"),
    };
    words
}

fn decode<const STRIDE: usize>(bytes: &[u8], count: usize) -> Vec<Vec<u8>>
where
    [u8; STRIDE]: Default,
{
    let elements: Vec<[u8; STRIDE]> =
        meshopt::decode_vertex_buffer(bytes, count).expect("it can be decoded");
    elements.iter().map(|element| element.to_vec()).collect()
}

fn part<'a>(chunk: &'a [u8], view: &Value) -> &'a [u8] {
    let start = index(&view["byteOffset"]);
    &chunk[start..start + index(&view["byteLength"])]
}

fn at<const BYTES: usize>(element: &[u8], axis: usize) -> [u8; BYTES] {
    let bytes = &element[axis * BYTES..(axis + 1) * BYTES];
    bytes.try_into().expect("as many bytes")
}

fn triple(value: &Value, default: f64) -> [f64; 3] {
    [0, 1, 2].map(|axis| value[axis].as_f64().unwrap_or(default))
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a whole number")
}

fn index(value: &Value) -> usize {
    number(value) as usize
}
