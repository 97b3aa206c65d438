//! Maps of a model that cannot extend: windows with worlds of their own, and pieces.

mod common;

use std::collections::BTreeMap;
use std::convert::Infallible;

use common::{SIZE, Synthetic, pose, predict};
use nalgebra::{Isometry3, Similarity3, UnitQuaternion, Vector3};
use pointstream_reconstruction::cloud::{CloudOptions, PointFilters};
use pointstream_reconstruction::map::{
    FirstChunk, FramePlace, JoinedWindow, KnownDepth, Map, NextChunk, PlaceVector, Places,
    SourceOfDepth, Window, WindowKind, WindowPlan, keep_connected,
};
use pointstream_reconstruction::model::{CameraDeviations, KnownCamera};
use pointstream_reconstruction::prediction::Prediction;
use pointstream_reconstruction::quality::Assessment;

const OPTIONS: CloudOptions = CloudOptions {
    conf_thresh_percentile: 0.0,
    num_max_points: usize::MAX,
    show_cameras: true,
    filters: PointFilters::OFF,
};

/// The world of run `number`, with its own unit.
fn world(number: usize) -> Similarity3<f64> {
    let number = number as f64;
    Similarity3::new(
        Vector3::new(number, -2.0 * number, 3.0),
        Vector3::new(0.3 * number, 0.5, -0.7 * number),
        0.4 + 0.35 * number,
    )
}

/// A map with the depths of its chunks.
struct Stream {
    map: Map,
    chunks: Vec<Prediction>,
    /// Whether clients know the cameras.
    known: bool,
}

/// The clients' cameras: in the world of the first run.
fn known(ids: &[u64]) -> Vec<KnownCamera> {
    let run = predict(ids, SIZE, &world(0));
    let cameras = run.prediction.cameras.iter();
    cameras
        .map(|camera| KnownCamera {
            intrinsics: camera.intrinsics,
            extrinsics: camera.extrinsics,
            deviations: CameraDeviations::default(),
        })
        .collect()
}

impl SourceOfDepth for Stream {
    type Error = Infallible;

    fn depth(&self, place: FramePlace) -> Result<KnownDepth, Infallible> {
        let chunk = &self.chunks[place.chunk];
        Ok(KnownDepth {
            depth: chunk.frame_depth(place.row).to_vec(),
            confidence: chunk.frame_confidence(place.row).to_vec(),
        })
    }
}

impl Stream {
    fn begin(ids: &[u64]) -> Self {
        let mut run = predict(ids, SIZE, &world(0));
        let mut prediction = run.prediction.clone();
        let (first, ..) = FirstChunk::make(&mut prediction, &run.frames(), None, &OPTIONS).unwrap();
        run.prediction = prediction.clone();
        Self {
            map: Map::begin(first, None),
            chunks: vec![prediction],
            known: false,
        }
    }

    fn add_piece(&mut self, ids: &[u64]) {
        let run = predict(ids, SIZE, &world(self.chunks.len()));
        let mut prediction = run.prediction.clone();
        let (first, ..) = FirstChunk::make(&mut prediction, &run.frames(), None, &OPTIONS).unwrap();
        self.map.add_piece(first);
        self.chunks.push(prediction);
    }

    fn run(&self, placed: &[u64], new: &[u64]) -> Synthetic {
        let ids: Vec<u64> = placed.iter().chain(new).copied().collect();
        predict(&ids, SIZE, &world(self.chunks.len()))
    }

    /// Joins a window whose first frames are placed. Returns whether it belongs to the map.
    fn add(&mut self, run: &Synthetic, placed: usize) -> bool {
        let known = known(&run.ids);
        let window = JoinedWindow {
            map: &self.map,
            numbers: &run.ids,
            known: self.known.then_some(&known),
        };
        let mut prediction = run.prediction.clone();
        let placement = window.place(&prediction, self).unwrap();
        let found = placement.is_some();
        match &placement {
            Some(placement) => placement.apply(&mut prediction),
            None => prediction.unregister_all(),
        }
        prediction.remove_first(placed);
        let frames = &run.frames()[placed..];
        let number = self.chunks.len();
        let piece = placement.as_ref().map_or(0, |placement| placement.piece);
        let to_glb = *self.map.piece_to_glb(piece);
        let (mut chunk, _) =
            NextChunk::make(&mut prediction, frames, &to_glb, number, &OPTIONS).unwrap();
        chunk.piece = piece;
        if let Some(placement) = placement {
            chunk.joins = placement.joins;
            chunk.node = Some(placement.node);
        }
        self.map.add(chunk);
        self.chunks.push(prediction);
        found
    }

