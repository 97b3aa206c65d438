use std::convert::Infallible;
use std::sync::Arc;

use ::image::RgbImage;
use nalgebra::{Isometry3, Matrix3, Point3, Vector3};

use super::*;
use crate::cloud::{CloudOptions, PointFilters, SceneFrame};
use crate::geometry::{Distortion, FrameSize, Region};
use crate::map::joined::KnownDepth;
use crate::map::{FirstChunk, NextChunk};
use crate::prediction::{Camera, Prediction};

const SIZE: FrameSize = FrameSize::new(64, 48);
const FOCAL: f64 = 60.0;
const LENS: Distortion = Distortion { k1: -0.1, k2: 0.02 };

const OPTIONS: CloudOptions = CloudOptions {
    conf_thresh_percentile: 0.0,
    num_max_points: usize::MAX,
    show_cameras: false,
    filters: PointFilters::OFF,
};

/// Where a ray from a place along a direction with z = 1 ends: its depth, if it is known.
type Seen<'a> = &'a dyn Fn(&Point3<f64>, &Vector3<f64>) -> Option<f64>;

/// A plane across the view. It slopes by 1 in 100: the same depth at most pixels would be impossible.
fn plane(z: f64, from: &Point3<f64>, ray: &Vector3<f64>) -> f64 {
    (z + 0.01 * from.x - from.z) / (1.0 - 0.01 * ray.x)
}

/// Nothing but a wall.
fn wall(z: f64) -> impl Fn(&Point3<f64>, &Vector3<f64>) -> Option<f64> {
    move |from, ray| Some(plane(z, from, ray))
}

/// A map whose frames all look forward, and the depth of its chunks.
#[derive(Default)]
struct World {
    map: Option<Map>,
    chunks: Vec<Prediction>,
    frames: u64,
    /// A lens with distortion.
    bends: bool,
}

impl World {
    /// A chunk of frames at these places to the right.
    fn chunk(mut self, places: impl IntoIterator<Item = f64>, seen: Seen) -> Self {
        let mut prediction = self.predict(places, seen);
        let image = RgbImage::new(SIZE.width, SIZE.height);
        let name: Arc<str> = "frame".into();
        let first = self.frames;
        self.frames += prediction.len() as u64;
        let frames: Vec<SceneFrame> = (first..self.frames)
            .map(|id| SceneFrame {
                id,
                name: &name,
                image: &image,
                region: Region::WHOLE,
            })
            .collect();
        match &mut self.map {
            None => {
                let made = FirstChunk::make(&mut prediction, &frames, None, &OPTIONS);
                self.map = Some(Map::begin(made.expect("frames that fit").0, None));
            }
            Some(map) => {
                let to_glb = *map.world_to_glb();
                let number = map.chunks().len();
                let made = NextChunk::make(&mut prediction, &frames, &to_glb, number, &OPTIONS);
                map.add(made.expect("frames that fit").0);
            }
        }
        self.chunks.push(prediction);
        self
    }

    fn predict(&self, places: impl IntoIterator<Item = f64>, seen: Seen) -> Prediction {
        let (cx, cy) = (
            f64::from(SIZE.width - 1) / 2.0,
            f64::from(SIZE.height - 1) / 2.0,
        );
        let intrinsics = Matrix3::new(FOCAL, 0.0, cx, 0.0, FOCAL, cy, 0.0, 0.0, 1.0);
        let distortion = match self.bends {
            true => LENS,
            false => Distortion::NONE,
        };
        let mut prediction = Prediction {
            size: SIZE,
            cameras: Vec::new(),
            depth: Vec::new(),
            confidence: Vec::new(),
            report: None,
            links: None,
        };
        for place in places {
            let pose = Isometry3::translation(place, 0.0, 0.0);
            prediction.cameras.push(Camera {
                extrinsics: pose.inverse().to_homogeneous(),
                intrinsics,
                distortion,
                registered: true,
            });
            for index in 0..SIZE.columns() * SIZE.rows() {
                let (u, v) = (
                    (index % SIZE.columns()) as f64,
                    (index / SIZE.columns()) as f64,
                );
                let bent = [(u - cx) / FOCAL, (v - cy) / FOCAL];
                let [x, y] = distortion.undistort(bent).expect("inside the image");
                let depth = seen(&Point3::new(place, 0.0, 0.0), &Vector3::new(x, y, 1.0));
                prediction.depth.push(depth.unwrap_or(1.0) as f32);
                prediction
                    .confidence
                    .push(if depth.is_some() { 2.0 } else { 1.0 });
            }
        }
        prediction
    }

