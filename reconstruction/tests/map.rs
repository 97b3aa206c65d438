//! Maps of a stream with known geometry, one chunk after another.

mod common;

use std::collections::HashSet;

use common::{SIZE, Synthetic, predict, wall};
use image::RgbImage;
use nalgebra::{Isometry3, Matrix4, Point3, Similarity3, Vector3};
use pointstream_reconstruction::cloud::{
    Alignment, CloudOptions, Pixel, PointFilters, Scene, VoxelSize, World, build_scene,
};
use pointstream_reconstruction::geometry::Distortion;
use pointstream_reconstruction::image::ImageStatistics;
use pointstream_reconstruction::map::{
    ChunkPoints, ChunkSource, Corrections, FirstChunk, FrameCorrection, LocalCoordinates, Map,
    MapScene, NextChunk, Places, PointsFileError, Window, WindowKind, WindowPlan,
};
use pointstream_reconstruction::prediction::{Camera, FrameReport, ReportedReason};
use pointstream_reconstruction::quality::{Quality, QualityReason, RequestImage, Verdict};

const OPTIONS: CloudOptions = CloudOptions {
    conf_thresh_percentile: 0.0,
    num_max_points: usize::MAX,
    show_cameras: true,
    filters: PointFilters::OFF,
};

fn model_world() -> Similarity3<f64> {
    Similarity3::new(
        Vector3::new(1.0, 2.0, -3.0),
        Vector3::new(0.2, 0.1, -0.4),
        0.31,
    )
}

/// The result of an exact model in the map's world. Some frames cannot be placed.
fn run(ids: &[u64], lost: &[u64]) -> Synthetic {
    let mut run = predict(ids, SIZE, &model_world());
    let pixels = run.prediction.pixels_per_frame();
    for (frame, id) in ids.iter().enumerate() {
        if lost.contains(id) {
            run.prediction.cameras[frame].registered = false;
            run.prediction.confidence[frame * pixels..(frame + 1) * pixels].fill(1.0);
        }
    }
    run
}

/// A map with the files of its points.
struct Stream {
    map: Map,
    world: World,
    files: Vec<Vec<u8>>,
    options: CloudOptions,
}

impl ChunkSource for Stream {
    type Error = PointsFileError;

    fn points(&self, chunk: usize, count: usize) -> Result<ChunkPoints, PointsFileError> {
        ChunkPoints::from_bytes(&self.files[chunk], count)
    }
}

fn first(
    run: &mut Synthetic,
    world: Option<&World>,
    options: &CloudOptions,
) -> (FirstChunk, ChunkPoints, World) {
    let mut prediction = run.prediction.clone();
    FirstChunk::make(&mut prediction, &run.frames(), world, options).unwrap()
}

impl Stream {
    fn begin(mut run: Synthetic, options: CloudOptions) -> Self {
        let (chunk, points, world) = first(&mut run, None, &options);
        Self {
            map: Map::begin(chunk, None),
            world,
            files: vec![points.to_bytes()],
            options,
        }
    }

    /// Begins the map anew.
    fn again(self, mut run: Synthetic) -> Self {
        let (chunk, points, world) = first(&mut run, Some(&self.world), &self.options);
        Self {
            map: Map::begin(chunk, Some(&self.map)),
            world,
            files: vec![points.to_bytes()],
            ..self
        }
    }

    fn add(&mut self, run: &Synthetic) {
        let mut prediction = run.prediction.clone();
        let (chunk, points) = NextChunk::make(
            &mut prediction,
            &run.frames(),
            self.map.world_to_glb(),
            self.map.chunks().len(),
            &self.options,
        )
        .unwrap();
        self.map.add(chunk);
        self.files.push(points.to_bytes());
    }

    fn scene(&self, numbers: &[u64]) -> Scene {
        let scene = MapScene {
            map: &self.map,
            numbers,
            options: &self.options,
        };
        scene.build(self).unwrap()
    }

    fn quality(&self, numbers: &[u64]) -> Quality {
        let names: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        // Each image is sharp, and another one.
        let image = |number: u64| {
            RgbImage::from_fn(8, 8, |x, y| {
                image::Rgb([number as u8, 99, (90 * ((x + y) % 2)) as u8])
            })
        };
        let images: Vec<RequestImage> = names
            .iter()
            .enumerate()
            .map(|(frame, name)| RequestImage {
                name,
                statistics: ImageStatistics::of(&image(numbers[frame])),
                frame: Some(frame),
            })
            .collect();
        let points = self.scene(numbers).points.len();
        self.map.assessment(numbers).finish(&images, points)
    }