    /// These frames are where they belong in the world of the run that began their piece, and so are
    /// their depths.
    fn assert_placed(&self, ids: &[u64], run: usize) {
        for &id in ids {
            let camera = self.map.camera(id).expect("placed");
            let truth = world(run) * pose(id);
            let found = camera.extrinsics.try_inverse().unwrap();
            let off = (found - truth.isometry.to_homogeneous()).amax();
            assert!(off < 1e-3, "{id} is {off} off");
            let frame = self.map.frame(id).unwrap();
            let place = frame.place.unwrap();
            let depth = f64::from(self.chunks[place.chunk].frame_depth(place.row)[0]);
            let exact = predict(&[id], SIZE, &world(run)).prediction;
            let exact = f64::from(exact.frame_depth(0)[0]);
            let ratio = depth * frame.depth_factor / exact;
            assert!((ratio - 1.0).abs() < 1e-3, "{id}: {ratio}");
        }
    }

    fn drawn(&self) -> Vec<u64> {
        self.map.placed().map(|(number, _)| number).collect()
    }
}

/// Turns frames of a run round, as a model does that has no idea where they belong.
fn turn_round(run: &mut Synthetic, ids: &[u64]) {
    for (id, camera) in run.ids.iter().zip(&mut run.prediction.cameras) {
        if ids.contains(id) {
            let back = UnitQuaternion::from_axis_angle(&Vector3::y_axis(), std::f64::consts::PI);
            let back = Isometry3::from_parts(Vector3::zeros().into(), back);
            camera.extrinsics = back.to_homogeneous() * camera.extrinsics;
        }
    }
}

#[test]
fn windows_are_placed_by_the_frames_that_they_share() {
    let mut stream = Stream::begin(&[0, 1, 2, 3]);
    for (placed, new) in [
        ([1, 2, 3], [4, 5]),
        ([3, 4, 5], [6, 7]),
        ([2, 6, 7], [8, 9]),
    ] {
        let run = stream.run(&placed, &new);
        assert!(stream.add(&run, placed.len()));
    }
    stream.assert_placed(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0);
    assert_eq!(stream.drawn().len(), 10);
    // Exact runs differ in their units only.
    let spread = stream.map.scale_spread().expect("several windows");
    assert!(spread > 0.1, "{spread}");
    assert!(stream.map.relaxed(&[]).is_empty(), "nothing contradicts");
}

#[test]
fn windows_with_known_cameras_are_placed_by_these() {
    let mut stream = Stream::begin(&[0, 1, 2, 3]);
    stream.known = true;
    // Its shared frame alone would not do, and the model's depths contradict each other.
    let mut run = predict(&[3, 4, 5], SIZE, &world(0));
    let pixels = run.prediction.pixels_per_frame();
    for depth in &mut run.prediction.depth[..pixels] {
        *depth *= 3.0;
    }
    assert!(stream.add(&run, 1));
    stream.assert_placed(&[0, 1, 2, 3, 4, 5], 0);
    // A model that does not take them has a world of its own.
    let run = stream.run(&[3, 4, 5], &[6, 7]);
    assert!(stream.add(&run, 3));
    stream.assert_placed(&[6, 7], 0);
}

#[test]
fn new_frames_that_see_nothing_of_the_others_are_missed() {
    let mut stream = Stream::begin(&[0, 1, 2, 3]);
    let mut run = stream.run(&[1, 2, 3], &[4, 5]);
    turn_round(&mut run, &[5]);
    assert!(stream.add(&run, 3));
    stream.assert_placed(&[4], 0);
    assert_eq!(stream.map.missed().collect::<Vec<_>>(), [5]);
    let quality = stream.map.assessment(&[4, 5]);
    assert_ne!(quality, stream.map.assessment(&[4, 4]));
}

#[test]
fn a_window_whose_placed_frames_contradict_each_other_places_nothing() {
    let mut stream = Stream::begin(&[0, 1, 2, 3]);
    let mut run = stream.run(&[0, 2, 3], &[4, 5]);
    for (index, camera) in run.prediction.cameras.iter_mut().enumerate() {
        let turn = Isometry3::rotation(Vector3::z() * (0.4 * index as f64));
        camera.extrinsics = turn.to_homogeneous() * camera.extrinsics;
    }
    assert!(!stream.add(&run, 3));
    assert_eq!(stream.map.missed().collect::<Vec<_>>(), [4, 5]);
    stream.assert_placed(&[0, 1, 2, 3], 0);
}

#[test]
fn frames_that_do_not_belong_together_begin_nothing() {
    let mut run = predict(&[0, 1, 2, 3, 4], SIZE, &world(0));
    turn_round(&mut run, &[1, 4]);
    keep_connected(&mut run.prediction);
    let kept: Vec<bool> = run
        .prediction
        .cameras
        .iter()
        .map(|camera| camera.registered)
        .collect();
    assert_eq!(kept, [true, false, true, true, false]);
}

