//! Updates of a map: with all of them, someone has the points and cameras of the whole cloud.

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{SIZE, predict, predict_distorted};
use nalgebra::{Affine3, Matrix4, Point3, Similarity3, Vector3};
use pointstream_reconstruction::cloud::{
    CloudOptions, FrameCloud, PointFilters, Scene, build_scene,
};
use pointstream_reconstruction::formats::glb::{FramesGlb, GlbCompression, write_frames_glb};
use pointstream_reconstruction::geometry::Distortion;
use pointstream_reconstruction::map::{
    ChunkPoints, ChunkSource, Corrections, FirstChunk, FrameCorrection, FrameShare, Map, MapExtent,
    MapScene, MapUpdate, NextChunk, PointsFileError,
};
use strum::VariantArray;

/// Points of a frame.
const PIXELS: usize = SIZE.columns() * SIZE.rows();

fn options(num_max_points: usize) -> CloudOptions {
    CloudOptions {
        conf_thresh_percentile: 0.0,
        num_max_points,
        show_cameras: true,
        filters: PointFilters::OFF,
    }
}

fn model_world() -> Similarity3<f64> {
    let angles = Vector3::new(0.2, 0.1, -0.4);
    Similarity3::new(Vector3::new(1.0, 2.0, -3.0), angles, 0.31)
}

/// A map with the files of its points.
struct Stream {
    map: Map,
    files: Vec<Vec<u8>>,
    options: CloudOptions,
}

impl ChunkSource for Stream {
    type Error = PointsFileError;

    fn points(&self, chunk: usize, count: usize) -> Result<ChunkPoints, PointsFileError> {
        ChunkPoints::from_bytes(&self.files[chunk], count)
    }
}

impl Stream {
    fn begin(ids: &[u64], options: CloudOptions) -> Self {
        let mut run = predict(ids, SIZE, &model_world());
        let mut prediction = std::mem::replace(
            &mut run.prediction,
            predict(&[], SIZE, &model_world()).prediction,
        );
        let frames = run.frames();
        let made = FirstChunk::make(&mut prediction, &frames, None, &options).unwrap();
        let (chunk, points, _) = made;
        Self {
            map: Map::begin(chunk, None),
            files: vec![points.to_bytes()],
            options,
        }
    }

    fn add(&mut self, ids: &[u64]) {
        self.add_without(ids, &[]);
    }

    /// Adds a chunk in which some frames cannot be placed.
    fn add_without(&mut self, ids: &[u64], lost: &[u64]) {
        let distortion = |id| Distortion {
            k1: -0.01 * id as f64,
            k2: 0.0,
        };
        let run = predict_distorted(ids, SIZE, &model_world(), distortion);
        let mut prediction = run.prediction.clone();
        for (frame, id) in ids.iter().enumerate() {
            if lost.contains(id) {
                prediction.cameras[frame].registered = false;
                prediction.confidence[frame * PIXELS..(frame + 1) * PIXELS].fill(1.0);
            }
        }
        let number = self.map.chunks().len();
        let to_glb = self.map.world_to_glb();
        let made = NextChunk::make(
            &mut prediction,
            &run.frames(),
            to_glb,
            number,
            &self.options,
        );
        let (chunk, points) = made.unwrap();
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

    fn update(&self, numbers: &[u64], known: Option<&MapExtent>) -> MapUpdate {
        MapUpdate::build(&self.map, numbers, known, &self.options, self).unwrap()
    }

    /// Moves some frames, stretches their lens and scales their depths.
    fn correct(&mut self, numbers: &[u64]) {
        let mut corrections = Corrections::default();
        for &number in numbers {
            let mut camera = self.map.camera(number).unwrap();
            let movement = Similarity3::new(
                Vector3::new(0.1 * number as f64, -0.2, 0.1),
                Vector3::new(0.1, 0.02 * number as f64, -0.1),
                1.0,
            );
            camera.extrinsics *= movement.isometry.to_homogeneous();
            camera.intrinsics[(0, 0)] *= 1.1;
            camera.intrinsics[(1, 1)] *= 1.2;
            corrections.insert(number, FrameCorrection::new(&camera, 1.25).unwrap());
        }
        self.map.correct(&corrections);
    }
}

/// Someone who follows a map.
#[derive(Default)]
struct Follower {
    known: Option<MapExtent>,
    frames: BTreeMap<u64, FrameCloud>,
}

impl Follower {
    fn follow(&mut self, stream: &Stream, numbers: &[u64]) -> MapUpdate {
        let update = stream.update(numbers, self.known.as_ref());
        for FrameShare { frame, points } in &update.kept {
            let cloud = self.frames.get_mut(frame).expect("a known frame");
            assert!(*points < cloud.points.len());
            cloud.points.truncate(*points);
            cloud.colors.truncate(*points);
        }
        for number in &update.moved {
            let cloud = self.frames.get_mut(number).expect("a known frame");
            let frame = stream.map.frame(*number).unwrap();
            cloud.points_to_glb = stream.map.points_to_glb(frame).unwrap();
            cloud.camera = frame.camera.clone();
        }
        for frame in &update.frames {
            let earlier = self.frames.insert(frame.camera.id, frame.clone());
            assert!(earlier.is_none(), "frame {} came twice", frame.camera.id);
        }
        self.known = Some(MapExtent::of(&stream.map, numbers));
        update
    }