    fn numbers(&self) -> Vec<u64> {
        (0..20)
            .filter(|number| self.map.contains(*number))
            .collect()
    }
}

/// A stream of three windows.
fn three_windows(options: CloudOptions) -> Stream {
    let mut stream = Stream::begin(run(&[0, 1, 2], &[]), options);
    stream.add(&run(&[3, 4], &[]));
    stream.add(&run(&[5], &[]));
    stream
}

fn bits(points: &[[f32; 3]]) -> HashSet<[u32; 3]> {
    points.iter().map(|point| point.map(f32::to_bits)).collect()
}

#[test]
fn points_of_all_chunks_are_on_the_surface_in_the_order_of_their_frames() {
    let stream = three_windows(OPTIONS);
    let scene = stream.scene(&[0, 1, 2, 3, 4, 5]);
    let per_frame = SIZE.columns() * SIZE.rows();
    assert_eq!(scene.points.len(), 6 * per_frame);
    assert_eq!(scene.alignment, Alignment::Origin);
    let to_truth = model_world().inverse() * scene.world_to_glb.inverse();
    for point in &scene.points {
        let truth = to_truth * Point3::from(point.map(f64::from));
        // The true depth of the farthest frame is known to 1e-4.
        assert!((truth.z - wall(truth.x, truth.y)).abs() < 3e-4);
    }
    for (index, pixel) in scene.pixels.iter().enumerate() {
        let expected = Pixel {
            frame: (index / per_frame) as u32,
            index: (index % per_frame) as u32,
        };
        assert_eq!(*pixel, expected);
        let column = expected.index % SIZE.width;
        assert_eq!(scene.colors[index][0], (3 * column) as u8);
        assert_eq!(u32::from(scene.colors[index][2]), expected.frame);
    }
    // The first chunk alone is what one run of the model gives.
    let alone = run(&[0, 1, 2], &[]);
    let (expected, _) = build_scene(&alone.prediction, &alone.frames(), None, &OPTIONS).unwrap();
    assert_eq!(
        stream.scene(&[0, 1, 2]).points,
        scene.points[..3 * per_frame]
    );
    for (point, expected) in scene.points.iter().zip(&expected.points) {
        let error = (0..3).map(|axis| (point[axis] - expected[axis]).abs());
        // Up to rounding.
        assert!(error.fold(0.0, f32::max) < 1e-6);
    }
    assert_eq!(scene.cameras[..3], expected.cameras);
}

#[test]
fn only_frames_of_the_request_are_in_the_scene() {
    let stream = three_windows(OPTIONS);
    let scene = stream.scene(&[1, 4]);
    assert_eq!(scene.points.len(), 2 * SIZE.columns() * SIZE.rows());
    let ids: Vec<u64> = scene.cameras.iter().map(|camera| camera.id).collect();
    assert_eq!(ids, [1, 4]);
    assert!(scene.pixels.iter().all(|pixel| pixel.frame < 2));
}

#[test]
fn each_chunk_gives_its_share_of_a_limited_scene() {
    let all = three_windows(OPTIONS).scene(&[0, 1, 2, 3, 4, 5]);
    let limited = CloudOptions {
        num_max_points: 600,
        ..OPTIONS
    };
    let stream = three_windows(limited);
    let few = stream.scene(&[0, 1, 2, 3, 4, 5]);
    assert_eq!(few.points.len(), 600);
    assert!(bits(&few.points).is_subset(&bits(&all.points)));
    let of_chunk = |frames: std::ops::Range<u32>| {
        let pixels = few.pixels.iter();
        pixels.filter(|pixel| frames.contains(&pixel.frame)).count()
    };
    assert_eq!(
        [of_chunk(0..3), of_chunk(3..5), of_chunk(5..6)],
        [300, 200, 100]
    );
    let files: Vec<usize> = stream.files.iter().map(|file| file.len() / 20).collect();
    assert_eq!(
        files, [600; 3],
        "a file has no more points than the cloud may have"
    );
    assert!(
        few.pixels
            .is_sorted_by_key(|pixel| (pixel.frame, pixel.index))
    );
    assert_eq!(few.cameras, all.cameras);
    assert_eq!(stream.scene(&[0, 1, 2, 3, 4, 5]), few, "deterministic");
}