#[test]
fn pieces_are_apart_until_a_window_has_frames_of_both() {
    let mut stream = Stream::begin(&[0, 1, 2, 3, 4]);
    stream.add_piece(&[7, 8, 9]);
    assert_eq!(stream.drawn(), [0, 1, 2, 3, 4]);
    assert_eq!(stream.map.piece_of(8), Some(1));
    assert_eq!(stream.map.missed().next(), None);
    stream.assert_placed(&[7, 8, 9], 1);
    assert_eq!(stream.map.piece_sizes(), BTreeMap::from([(0, 5), (1, 3)]));

    let run = stream.run(&[3, 4, 7, 8], &[5, 6]);
    assert!(stream.add(&run, 4));
    stream.assert_placed(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0);
    assert_eq!(stream.drawn().len(), 10);
    assert_eq!(stream.map.piece_sizes(), BTreeMap::from([(0, 10)]));
}

#[test]
fn the_largest_piece_is_drawn_and_keeps_its_coordinates() {
    let mut stream = Stream::begin(&[0, 1, 2]);
    let before = *stream.map.world_to_glb();
    stream.add_piece(&[5, 6, 7]);
    assert_eq!(stream.drawn(), [0, 1, 2], "of equally large ones the first");
    let run = stream.run(&[5, 6, 7], &[8]);
    assert!(stream.add(&run, 3));
    assert_eq!(stream.drawn(), [5, 6, 7, 8]);
    assert_ne!(*stream.map.world_to_glb(), before);
    let run = stream.run(&[1, 2, 5, 6], &[3, 4]);
    assert!(stream.add(&run, 4));
    stream.assert_placed(&[0, 1, 2, 3, 4, 5, 6, 7, 8], 1);
}

/// Vectors of frames along a line.
fn places(ids: impl Iterator<Item = u64>) -> Places {
    let mut places = Places::default();
    for id in ids {
        let near = |at: usize| (-(id as f32 - at as f32).powi(2) / 2.0).exp();
        let vector: Vec<f32> = (0..32).map(near).collect();
        places.insert(id, PlaceVector::new(&vector).expect("a direction"));
    }
    places
}

#[test]
fn a_window_joins_pieces_whose_frames_look_alike() {
    let plan = WindowPlan::joined(6);
    assert_eq!((plan.first, plan.new, plan.placed), (6, 2, 4));
    assert_eq!(WindowPlan::joined(24).placed, 9);
    let mut stream = Stream::begin(&[0, 1, 2, 3, 4, 5]);
    assert_eq!(Window::joining(&stream.map, 0, &places(0..20), plan), None);
    stream.add_piece(&[15, 16, 17]);
    let far = Window::joining(&stream.map, 1, &places(0..20), plan);
    assert_eq!(far, None, "nothing looks alike");
    let mut stream = Stream::begin(&[0, 1, 2, 3, 4, 5]);
    stream.add_piece(&[6, 7, 8]);
    let window = Window::joining(&stream.map, 1, &places(0..20), plan);
    let expected = Window {
        kind: WindowKind::Join,
        placed: vec![3, 4, 5],
        new: vec![6, 7, 8],
    };
    assert_eq!(window, Some(expected));
}

#[test]
fn missed_frames_in_a_row_may_be_a_piece_once() {
    let plan = WindowPlan::joined(6);
    let mut stream = Stream::begin(&[0, 1, 2, 3]);
    assert_eq!(Window::of_piece(&stream.map, plan), None);
    let miss = |stream: &mut Stream, ids: &[u64]| {
        let mut run = stream.run(&[2, 3], ids);
        turn_round(&mut run, ids);
        stream.add(&run, 2);
    };
    miss(&mut stream, &[4, 5]);
    assert_eq!(Window::of_piece(&stream.map, plan), None, "too few");
    miss(&mut stream, &[6]);
    let window = Window::of_piece(&stream.map, plan).expect("three in a row");
    assert_eq!(
        (window.kind, &window.new[..]),
        (WindowKind::Piece, &[4, 5, 6][..])
    );
    // The run finds nothing.
    let mut run = predict(&window.new, SIZE, &world(3));
    run.prediction.unregister_all();
    let mut prediction = run.prediction.clone();
    let _ = Assessment::begin(&mut prediction);
    let (first, ..) = FirstChunk::make(&mut prediction, &run.frames(), None, &OPTIONS).unwrap();
    stream.map.add_piece(first);
    assert_eq!(Window::of_piece(&stream.map, plan), None, "they were tried");
    assert_eq!(stream.drawn(), [0, 1, 2, 3]);
}