    /// Checks that it has the points and cameras of the whole cloud.
    fn assert_has(&self, scene: &Scene) {
        assert_same(self.frames.values(), scene);
        for camera in scene.cameras.iter().filter(|camera| camera.pose.is_some()) {
            assert_eq!(&self.frames[&camera.id].camera, camera);
        }
    }
}

/// Checks that frames have the points of the scene. The colour of a point tells its pixel.
fn assert_same<'a>(frames: impl Iterator<Item = &'a FrameCloud>, scene: &Scene) {
    let mut found = HashMap::new();
    for frame in frames {
        for (point, color) in frame.points.iter().zip(&frame.colors) {
            let point = frame.points_to_glb * Point3::from(point.map(f64::from));
            assert!(found.insert(*color, point).is_none());
        }
    }
    assert_eq!(found.len(), scene.points.len());
    let size = scene.camera_size / 0.03;
    for (point, color) in scene.points.iter().zip(&scene.colors) {
        let expected = Point3::from(point.map(f64::from));
        let error = (found[color] - expected).norm();
        assert!(error < 1e-6 * size, "{error}");
    }
}

#[test]
fn updates_add_up_to_the_whole_cloud_with_and_without_a_limit() {
    for limit in [usize::MAX, 7 * PIXELS, 3 * PIXELS, 500] {
        let mut stream = Stream::begin(&[1, 2, 4], options(limit));
        let mut follower = Follower::default();
        let first = follower.follow(&stream, &[1, 2, 4]);
        assert_eq!((first.moved.len(), first.kept.len()), (0, 0));
        follower.assert_has(&stream.scene(&[1, 2, 4]));

        // Frame 6 is in the map, but not asked for yet; frame 5 cannot be placed.
        stream.add_without(&[5, 6], &[5]);
        follower.follow(&stream, &[1, 2, 4, 5]);
        follower.assert_has(&stream.scene(&[1, 2, 4, 5]));

        stream.correct(&[1, 4]);
        stream.add(&[5]);
        let update = follower.follow(&stream, &[1, 2, 4, 5, 6]);
        let new: Vec<u64> = update.frames.iter().map(|frame| frame.camera.id).collect();
        assert_eq!(new, [6, 5]);
        assert_eq!(update.moved, [1, 2, 4]);
        follower.assert_has(&stream.scene(&[1, 2, 4, 5, 6]));

        stream.add(&[7, 8]);
        stream.correct(&[7]);
        stream.add(&[9]);
        stream.correct(&[2, 8]);
        let all = [1, 2, 4, 5, 6, 7, 8, 9];
        follower.follow(&stream, &all);
        follower.assert_has(&stream.scene(&all));
        assert!(follower.follow(&stream, &all).is_empty());
        // Someone who comes late gets the same.
        let mut late = Follower::default();
        late.follow(&stream, &all);
        late.assert_has(&stream.scene(&all));
    }
}

#[test]
fn an_update_has_only_what_is_new() {
    let mut stream = Stream::begin(&[0, 1, 2], options(usize::MAX));
    let mut follower = Follower::default();
    follower.follow(&stream, &[0, 1, 2]);
    stream.add(&[3]);
    let update = follower.follow(&stream, &[0, 1, 2, 3]);
    assert_eq!(update.frames.len(), 1);
    let frame = &update.frames[0];
    assert_eq!((frame.camera.id, frame.chunk), (3, 1));
    assert_eq!(frame.points.len(), PIXELS);
    assert!(update.moved.is_empty() && update.kept.is_empty());
}

#[test]
fn one_run_of_the_model_can_be_split_into_frames() {
    let run = predict(&[3, 1, 2], SIZE, &model_world());
    let (scene, _) = build_scene(&run.prediction, &run.frames(), None, &options(3000)).unwrap();
    let frames: Vec<FrameCloud> = scene
        .cameras
        .iter()
        .enumerate()
        .map(|(index, camera)| {
            let points = scene.pixels.iter().zip(&scene.points).zip(&scene.colors);
            let points = points.filter(|((pixel, _), _)| pixel.frame as usize == index);
            let points = points.map(|((_, point), color)| (*point, *color));
            FrameCloud::of_points(camera, &scene.world_to_glb, points).unwrap()
        })
        .collect();
    assert_same(frames.iter(), &scene);
    // z is the depth.
    let scale = model_world().scaling();
    assert!(
        frames[0]
            .points
            .iter()
            .all(|[_, _, z]| *z > 4.0 * scale as f32)
    );
}