#[test]
fn a_voxel_keeps_one_point_of_all_chunks() {
    let size = 0.05;
    let all = three_windows(OPTIONS).scene(&[0, 1, 2, 3, 4, 5]);
    let thinned = three_windows(CloudOptions {
        filters: PointFilters {
            voxel_size: VoxelSize::new(size),
            ..PointFilters::OFF
        },
        ..OPTIONS
    });
    let kept = thinned.scene(&[0, 1, 2, 3, 4, 5]);
    let voxels = |scene: &Scene| -> HashSet<[i64; 3]> {
        let of = |point: &[f32; 3]| point.map(|x| (f64::from(x) / size).floor() as i64);
        scene.points.iter().map(of).collect()
    };
    assert_eq!(voxels(&kept).len(), kept.points.len());
    assert_eq!(voxels(&kept), voxels(&all));
    let in_files: usize = thinned.map.chunks().iter().map(|chunk| chunk.points).sum();
    assert!(kept.points.len() < in_files, "chunks see the same surface");
}

#[test]
fn the_first_points_of_a_file_are_a_sample_of_all() {
    let (chunk, points, _) = first(&mut run(&[0, 1, 2, 3], &[]), None, &OPTIONS);
    let bytes = points.to_bytes();
    let count = chunk.chunk.chunk.points;
    assert_eq!((points.len(), bytes.len()), (count, 20 * count));
    assert_eq!(ChunkPoints::from_bytes(&bytes, count), Ok(points));
    for few in [0, 1, 1000] {
        let sample = ChunkPoints::from_bytes(&bytes, few).unwrap();
        assert_eq!(sample.len(), few);
        assert_eq!(sample.is_empty(), few == 0);
        assert!(bytes.starts_with(&sample.to_bytes()));
    }
    // All frames have as many points, so each has a quarter of a sample: 250 with a standard
    // deviation of 14.
    let mut of_frame = [0; 4];
    for record in bytes.chunks_exact(20).take(1000) {
        of_frame[record[0] as usize] += 1;
    }
    assert!(
        of_frame.iter().all(|count| (180..320).contains(count)),
        "{of_frame:?}"
    );
}

#[test]
fn a_truncated_file_of_points_is_an_error() {
    let (_, points, _) = first(&mut run(&[0], &[]), None, &OPTIONS);
    let bytes = points.to_bytes();
    let cut = ChunkPoints::from_bytes(&bytes[..bytes.len() - 1], points.len());
    let error = cut.expect_err("a byte is missing");
    assert_eq!(error.found + 1, error.expected);
    assert!(error.to_string().contains("are expected"), "{error}");
    assert!(ChunkPoints::from_bytes(&bytes, usize::MAX).is_err());
    assert!(ChunkPoints::from_bytes(&[], 1).is_err());
}

const PLAN: WindowPlan = WindowPlan {
    first: 6,
    new: 2,
    placed: 4,
    mixes_pieces: false,
};

/// The next window of a model that gives frames no vectors.
fn next(map: Option<&Map>, waiting: &[u64]) -> Option<Window> {
    Window::next(map, waiting, &Places::default(), PLAN)
}

fn window(placed: &[u64], new: &[u64]) -> Option<Window> {
    Some(Window {
        kind: match placed {
            [] => WindowKind::Begin,
            _ => WindowKind::Extend,
        },
        placed: placed.to_vec(),
        new: new.to_vec(),
    })
}

#[test]
fn a_third_of_a_later_window_is_new() {
    assert_eq!(WindowPlan::of(6), PLAN);
    assert_eq!(WindowPlan::of(0), PLAN, "the least");
    let usual = WindowPlan::of(24);
    assert_eq!((usual.first, usual.new, usual.placed), (24, 8, 16));
}

