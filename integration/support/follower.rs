//! A client that keeps the point cloud and applies updates to it.

use std::collections::{BTreeMap, HashMap};

use gltf::mesh::Mode;
use nalgebra::{Affine3, Matrix4, Point3, Vector3};
use serde_json::Value;

use super::client::Answer;
use super::geometry::numbers;
use super::glb::Contents;

/// Side of the cells in which points are looked up.
const CELL: f64 = 1e-3;
/// Points differ by rounding.
const TOLERANCE: f64 = 2e-5;

/// Points with their colours, by their cells.
type Cells = HashMap<[i64; 3], Vec<(Point3<f64>, [u8; 3])>>;

/// A frame that the client has.
#[derive(Debug, Clone)]
pub struct Frame {
    pub name: String,
    pub points_to_glb: Matrix4<f64>,
    pub camera_to_glb: Matrix4<f64>,
    pub points: Vec<([f32; 3], [u8; 3])>,
}

/// What a client with `deltas=append` has.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    pub frames: BTreeMap<u64, Frame>,
    /// The number of the last update.
    pub number: u64,
}

impl Follower {
    /// Applies an update; returns the numbers of its frames.
    pub fn apply(&mut self, answer: &Answer) -> Vec<u64> {
        let metadata = answer.metadata();
        let append = &metadata["append"];
        self.number = append["number"].as_u64().expect("a number");
        if append["reset"] == true {
            self.frames.clear();
        }
        for kept in list(&append["kept"]) {
            let frame = self.frames.get_mut(&number(&kept["frame"]));
            let points = number(&kept["points"]) as usize;
            let frame = frame.expect("a frame that was sent");
            assert!(points < frame.points.len(), "nothing to drop");
            frame.points.truncate(points);
        }
        for pose in list(&append["corrections"]) {
            let frame = self.frames.get_mut(&number(&pose["frame"]));
            let frame = frame.expect("a frame that was sent");
            frame.points_to_glb = matrix(&pose["points_to_glb"]);
            frame.camera_to_glb = matrix(&pose["camera_to_glb"]);
        }
        let mut files = frames_of(&answer.glb());
        let mut new = Vec::new();
        for pose in list(&append["frames"]) {
            let id = number(&pose["frame"]);
            let (chunk, node, points) = files.remove(&id).expect("a node for each new frame");
            let points_to_glb = matrix(&pose["points_to_glb"]);
            assert!(
                (node - points_to_glb).amax() < 1e-5,
                "{node} {points_to_glb}"
            );
            assert_eq!(chunk, pose["chunk"].as_u64().unwrap_or(0));
            let frame = Frame {
                name: pose["name"].as_str().expect("a name").to_owned(),
                points_to_glb,
                camera_to_glb: matrix(&pose["camera_to_glb"]),
                points,
            };
            assert!(self.frames.insert(id, frame).is_none(), "{id} came twice");
            new.push(id);
        }
        assert!(files.is_empty(), "nodes without a pose");
        let total: usize = self.frames.values().map(|frame| frame.points.len()).sum();
        assert_eq!(metadata["num_points"], total);
        assert_eq!(metadata["glb_size_bytes"], answer.glb().len());
        new
    }

    /// Checks that it has the points and cameras of a whole cloud.
    pub fn assert_has(&self, whole: &Contents) {
        let mut cells = Cells::new();
        let mut count = 0;
        for frame in self.frames.values() {
            let to_glb = Affine3::from_matrix_unchecked(frame.points_to_glb);
            for (point, colour) in &frame.points {
                let point = to_glb * Point3::from(point.map(f64::from));
                cells
                    .entry(cell(&point))
                    .or_default()
                    .push((point, *colour));
                count += 1;
            }
        }
        assert_eq!(count, whole.points.len());
        for (point, colour) in whole.points.iter().zip(&whole.colours) {
            assert!(
                take(&mut cells, &point.cast(), colour),
                "the update lacks {point}"
            );
        }
        let centres: Vec<(String, Point3<f32>)> = self
            .frames
            .values()
            .map(|frame| {
                let centre = frame.camera_to_glb.fixed_view::<3, 1>(0, 3);
                (frame.name.clone(), Point3::from(centre.map(|x| x as f32)))
            })
            .collect();
        assert_eq!(centres.len(), whole.cameras.len());
        for ((name, centre), (expected, place)) in centres.iter().zip(&whole.cameras) {
            assert_eq!(name, expected);
            assert!((centre - place).norm() < 1e-5, "{name}: {centre} {place}");
        }
    }
}

fn cell(point: &Point3<f64>) -> [i64; 3] {
    [0, 1, 2].map(|axis: usize| (point[axis] / CELL).floor() as i64)
}

/// Takes a point out of the cells; returns whether it was there.
fn take(cells: &mut Cells, point: &Point3<f64>, colour: &[u8; 3]) -> bool {
    let around = [-TOLERANCE, 0.0, TOLERANCE];
    for (dx, dy, dz) in around.iter().flat_map(|dx| {
        around
            .iter()
            .flat_map(move |dy| around.map(|dz| (*dx, *dy, dz)))
    }) {
        let Some(found) = cells.get_mut(&cell(&(point + Vector3::new(dx, dy, dz)))) else {
            continue;
        };
        let near = |(other, shade): &(Point3<f64>, [u8; 3])| {
            (other - point).norm() < TOLERANCE && shade == colour
        };
        if let Some(index) = found.iter().position(near) {
            found.swap_remove(index);
            return true;
        }
    }
    false
}

/// The frames of an update's GLB by their numbers: chunk, matrix of the node, and points.
type FileFrame = (u64, Matrix4<f64>, Vec<([f32; 3], [u8; 3])>);

fn frames_of(bytes: &[u8]) -> HashMap<u64, FileFrame> {
    let gltf = gltf::Gltf::from_slice(bytes).expect("a valid GLB");
    let scene = gltf.default_scene().expect("a GLB shows one scene");
    let mut frames = HashMap::new();
    for chunk in scene.nodes() {
        let numbered = |node: &gltf::Node, word: &str| {
            let name = node.name()?.strip_prefix(word)?;
            name.parse::<u64>().ok()
        };
        let Some(index) = numbered(&chunk, "chunk ") else {
            continue;
        };
        for node in chunk.children() {
            let Some(number) = numbered(&node, "frame ") else {
                assert!(node.camera().is_some(), "{:?}", node.name());
                continue;
            };
            let columns = node.transform().matrix();
            let matrix = Matrix4::from_fn(|row, column| f64::from(columns[column][row]));
            let mut points = Vec::new();
            for primitive in node.mesh().iter().flat_map(gltf::Mesh::primitives) {
                assert_eq!(primitive.mode(), Mode::Points);
                let reader = primitive.reader(|_| gltf.blob.as_deref());
                let positions = reader.read_positions().expect("positions");
                let colours = reader.read_colors(0).expect("colours").into_rgb_u8();
                points.extend(positions.zip(colours));
            }
            frames.insert(number, (index, matrix, points));
        }
    }
    frames
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

pub fn matrix(rows: &Value) -> Matrix4<f64> {
    Matrix4::from_row_slice(&numbers(rows))
}
