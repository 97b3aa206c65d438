//! Writes GLB files as the server does, with points of a test's choice.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::{Value, json};

pub(crate) struct Cloud {
    pub node: Value,
    pub positions: Vec<[f32; 3]>,
    pub colors: Vec<[u8; 3]>,
}

/// The GLB of an update, with the points of these frames.
pub(crate) fn update(frames: &[(u64, &[[f32; 3]])]) -> Bytes {
    let clouds: Vec<Cloud> = frames
        .iter()
        .map(|(frame, positions)| Cloud {
            node: json!({"name": format!("frame {frame}"), "extras": {"frame": frame, "chunk": 0}}),
            positions: positions.to_vec(),
            colors: vec![[*frame as u8; 3]; positions.len()],
        })
        .collect();
    file(&clouds)
}

pub(crate) fn file(clouds: &[Cloud]) -> Bytes {
    let mut binary = BytesMut::new();
    let (mut views, mut accessors) = (Vec::new(), Vec::new());
    let (mut meshes, mut nodes) = (Vec::new(), Vec::new());
    for cloud in clouds {
        let mut store = |binary: &mut BytesMut, data: &[u8], component: u32, kind: &str| {
            views.push(json!({"buffer": 0, "byteOffset": binary.len(), "byteLength": data.len()}));
            binary.extend_from_slice(data);
            accessors.push(json!({
                "bufferView": views.len() - 1, "componentType": component,
                "type": kind, "count": cloud.positions.len(),
            }));
            accessors.len() - 1
        };
        let mut node = cloud.node.clone();
        if !cloud.positions.is_empty() {
            let flat = cloud.positions.as_flattened().iter();
            let positions: Vec<u8> = flat.flat_map(|value| value.to_le_bytes()).collect();
            let colors = cloud.colors.iter();
            let colors: Vec<u8> = colors.flat_map(|[r, g, b]| [*r, *g, *b, 255]).collect();
            let position = store(&mut binary, &positions, 5126, "VEC3");
            let color = store(&mut binary, &colors, 5121, "VEC4");
            let attributes = json!({"POSITION": position, "COLOR_0": color});
            meshes.push(json!({"primitives": [{"attributes": attributes, "mode": 0}]}));
            node["mesh"] = json!(meshes.len() - 1);
        }
        nodes.push(node);
    }
    let document = json!({
        "asset": {"version": "2.0"}, "nodes": nodes, "meshes": meshes,
        "accessors": accessors, "bufferViews": views,
    });
    let mut text = document.to_string();
    while !text.len().is_multiple_of(4) {
        text.push(' ');
    }
    let mut file = BytesMut::new();
    file.put_slice(b"glTF");
    file.put_u32_le(2);
    file.put_u32_le((12 + 8 + text.len() + 8 + binary.len()) as u32);
    for (kind, content) in [(b"JSON", text.as_bytes()), (b"BIN\0", &binary)] {
        file.put_u32_le(content.len() as u32);
        file.put_slice(kind);
        file.put_slice(content);
    }
    file.freeze()
}
