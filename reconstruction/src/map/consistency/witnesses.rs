//! Which frames may say something about the points of a frame.

use std::collections::BTreeMap;

use nalgebra::{Point3, Vector3};

use super::Placed;
use crate::cloud::{View, is_known};
use crate::geometry::FrameSize;
use crate::map::joined::KnownDepth;

/// Frames of other chunks that a frame is compared with at most.
const MOST_OTHERS: usize = 12;
/// Of these, frames of one chunk: they tend to have the same errors.
const MOST_OF_CHUNK: usize = 6;
/// Frames of its own chunk. With the frame itself as many as of another chunk, so that of two chunks that
/// contradict each other the larger one is right, and of equally large ones none.
const MOST_OWN: usize = MOST_OF_CHUNK - 1;
/// Columns and rows of a sketch.
const CELLS: usize = 24;
/// Share of what a frame sees that a witness must see, too.
const LEAST_SEEN: f64 = 0.05;
/// How much farther away a point may be than the surface of a frame that sees its place.
const HIDDEN: f64 = 1.15;

/// What a frame sees, at few pixels.
pub(super) struct Sketch {
    view: View,
    size: FrameSize,
    /// Depths of the middles of the cells, and 0 where there are none.
    cells: Vec<f32>,
    /// Their points in the world.
    points: Vec<Point3<f64>>,
}

impl Sketch {
    /// Bytes of a sketch, at most.
    pub const BYTES: u64 =
        (CELLS * CELLS * (size_of::<f32>() + size_of::<Point3<f64>>()) + 512) as u64;

    pub fn of(frame: &Placed, maps: &KnownDepth, size: FrameSize) -> Self {
        let (mut cells, mut points) = (Vec::with_capacity(CELLS * CELLS), Vec::new());
        let middle = |cell: usize, length: usize| (2 * cell + 1) * length / (2 * CELLS);
        for cell in 0..CELLS * CELLS {
            let (column, row) = (
                middle(cell % CELLS, size.columns()),
                middle(cell / CELLS, size.rows()),
            );
            let index = row * size.columns() + column;
            let pixel = maps.depth.get(index).zip(maps.confidence.get(index));
            let known = pixel.filter(|(depth, confidence)| {
                is_known(**confidence, **depth) && **confidence >= frame.floor
            });
            let depth = known.map_or(0.0, |(depth, _)| f64::from(*depth) * frame.depth_factor);
            cells.push(depth as f32);
            if depth > 0.0 {
                let point = frame.view.unproject(column as f64, row as f64, depth);
                points.extend(Some(point).filter(|point| !point.x.is_nan()));
            }
        }
        Self {
            view: frame.view.clone(),
            size,
            cells,
            points,
        }
    }

    /// How many points of the other frame lie where this one sees something, and not behind it.
    fn sees(&self, other: &Self) -> usize {
        let points = other.points.iter();
        points.filter(|point| self.sees_place(point)).count()
    }

    fn sees_place(&self, point: &Point3<f64>) -> bool {
        let seen = self.view.camera_to_world.inverse_transform_point(point);
        if seen.z <= 0.0 {
            return false;
        }
        let straight = [seen.x / seen.z, seen.y / seen.z];
        let [x, y] = self.view.distortion.distort(straight);
        let pixel = self.view.intrinsics * Vector3::new(x, y, 1.0);
        let cell = |place: f64, length: u32| (place + 0.5) / f64::from(length) * CELLS as f64;
        let (column, row) = (
            cell(pixel.x, self.size.width),
            cell(pixel.y, self.size.height),
        );
        let inside = 0.0..CELLS as f64;
        if !inside.contains(&column) || !inside.contains(&row) {
            return false;
        }
        let depth = self.cells[row as usize * CELLS + column as usize];
        depth > 0.0 && seen.z <= HIDDEN * f64::from(depth)
    }
}

/// The frames that see most of what a frame sees: indices.
pub(super) fn witnesses(frames: &[Placed], sketches: &[Sketch], of: usize) -> Vec<usize> {
    let least = LEAST_SEEN * sketches[of].points.len() as f64;
    let others = (0..frames.len()).filter(|&other| other != of);
    let mut seen: Vec<(usize, usize)> = others
        .map(|other| (sketches[other].sees(&sketches[of]), other))
        .filter(|(seen, _)| *seen as f64 > least)
        .collect();
    // Those that see most first; of equal ones the earlier.
    seen.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
    let own_chunk = frames[of].place.chunk;
    let (mut own, mut chosen) = (Vec::new(), Vec::new());
    let mut of_chunk: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, other) in seen {
        let chunk = frames[other].place.chunk;
        let count = of_chunk.entry(chunk).or_default();
        *count += 1;
        match chunk == own_chunk {
            true if *count <= MOST_OWN => own.push(other),
            false if *count <= MOST_OF_CHUNK && chosen.len() < MOST_OTHERS => chosen.push(other),
            _ => {}
        }
    }
    chosen.append(&mut own);
    chosen
}