    fn map(&self) -> &Map {
        self.map.as_ref().expect("it has a chunk")
    }

    fn compare(&self) -> Contradicted {
        let numbers: Vec<u64> = (0..self.frames).collect();
        let comparison = Comparison {
            map: self.map(),
            numbers: &numbers,
        };
        assert_eq!(comparison.frames().len(), numbers.len());
        let Ok(found) = comparison.find(self, &|| true);
        found.expect("nobody has stopped it")
    }

    /// Shares of the pixels of each chunk that are contradicted, of those that have this depth.
    fn shares(&self, found: &Contradicted, depths: std::ops::Range<f32>) -> Vec<f64> {
        let mut first = 0;
        let mut shares = Vec::new();
        for prediction in &self.chunks {
            let (mut all, mut marked) = (0.0, 0.0);
            for frame in 0..prediction.len() {
                for (index, depth) in (0..).zip(prediction.frame_depth(frame)) {
                    if depths.contains(depth) {
                        all += 1.0;
                        marked += f64::from(found.contains(first + frame as u64, index));
                    }
                }
            }
            first += prediction.len() as u64;
            shares.push(marked / f64::max(all, 1.0));
        }
        shares
    }
}

impl SourceOfDepth for World {
    type Error = Infallible;

    fn depth(&self, place: FramePlace) -> Result<KnownDepth, Infallible> {
        let prediction = &self.chunks[place.chunk];
        Ok(KnownDepth {
            depth: prediction.frame_depth(place.row).to_vec(),
            confidence: prediction.frame_confidence(place.row).to_vec(),
        })
    }
}

fn places(count: u32) -> impl Iterator<Item = f64> {
    (0..count).map(|frame| 0.1 * f64::from(frame))
}

/// What is in front of a wall at z = 4.
fn before_wall(
    thing: impl Fn(f64, f64) -> bool,
    z: f64,
) -> impl Fn(&Point3<f64>, &Vector3<f64>) -> Option<f64> {
    move |from, ray| {
        let near = plane(z, from, ray);
        let hits = thing(from.x + ray.x * near, from.y + ray.y * near);
        Some(if hits { near } else { plane(4.0, from, ray) })
    }
}

#[test]
fn what_all_see_the_same_stays() {
    // Within the error of depth.
    let world = World::default()
        .chunk(places(6), &wall(4.0))
        .chunk(places(6), &wall(4.1))
        .chunk(places(6), &wall(3.95));
    assert!(world.compare().is_empty());
    // A slope that is seen by all: each pixel has another depth than those beside it.
    let slope =
        |from: &Point3<f64>, ray: &Vector3<f64>| Some((3.0 + 0.7 * from.x) / (1.0 - 0.7 * ray.x));
    let world = World::default()
        .chunk(places(6), &slope)
        .chunk(places(6), &slope);
    assert!(world.compare().is_empty());
}

#[test]
fn of_two_layers_of_a_wall_the_one_with_more_support_stays() {
    let whole = 0.1..9.0;
    // The near one is of few frames, or the far one is; also seen through a lens.
    for bends in [false, true] {
        for (most, few) in [(4.4, 4.0), (4.0, 4.4)] {
            let world = World {
                bends,
                ..World::default()
            };
            let world = world
                .chunk(places(8), &wall(most))
                .chunk(places(4), &wall(few));
            let found = world.compare();
            let shares = world.shares(&found, whole.clone());
            // Only a border that hardly any of its frames see.
            assert!(shares[0] < 0.005, "{most} {few} {shares:?}");
            assert!(shares[1] > 0.8, "{most} {few} {shares:?}");
        }
    }
    // Two chunks agree against a third one.
    let world = World::default()
        .chunk(places(6), &wall(4.0))
        .chunk(places(6), &wall(4.4))
        .chunk(places(6), &wall(4.4));
    let found = world.compare();
    let shares = world.shares(&found, whole);
    assert!(shares[0] > 0.8, "{shares:?}");
    assert_eq!(shares[1..], [0.0, 0.0]);
}

