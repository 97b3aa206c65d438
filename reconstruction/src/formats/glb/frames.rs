//! Single frames of a map as a GLB: each is a node, so that a viewer can move and drop it.
//!
//! Each chunk is a node `chunk 3`. Its children are, for each of its frames, the node `frame 17` with
//! the points, whose matrix maps the coordinates of the points to the GLB's, and a node with the
//! camera. Compressed points are in a child of the frame's node, whose translation and scale map the
//! grid of the quantised positions to the coordinates of the frame.

use std::ops::Range;

use gltf_json::mesh::Mode;
use gltf_json::{Index, Node, Root};
use nalgebra::{Affine3, Isometry3, Point3, Similarity3};
use serde_json::json;
use serde_json::value::to_raw_value;

use super::compression::GlbCompression;
use super::document::{AssetExtras, Document, NEAR_PLANE};
use super::error::GlbError;
use super::names::{self, safe_names};
use super::points::Points;
use super::vertices::{COLOR_BYTES, POSITION_BYTES, Vertices, opaque, write_words};
use super::views::{self, IndexedBytes};
use super::{check_size, data_bytes, file, frustum};
use crate::cloud::{Alignment, FrameCloud, SceneCamera, axes_flip, camera_size};
use crate::geometry::FrameSize;

/// Frames to write as a GLB.
#[derive(Debug, Clone, Copy)]
pub struct FramesGlb<'a> {
    /// By chunk.
    pub frames: &'a [FrameCloud],
    /// Processed size of the frames, which their intrinsics refer to.
    pub image_size: FrameSize,
    /// Whether to draw the cameras.
    pub show_cameras: bool,
    pub world_to_glb: &'a Similarity3<f64>,
    pub alignment: &'a Alignment,
    pub confidence_threshold: f32,
}

/// Writes frames as one GLB file. Deterministic: the same frames give the same bytes.
///
/// # Errors
/// [`GlbError`] if the file would exceed 4 GiB, or if a frame is inconsistent or not finite.
pub fn write_frames_glb(glb: &FramesGlb, compression: GlbCompression) -> Result<Vec<u8>, GlbError> {
    let points: usize = glb.frames.iter().map(|frame| frame.points.len()).sum();
    check_size(data_bytes(points, glb.frames.len()))?;
    let size = camera_size(&glb.sample());
    let parts = glb
        .frames
        .iter()
        .enumerate()
        .map(|(index, frame)| Part::new(glb, index, frame, size, compression))
        .collect::<Result<Vec<Part>, GlbError>>()?;
    let mut bytes = 0;
    let ranges: Vec<PartBytes> = parts.iter().map(|part| part.bytes(&mut bytes)).collect();
    let extras = AssetExtras {
        image_size: glb.image_size,
        world_to_glb: glb.world_to_glb,
        confidence_threshold: glb.confidence_threshold,
        alignment: glb.alignment,
    };
    let mut document = Document::new(&extras, bytes)?;
    let labels = glb.frames.iter().map(|frame| frame.camera.name.as_ref());
    let nodes = glb.frames.iter().zip(&parts).zip(ranges);
    let mut chunk: Option<(usize, Vec<Index<Node>>)> = None;
    for (((frame, part), bytes), name) in nodes.zip(safe_names(labels)) {
        if chunk
            .as_ref()
            .is_some_and(|(index, _)| *index != frame.chunk)
        {
            finish_chunk(&mut document, chunk.take());
        }
        let (_, children) = chunk.get_or_insert_with(|| (frame.chunk, Vec::new()));
        children.push(frame_node(&mut document, frame, part, &bytes)?);
        let near = NEAR_PLANE * size;
        if let Some(node) = document.camera(&frame.camera, name, glb.image_size, near)? {
            let mesh = drawn_camera(&mut document, part, bytes);
            children.push(document.root.push(Node { mesh, ..node }));
        }
    }
    finish_chunk(&mut document, chunk);
    let json = serde_json::to_vec(&document.finish())?;
    file(&json, bytes, |file| {
        for part in &parts {
            part.write(file);
        }
    })
}

impl FramesGlb<'_> {
    /// Points in GLB coordinates, enough to measure the scene.
    fn sample(&self) -> Vec<[f32; 3]> {
        const SAMPLE: usize = 1 << 16;
        let all: usize = self.frames.iter().map(|frame| frame.points.len()).sum();
        let step = all.div_ceil(SAMPLE).max(1);
        let frames = self.frames.iter();
        let points = frames.flat_map(|frame| {
            let points = frame.points.iter().step_by(step);
            points.map(|point| {
                let point = frame.points_to_glb * Point3::from(point.map(f64::from));
                [point.x as f32, point.y as f32, point.z as f32]
            })
        });
        points.collect()
    }
}

/// The vertices of a frame.
struct Part<'a> {
    points: Points<'a>,
    /// The drawn camera in the axes of its node; empty if none is drawn.
    frustum: Vertices<Vec<[f32; 3]>, Vec<[u8; 3]>>,
}

/// Where the vertices of a frame are in the chunk of the file.
struct PartBytes {
    positions: Range<usize>,
    colors: Range<usize>,
    frustum_positions: Range<usize>,
    frustum_colors: Range<usize>,
    lines: Range<usize>,
}