#[test]
fn a_file_has_a_node_for_each_frame_that_brings_its_points_to_their_places() {
    let mut stream = Stream::begin(&[1, 2], options(2000));
    stream.add(&[3, 4]);
    stream.correct(&[1, 2, 3, 4]);
    let numbers = [1, 2, 3, 4];
    let update = stream.update(&numbers, None);
    let scene = stream.scene(&numbers);
    for &compression in GlbCompression::VARIANTS {
        let glb = FramesGlb {
            frames: &update.frames,
            image_size: SIZE,
            show_cameras: true,
            world_to_glb: stream.map.world_to_glb(),
            alignment: stream.map.alignment(),
            confidence_threshold: scene.confidence_threshold,
        };
        let bytes = write_frames_glb(&glb, compression).unwrap();
        assert_eq!(write_frames_glb(&glb, compression).unwrap(), bytes);
        if compression == GlbCompression::Meshopt {
            // The crate that reads the file does not decode it.
            continue;
        }
        let file = gltf::Gltf::from_slice_without_validation(&bytes).unwrap();
        let mut found: HashMap<[u8; 3], Point3<f64>> = HashMap::new();
        let chunks: Vec<gltf::Node> = file.default_scene().unwrap().nodes().collect();
        let names: Vec<_> = chunks.iter().filter_map(gltf::Node::name).collect();
        assert_eq!(names, ["chunk 0", "chunk 1"]);
        let frames = chunks.iter().flat_map(gltf::Node::children);
        let (cameras, frames): (Vec<_>, Vec<_>) = frames.partition(|node| node.camera().is_some());
        let names: Vec<_> = frames.iter().filter_map(gltf::Node::name).collect();
        assert_eq!(names, ["frame 1", "frame 2", "frame 3", "frame 4"]);
        for frame in &frames {
            let inner = frame.children().next();
            assert_eq!(inner.is_some(), compression != GlbCompression::None);
            let holder = inner.as_ref().unwrap_or(frame);
            let grid = inner.as_ref().map_or(Matrix4::identity(), matrix);
            let to_glb = matrix(frame) * grid;
            for (point, color) in points(&file, holder) {
                found.insert(color, Affine3::from_matrix_unchecked(to_glb) * point);
            }
        }
        assert_eq!(found.len(), scene.points.len());
        let size = scene.camera_size / 0.03;
        for (point, color) in scene.points.iter().zip(&scene.colors) {
            let error = (found[color] - Point3::from(point.map(f64::from))).norm();
            assert!(error < 1e-4 * size, "{error}");
        }
        // The drawn cameras begin at the centres, and look along the optical axis.
        for (node, camera) in cameras.iter().zip(&scene.cameras) {
            let pose = camera.pose.unwrap();
            let to_glb = Affine3::from_matrix_unchecked(matrix(node));
            let vertices: Vec<_> = points(&file, node)
                .map(|(point, _)| to_glb * point)
                .collect();
            let centre = Point3::from(pose.translation.vector);
            assert!((vertices[0] - centre).norm() < 1e-6 * size);
            let middle = vertices[1..]
                .iter()
                .map(|vertex| vertex.coords)
                .sum::<Vector3<f64>>();
            let axis = (middle / 4.0 - centre.coords).normalize();
            assert!((axis - pose * Vector3::z()).norm() < 1e-3);
        }
    }
}

fn matrix(node: &gltf::Node) -> Matrix4<f64> {
    let columns = node.transform().matrix();
    Matrix4::from_fn(|row, column| f64::from(columns[column][row]))
}

/// The vertices of a node's mesh.
fn points(file: &gltf::Gltf, node: &gltf::Node) -> impl Iterator<Item = (Point3<f64>, [u8; 3])> {
    let mesh = node.mesh().expect("a mesh");
    let primitive = mesh.primitives().next().expect("a primitive");
    let blob = file.blob.as_ref().expect("a binary chunk");
    let view = |accessor: &gltf::Accessor| {
        let view = accessor.view().expect("a view");
        (view.offset(), view.stride())
    };
    let positions = primitive
        .get(&gltf::Semantic::Positions)
        .expect("positions");
    let (at, stride) = view(&positions);
    let whole = positions.data_type() == gltf::accessor::DataType::I16;
    let position = move |index: usize, axis: usize| {
        if whole {
            let at = at + index * stride.unwrap_or(6) + 2 * axis;
            f64::from(i16::from_le_bytes([blob[at], blob[at + 1]]))
        } else {
            let at = at + index * stride.unwrap_or(12) + 4 * axis;
            let bytes = [blob[at], blob[at + 1], blob[at + 2], blob[at + 3]];
            f64::from(f32::from_le_bytes(bytes))
        }
    };
    let colors = primitive.get(&gltf::Semantic::Colors(0)).expect("colours");
    let (colors_at, _) = view(&colors);
    let all: Vec<_> = (0..positions.count())
        .map(|index| {
            let point = Point3::from([0, 1, 2].map(|axis| position(index, axis)));
            let color = [0, 1, 2].map(|channel| blob[colors_at + 4 * index + channel]);
            (point, color)
        })
        .collect();
    all.into_iter()
}
