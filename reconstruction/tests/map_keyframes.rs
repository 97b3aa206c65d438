//! A camera that rests, and one that moves on.

mod common;

use common::{SIZE, Synthetic, predict};
use nalgebra::{Matrix4, Similarity3, Vector3};
use pointstream_reconstruction::cloud::{CloudOptions, PointFilters};
use pointstream_reconstruction::map::{ChunkPoints, FirstChunk, Keyframes, Map, NextChunk};
use pointstream_reconstruction::prediction::{Camera, FrameReport, Prediction};

const OPTIONS: CloudOptions = CloudOptions {
    conf_thresh_percentile: 0.0,
    num_max_points: usize::MAX,
    show_cameras: true,
    filters: PointFilters::OFF,
};
/// Depths of the wall of the synthetic scene are about 6.
const DEPTH: f64 = 6.0;

fn run(ids: &[u64]) -> Synthetic {
    predict(ids, SIZE, &Similarity3::identity())
}

/// A map of these frames.
fn map(ids: &[u64]) -> Map {
    let run = run(ids);
    let mut prediction = run.prediction.clone();
    let made = FirstChunk::make(&mut prediction, &run.frames(), None, &OPTIONS).unwrap();
    Map::begin(made.0, None)
}

/// The camera moves by a step along its own axes, and turns about its y axis.
fn moved(camera: &Camera, step: f64, angle: f64) -> Camera {
    let shift = Matrix4::new_translation(&Vector3::new(step, 0.0, 0.0));
    let turn = Matrix4::from_axis_angle(&Vector3::y_axis(), angle);
    Camera {
        extrinsics: turn * shift * camera.extrinsics,
        ..camera.clone()
    }
}

/// Which frames of a prediction show nothing new to a map, by their indices.
fn still(map: &Map, prediction: &Prediction) -> Vec<usize> {
    let (order, still) = Keyframes::of(map).still_last(prediction);
    order[order.len() - still..].to_vec()
}

#[test]
fn a_frame_from_the_same_place_shows_nothing_new() {
    let map = map(&[0, 1, 2]);
    assert_eq!(still(&map, &run(&[3, 1, 4]).prediction), [1]);
    assert_eq!(still(&map, &run(&[3, 4, 3]).prediction), [2]);
    assert!(still(&map, &run(&[3, 4, 5]).prediction).is_empty());
}

#[test]
fn a_step_a_turn_and_a_zoom_show_something_new() {
    let map = map(&[0, 1, 2]);
    let with = |change: &dyn Fn(&mut Camera)| {
        let mut prediction = run(&[1]).prediction;
        change(&mut prediction.cameras[0]);
        still(&map, &prediction).is_empty()
    };
    let by = |step: f64, degrees: f64| {
        with(&move |camera| *camera = moved(camera, step * DEPTH, degrees.to_radians()))
    };
    assert!(!by(0.005, 0.0));
    assert!(by(0.02, 0.0));
    assert!(!by(0.0, 1.5));
    assert!(by(0.0, 3.0));
    assert!(!by(0.004, 1.0));
    assert!(!with(&|camera| camera.intrinsics *= 1.005));
    assert!(with(&|camera| camera.intrinsics *= 1.05));
    assert!(with(&|camera| camera.registered = false));
}

#[test]
fn slow_movement_adds_a_keyframe_now_and_then() {
    let map = map(&[0, 1, 2]);
    let mut prediction = run(&[9; 40]).prediction;
    for (index, camera) in prediction.cameras.iter_mut().enumerate() {
        // From frame to frame it hardly moves, but it does not stay.
        *camera = moved(camera, 0.003 * DEPTH * index as f64, 0.0);
    }
    let rest = still(&map, &prediction).len();
    assert!((20..36).contains(&rest), "{rest} of 40");
}

#[test]
fn a_frame_that_knows_much_more_replaces_one_from_the_same_place() {
    let mut poor = run(&[3, 4]);
    let pixels = poor.prediction.pixels_per_frame();
    poor.prediction.confidence[..pixels / 2].fill(1.0);
    let mut map = map(&[0, 1]);
    let mut prediction = poor.prediction.clone();
    let made = NextChunk::make(
        &mut prediction,
        &poor.frames(),
        map.world_to_glb(),
        1,
        &OPTIONS,
    );
    map.add(made.unwrap().0);
    // Of frame 3 only half of the pixels were known.
    assert_eq!(still(&map, &run(&[3, 4]).prediction), [1]);
    // A frame without depth shows nothing at all, and is no copy.
    let mut blind = run(&[1]).prediction;
    blind.confidence.fill(1.0);
    assert!(still(&map, &blind).is_empty());
}

#[test]
fn still_frames_are_placed_but_have_no_maps_and_no_points() {
    let mut map = map(&[0, 1, 2]);
    let synthetic = run(&[3, 4, 5]);
    let mut prediction = synthetic.prediction.clone();
    let number = map.chunks().len();
    let frames = synthetic.frames();
    let (chunk, all) = NextChunk::make(
        &mut prediction,
        &frames,
        map.world_to_glb(),
        number,
        &OPTIONS,
    )
    .unwrap();
    let passing = chunk.chunk.points;
    assert_eq!(passing, all.len());
    let (chunk, points) = chunk.without_last(all, 1);
    let pixels = SIZE.columns() * SIZE.rows();
    assert_eq!(points.len(), passing - pixels);
    assert_eq!(chunk.chunk.points, points.len());
    map.add(chunk);
    assert!(map.camera(5).is_some());
    assert_eq!(map.place_with_maps(5), None);
    assert_eq!(map.place_with_maps(4).map(|place| place.row), Some(1));
    // They do not hide later frames from other places, nor count as keyframes.
    assert_eq!(still(&map, &run(&[5, 4]).prediction), [1]);
}

#[test]
fn a_limited_chunk_gives_no_more_points_than_it_has() {
    let limited = CloudOptions {
        num_max_points: 1000,
        ..OPTIONS
    };
    let synthetic = run(&[3, 4]);
    let mut prediction = synthetic.prediction.clone();
    let identity = Similarity3::identity();
    let made = NextChunk::make(&mut prediction, &synthetic.frames(), &identity, 1, &limited);
    let (chunk, points) = made.unwrap();
    let (chunk, points) = chunk.without_last(points, 1);
    assert!((300..700).contains(&points.len()), "{}", points.len());
    assert_eq!(chunk.chunk.points, points.len());
    let bytes = points.to_bytes();
    assert!(ChunkPoints::from_bytes(&bytes, chunk.chunk.points).is_ok());
}

#[test]
fn predictions_are_reordered_with_all_that_belongs_to_a_frame() {
    let mut prediction = run(&[3, 4, 5]).prediction;
    let report = |observations| FrameReport {
        observations: Some(observations),
        ..FrameReport::default()
    };
    prediction.report = Some(vec![report(3.0), report(4.0), report(5.0)]);
    let before = prediction.clone();
    prediction.reorder(&[2, 0, 1]);
    for (now, then) in [2, 0, 1].into_iter().enumerate() {
        assert_eq!(prediction.cameras[now], before.cameras[then]);
        assert_eq!(prediction.frame_depth(now), before.frame_depth(then));
        assert_eq!(
            prediction.frame_confidence(now),
            before.frame_confidence(then)
        );
        let reports = [&prediction, &before].map(|one| one.report.as_ref().unwrap());
        assert_eq!(reports[0][now], reports[1][then]);
    }
    prediction.truncate(1);
    assert_eq!(prediction.len(), 1);
    assert_eq!(prediction.depth, before.frame_depth(2));
    assert_eq!(prediction.report.unwrap().len(), 1);
}