#[test]
fn somebody_who_walked_by_goes_and_what_was_behind_stays() {
    let person = |x: f64, y: f64| (0.1..0.5).contains(&x) && y > -0.4;
    let world = World::default()
        .chunk(places(3), &before_wall(person, 2.0))
        .chunk(places(6), &wall(4.0));
    let found = world.compare();
    let [gone, stayed] = world.shares(&found, 1.9..2.2)[..] else {
        unreachable!("two chunks")
    };
    // Where others see through all that is around.
    assert!(gone > 0.7, "{gone}");
    assert_eq!(stayed, 0.0);
    assert_eq!(world.shares(&found, 3.8..4.2), [0.0, 0.0]);
}

#[test]
fn a_thin_pole_stays_where_others_see_its_edges_or_are_few() {
    let pole = |x: f64, _: f64| (0.2..0.24).contains(&x);
    let seen = before_wall(pole, 2.0);
    // Another chunk sees it, too, but not at quite the same pixels.
    let moved = places(6).map(|place| place + 0.013);
    let world = World::default().chunk(places(3), &seen).chunk(moved, &seen);
    assert!(world.compare().is_empty());
    // Two frames that do not see it are too few.
    let world = World::default()
        .chunk(places(3), &seen)
        .chunk(places(2), &wall(4.0));
    assert!(world.compare().is_empty());
    // Where the depth beside it is not known, nobody sees through it.
    let vague = move |from: &Point3<f64>, ray: &Vector3<f64>| {
        let x = from.x + 2.0 * ray.x;
        (!(0.2..0.24).contains(&x)).then_some(plane(4.0, from, ray))
    };
    let world = World::default()
        .chunk(places(3), &seen)
        .chunk(places(6), &vague);
    assert!(world.compare().is_empty());
}

#[test]
fn an_edge_that_others_see_elsewhere_contradicts_nothing() {
    let board = |x: f64, _: f64| x < 0.2;
    let wider = |x: f64, _: f64| x < 0.2 + 1.0 * 2.0 / FOCAL;
    let world = World::default()
        .chunk(places(3), &before_wall(wider, 2.0))
        .chunk(places(6), &before_wall(board, 2.0));
    assert!(world.compare().is_empty());
}

#[test]
fn what_nobody_else_sees_stays() {
    // The others look at another place, or know nothing.
    let away = places(6).map(|place| place + 30.0);
    let unknown = |_: &Point3<f64>, _: &Vector3<f64>| None;
    let world = World::default()
        .chunk(places(6), &wall(4.0))
        .chunk(away, &wall(9.0))
        .chunk(places(6), &unknown);
    assert!(world.compare().is_empty());
    // Others see only something that hides it.
    let world = World::default()
        .chunk(places(6), &before_wall(|x, _| x < 0.3, 2.0))
        .chunk(places(6), &before_wall(|x, _| x < 0.3, 2.0));
    assert!(world.compare().is_empty());
}

#[test]
fn of_two_equal_chunks_that_contradict_each_other_both_stay() {
    let world = World::default()
        .chunk(places(6), &wall(4.0))
        .chunk(places(6), &wall(4.4));
    assert!(world.compare().is_empty());
}

#[test]
fn one_chunk_is_not_compared_with_itself() {
    let odd = |from: &Point3<f64>, ray: &Vector3<f64>| {
        Some(plane(if from.x < 0.05 { 2.0 } else { 4.0 }, from, ray))
    };
    let world = World::default().chunk(places(8), &odd);
    assert!(world.compare().is_empty());
}

#[test]
fn a_comparison_that_nobody_waits_for_ends() {
    let world = World::default()
        .chunk(places(3), &wall(4.0))
        .chunk(places(3), &wall(4.4));
    let comparison = Comparison {
        map: world.map(),
        numbers: &[0, 1, 2, 3, 4, 5],
    };
    assert_eq!(comparison.find(&world, &|| false), Ok(None));
    assert!(comparison.memory() > 0);
}

#[test]
fn pixels_are_written_for_each_frame_in_their_order() {
    let mut found = Contradicted::none(FrameSize::new(5, 2));
    assert!(found.is_empty());
    found.mark(7, &[]);
    assert!(found.is_empty());
    found.mark(7, &[0, 9]);
    assert!(found.contains(7, 9) && !found.contains(7, 8) && !found.contains(8, 9));
    let bytes = found.to_bytes([6, 7].into_iter());
    assert_eq!(bytes, [0, 0, 0b1, 0b10]);
}