#[test]
fn windows_have_the_frames_that_wait_longest_and_their_neighbours() {
    assert_eq!(next(None, &[]), None);
    let begin = next(None, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(begin, window(&[], &[1, 2, 3, 4, 5, 6]));
    assert!(begin.is_some_and(|window| window.begins()));

    let mut stream = Stream::begin(run(&[1, 2, 4, 5, 6, 7], &[2]), OPTIONS);
    let next = |stream: &Stream, waiting: &[u64]| next(Some(&stream.map), waiting);
    assert_eq!(next(&stream, &[]), None);
    assert_eq!(next(&stream, &[8]), window(&[4, 5, 6, 7], &[8]));
    assert_eq!(next(&stream, &[8, 9, 10]), window(&[4, 5, 6, 7], &[8, 9]));
    // A frame that could not be placed is nobody's neighbour, but may be tried again.
    assert_eq!(next(&stream, &[3]), window(&[1, 4, 5, 6], &[3]));
    assert_eq!(next(&stream, &[2]), window(&[1, 4, 5, 6], &[2]));
    assert_eq!(stream.map.missed().collect::<Vec<_>>(), [2]);
    stream.add(&run(&[2], &[]));
    assert_eq!(stream.map.missed().next(), None);
    // New frames that are apart share the neighbours.
    stream.add(&run(&[15, 16], &[]));
    assert_eq!(next(&stream, &[8, 14]), window(&[6, 7, 15, 16], &[8, 14]));
}

#[test]
fn a_map_begins_again_with_the_latest_frames_while_nothing_is_placed() {
    let stream = Stream::begin(run(&[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4, 6]), OPTIONS);
    assert!(
        !stream.map.can_be_extended(),
        "one frame holds no coordinates"
    );
    let next = |waiting: &[u64]| next(Some(&stream.map), waiting);
    assert_eq!(next(&[7]), window(&[], &[1, 2, 3, 4, 6, 7]));
    assert_eq!(next(&[]), None);
    let many: Vec<u64> = (7..20).collect();
    assert_eq!(next(&many), window(&[], &[14, 15, 16, 17, 18, 19]));
}

#[test]
fn every_frame_gets_its_turn_also_if_none_can_be_placed() {
    let mut waiting: Vec<u64> = (0..20).collect();
    let mut stream: Option<Stream> = None;
    while !waiting.is_empty() {
        let map = stream.as_ref().map(|stream| &stream.map);
        let next = next(map, &waiting).unwrap();
        assert!(next.begins() && next.new.len() <= PLAN.first);
        let before = waiting.len();
        waiting.retain(|number| !next.new.contains(number));
        assert!(waiting.len() < before, "{next:?} has no frame that waits");
        let run = run(&next.new, &next.new);
        stream = Some(match stream {
            None => Stream::begin(run, OPTIONS),
            Some(stream) => stream.again(run),
        });
    }
    let stream = stream.unwrap();
    let missed: Vec<u64> = stream.map.missed().collect();
    assert_eq!(missed, (0..20).collect::<Vec<_>>());
    assert_eq!(stream.scene(&missed).points, Vec::<[f32; 3]>::new());
}

#[test]
fn a_map_that_begins_anew_keeps_its_missed_frames() {
    let stream = Stream::begin(run(&[0, 1, 2], &[0, 1]), OPTIONS);
    let stream = stream.again(run(&[3, 4, 5], &[4]));
    let numbers = stream.numbers();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    // Frame 2 was placed, but in the coordinates of the old map.
    assert_eq!(stream.map.missed().collect::<Vec<_>>(), [0, 1, 2, 4]);
    assert_eq!(stream.map.chunks().len(), 1);
    let placed: Vec<u64> = stream.map.placed().map(|(number, _)| number).collect();
    assert_eq!(placed, [3, 5]);
    for number in [0, 1, 2] {
        let frame = stream.map.frame(number).unwrap();
        assert!(frame.place.is_none() && frame.camera.pose.is_none());
        assert_eq!(stream.map.camera(number), None);
    }
    let scene = stream.scene(&numbers);
    assert_eq!(scene.cameras.len(), 6);
    assert_eq!(scene.points.len(), 2 * SIZE.columns() * SIZE.rows());
    assert!(
        scene
            .pixels
            .iter()
            .all(|pixel| [3, 5].contains(&pixel.frame))
    );
    let quality = stream.quality(&numbers);
    assert_eq!(quality.verdict, Verdict::Partial);
    let used: Vec<bool> = quality.frames.iter().map(|frame| frame.used).collect();
    assert_eq!(used, [false, false, false, true, false, true]);
    let reason = quality.frames[0].reason;
    assert_eq!(reason, Some(QualityReason::NotConnected));

    let text = serde_json::to_string(&stream.map).unwrap();
    assert_eq!(serde_json::from_str::<Map>(&text).unwrap(), stream.map);
}

/// A report with this number of observations.
fn reported(observations: f32, lost: bool) -> FrameReport {
    FrameReport {
        reason: lost.then_some(ReportedReason::TooFewMatches),
        piece: (!lost).then_some(0),
        observations: Some(observations),
        reprojection_error: Some(0.5),
        parallax_degrees: Some(4.0),
        ..FrameReport::default()
    }
}

#[test]
fn the_verdict_is_that_of_the_frames_of_all_chunks() {
    let stream = three_windows(OPTIONS);
    let quality = stream.quality(&stream.numbers());
    assert_eq!(quality.verdict, Verdict::Good, "{quality:?}");
    assert_eq!((quality.pieces, quality.frames.len()), (1, 6));

    let mut stream = stream;
    let mut more = run(&[6, 7], &[7]);
    more.prediction.report = Some(vec![reported(123.0, false), reported(3.0, true)]);
    stream.add(&more);
    let quality = stream.quality(&stream.numbers());
    assert_eq!(quality.verdict, Verdict::Partial);
    assert_eq!(quality.reasons, [QualityReason::TooFewMatches]);
    assert_eq!(quality.frames[6].observations, Some(123));
    assert_eq!(quality.frames[7].reason, Some(QualityReason::TooFewMatches));
    assert!(quality.frames[..7].iter().all(|frame| frame.used));
    // Without the lost frame all is well.
    assert_eq!(
        stream.quality(&[0, 1, 2, 3, 4, 5, 6]).verdict,
        Verdict::Good
    );
}

#[test]
fn impossible_geometry_of_a_chunk_spoils_only_its_frames() {
    let mut stream = Stream::begin(run(&[0, 1, 2], &[]), OPTIONS);
    let mut stuck = run(&[3, 4], &[]);
    stuck.prediction.depth.fill(1e6);
    stream.add(&stuck);
    stream.add(&run(&[5], &[]));
    assert_eq!(stream.map.missed().collect::<Vec<_>>(), [3, 4]);
    let quality = stream.quality(&stream.numbers());
    assert_eq!(quality.verdict, Verdict::Partial);
    assert_eq!(quality.reasons, [QualityReason::ImplausibleGeometry]);
    let used: Vec<bool> = quality.frames.iter().map(|frame| frame.used).collect();
    assert_eq!(used, [true, true, true, false, false, true]);
}

#[test]
fn cameras_at_one_place_are_noticed_if_no_chunk_has_others() {
    let standing = |ids: &[u64]| {
        let mut standing = run(ids, &[]);
        let pose = standing.prediction.cameras[0].extrinsics;
        for camera in &mut standing.prediction.cameras {
            camera.extrinsics = pose;
        }
        standing
    };
    let mut stream = Stream::begin(standing(&[0, 1, 2]), OPTIONS);
    assert_eq!(
        stream.quality(&[0, 1, 2]).reasons,
        [QualityReason::NoParallax]
    );
    stream.add(&run(&[3, 4], &[]));
    assert_eq!(stream.quality(&stream.numbers()).verdict, Verdict::Good);
}

#[test]
fn local_coordinates_keep_their_precision_far_from_the_origin() {
    let far = Isometry3::new(Vector3::new(3e5, -2e5, 4e5), Vector3::new(0.3, -1.2, 0.4));
    let camera = |id: u64| Camera {
        extrinsics: (far * common::pose(id)).inverse().to_homogeneous(),
        intrinsics: common::intrinsics(SIZE),
        distortion: Distortion::NONE,
        registered: true,
    };
    let rounded = |camera: &Camera| Camera {
        extrinsics: camera.extrinsics.map(|number| f64::from(number as f32)),
        ..camera.clone()
    };
    let local = LocalCoordinates::of(&camera(4), 1.0).unwrap();
    let origin = local.to_local(&camera(4)).extrinsics;
    assert!((origin - Matrix4::identity()).amax() < 1e-9);
    let error = |one: &Camera, other: &Camera| {
        let centre = |camera: &Camera| {
            let inverse = camera.extrinsics.try_inverse().unwrap();
            inverse.transform_point(&Point3::origin())
        };
        (centre(one) - centre(other)).norm()
    };
    for id in [3, 5, 9] {
        let placed = camera(id);
        let found = local.to_map(&rounded(&local.to_local(&placed)));
        assert!(error(&found, &placed) < 1e-6, "{}", error(&found, &placed));
        assert_eq!(found.intrinsics, placed.intrinsics);
        // Without them, single precision moves the camera.
        assert!(error(&rounded(&placed), &placed) > 1e-3);
    }
    let flat = Camera {
        extrinsics: Matrix4::zeros(),
        ..camera(1)
    };
    assert_eq!(LocalCoordinates::of(&flat, 1.0), None);
}

/// A similarity of the map's world.
fn movement() -> Similarity3<f64> {
    Similarity3::new(
        Vector3::new(0.5, -0.2, 0.1),
        Vector3::new(0.1, 0.2, -0.1),
        1.25,
    )
}

/// Corrections that move some frames with their points.
fn moved(map: &Map, numbers: &[u64], movement: &Similarity3<f64>) -> Corrections {
    let mut corrections = Corrections::default();
    for &number in numbers {
        let mut camera = map.camera(number).unwrap();
        let camera_to_world = movement * isometry(&camera).inverse();
        camera.extrinsics = camera_to_world.isometry.inverse().to_homogeneous();
        let correction = FrameCorrection::new(&camera, camera_to_world.scaling());
        corrections.insert(number, correction.unwrap());
    }
    corrections
}

fn isometry(camera: &Camera) -> Isometry3<f64> {
    let rotation = camera.extrinsics.fixed_view::<3, 3>(0, 0).into_owned();
    let translation = camera.extrinsics.fixed_view::<3, 1>(0, 3).into_owned();
    Isometry3::from_parts(
        translation.into(),
        nalgebra::UnitQuaternion::from_matrix(&rotation),
    )
}

#[test]
fn corrected_frames_take_their_points_and_their_neighbours_along() {
    let mut stream = three_windows(OPTIONS);
    let numbers = stream.numbers();
    let before = stream.scene(&numbers);
    // Frames 1 and 4 have no correction.
    let corrections = moved(&stream.map, &[0, 2, 3, 5], &movement());
    stream.map.correct(&corrections);
    let after = stream.scene(&numbers);
    assert_eq!(after.pixels, before.pixels);
    let to_glb = *stream.map.world_to_glb();
    let movement = to_glb * movement() * to_glb.inverse();
    let size = before.camera_size / 0.03;
    for (after, before) in after.points.iter().zip(&before.points) {
        let point = |point: &[f32; 3]| Point3::from(point.map(f64::from));
        let error = (point(after) - movement * point(before)).norm();
        assert!(error < 1e-5 * size, "{error}");
    }
    for (after, before) in after.cameras.iter().zip(&before.cameras) {
        let expected = (movement * before.pose.unwrap()).isometry;
        let pose = after.pose.unwrap();
        assert!((pose.translation.vector - expected.translation.vector).norm() < 1e-6 * size);
        assert!(pose.rotation.angle_to(&expected.rotation) < 1e-6);
    }
}

#[test]
fn points_stay_at_their_pixels_if_the_focal_length_is_corrected() {
    let mut stream = three_windows(OPTIONS);
    let mut camera = stream.map.camera(3).unwrap();
    camera.intrinsics[(0, 0)] *= 1.1;
    camera.intrinsics[(1, 1)] *= 1.2;
    let mut corrections = Corrections::default();
    corrections.insert(3, FrameCorrection::new(&camera, 1.3).unwrap());
    stream.map.correct(&corrections);
    let scene = stream.scene(&stream.numbers());
    let corrected = &scene.cameras[3];
    assert_eq!(corrected.intrinsics, camera.intrinsics);
    // The others have the same lens.
    assert_eq!(scene.cameras[5].intrinsics, camera.intrinsics);
    let to_world = scene.world_to_glb.inverse();
    let of_frame = scene.pixels.iter().zip(&scene.points);
    for (pixel, point) in of_frame.filter(|(pixel, _)| pixel.frame == 3) {
        let world = to_world * Point3::from(point.map(f64::from));
        let seen = corrected.extrinsics * world.to_homogeneous();
        let found = corrected.intrinsics * seen.xyz() / seen.z;
        let (u, v) = (pixel.index % SIZE.width, pixel.index / SIZE.width);
        assert!((found.x - f64::from(u)).abs() < 1e-3 && (found.y - f64::from(v)).abs() < 1e-3);
    }
}

#[test]
fn an_impossible_camera_is_no_correction() {
    let stream = three_windows(OPTIONS);
    let mut camera = stream.map.camera(3).unwrap();
    assert!(FrameCorrection::new(&camera, f64::NAN).is_none());
    assert!(FrameCorrection::new(&camera, 0.0).is_none());
    camera.extrinsics[(0, 0)] = 3.0;
    assert!(FrameCorrection::new(&camera, 1.0).is_none());
}