impl<'a> Part<'a> {
    fn new(
        glb: &FramesGlb,
        index: usize,
        frame: &'a FrameCloud,
        size: f64,
        compression: GlbCompression,
    ) -> Result<Self, GlbError> {
        let points = Vertices::new(&frame.points[..], &frame.colors[..])?;
        let drawn = glb.show_cameras.then(|| pyramid(&frame.camera, glb, size));
        let positions: Vec<[f32; 3]> = drawn.flatten().into_iter().flatten().collect();
        let color = frustum::color(index, glb.frames.len());
        let colors = vec![color; positions.len()];
        Ok(Self {
            points: Points::new(points, compression)?,
            frustum: Vertices::new(positions, colors)?,
        })
    }

    fn lines(&self) -> &'static [u32] {
        match self.frustum.positions.is_empty() {
            true => &[],
            false => &frustum::LINES,
        }
    }

    /// The ranges of its parts behind `end`, which is moved on. All begin at multiples of 4 bytes.
    fn bytes(&self, end: &mut usize) -> PartBytes {
        let mut next = |bytes: usize| {
            let start = *end;
            *end = (start + bytes).next_multiple_of(4);
            start..start + bytes
        };
        let drawn = self.frustum.positions.len();
        PartBytes {
            positions: next(self.points.position_bytes()),
            colors: next(self.points.color_bytes()),
            frustum_positions: next(drawn * POSITION_BYTES),
            frustum_colors: next(drawn * COLOR_BYTES),
            lines: next(size_of_val(self.lines())),
        }
    }

    fn write(&self, file: &mut Vec<u8>) {
        let pad = |file: &mut Vec<u8>| file.resize(file.len().next_multiple_of(4), 0);
        self.points.write_positions(file);
        pad(file);
        self.points.write_colors(file);
        pad(file);
        let positions = self.frustum.positions.as_flattened();
        write_words(file, positions, |x| x.to_le_bytes());
        write_words(file, &self.frustum.colors, opaque);
        write_words(file, self.lines(), |x| x.to_le_bytes());
    }
}

/// The pyramid of a camera in the axes of its node.
fn pyramid(camera: &SceneCamera, glb: &FramesGlb, size: f64) -> Option<Vec<[f32; 3]>> {
    camera.pose?;
    let at_origin = SceneCamera {
        pose: Some(Isometry3::from_parts(
            Default::default(),
            axes_flip().inverse(),
        )),
        ..camera.clone()
    };
    Some(frustum::vertices(&at_origin, glb.image_size, size)?.to_vec())
}

/// The node of a frame with its points.
fn frame_node(
    document: &mut Document,
    frame: &FrameCloud,
    part: &Part,
    bytes: &PartBytes,
) -> Result<Index<Node>, GlbError> {
    let name = format!("frame {}", frame.camera.id);
    let mut node = Node {
        matrix: Some(columns(&frame.points_to_glb)?),
        extras: Some(to_raw_value(&json!({
            "frame": frame.camera.id,
            "chunk": frame.chunk,
        }))?),
        ..Node::default()
    };
    if part.points.len() > 0 {
        let (positions, colors) = (bytes.positions.clone(), bytes.colors.clone());
        let attributes = views::points(&mut document.root, &part.points, positions, colors);
        let mesh = Some(document.mesh(&name, Mode::Points, attributes, None));
        match part.points.grid() {
            None => node.mesh = mesh,
            Some(grid) => {
                let points = document.root.push(Node {
                    mesh,
                    name: Some(names::POINTS.to_owned()),
                    translation: Some(grid.origin),
                    scale: Some(grid.step),
                    ..Node::default()
                });
                node.children = Some(vec![points]);
            }
        }
    }
    node.name = Some(name);
    Ok(document.root.push(node))
}

/// The mesh of a drawn camera, if it is drawn.
fn drawn_camera(
    document: &mut Document,
    part: &Part,
    bytes: PartBytes,
) -> Option<Index<gltf_json::Mesh>> {
    let lines = part.lines().len();
    if lines == 0 {
        return None;
    }
    let bytes = IndexedBytes {
        positions: bytes.frustum_positions,
        colors: bytes.frustum_colors,
        indices: bytes.lines,
    };
    let root: &mut Root = &mut document.root;
    let (attributes, lines) = views::indexed(root, &part.frustum, lines, bytes);
    Some(document.mesh(names::FRUSTUMS, Mode::Lines, attributes, Some(lines)))
}

fn finish_chunk(document: &mut Document, chunk: Option<(usize, Vec<Index<Node>>)>) {
    if let Some((index, children)) = chunk {
        document.node(Node {
            name: Some(format!("chunk {index}")),
            children: Some(children),
            ..Node::default()
        });
    }
}

/// The columns of a node's matrix.
fn columns(transform: &Affine3<f64>) -> Result<[f32; 16], GlbError> {
    let mut columns = [0.0; 16];
    for (to, from) in columns.iter_mut().zip(transform.matrix().iter()) {
        *to = *from as f32;
        if !to.is_finite() {
            return Err(GlbError::NotFinite);
        }
    }
    Ok(columns)
}
