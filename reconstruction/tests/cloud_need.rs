//! Making a point cloud takes no more memory than is stated for it.

mod measured;

use std::convert::Infallible;
use std::fmt;
use std::io::BufWriter;
use std::sync::{Arc, LazyLock};

use image::RgbImage;
use measured::{measured, turn};
use nalgebra::{Matrix3, Matrix4};
use pointstream_reconstruction::cloud::{
    CLOUD_NEED, CloudOptions, MAP_POINT_NEED, PointFilters, SceneFrame, VoxelSize, World,
    build_scene,
};
use pointstream_reconstruction::formats::glb::{GlbCompression, write_glb};
use pointstream_reconstruction::formats::npz::NpzWriter;
use pointstream_reconstruction::geometry::{Distortion, FrameSize, Region};
use pointstream_reconstruction::map::{ChunkPoints, ChunkSource, FirstChunk, Map, MapScene};
use pointstream_reconstruction::model::{Device, Workload};
use pointstream_reconstruction::prediction::{Camera, Prediction};
use pointstream_reconstruction::quality::Assessment;

static PHOTO: LazyLock<Arc<str>> = LazyLock::new(|| "photo.jpg".into());

/// A stored prediction of which every pixel is known: cameras in a row.
fn stored(frames: u64, size: FrameSize) -> Vec<u8> {
    let focal = f64::from(size.width);
    let (cx, cy) = (focal / 2.0, f64::from(size.height) / 2.0);
    let camera = |index: u64| {
        let mut extrinsics = Matrix4::identity();
        extrinsics[(0, 3)] = 0.1 * index as f64;
        Camera {
            extrinsics,
            intrinsics: Matrix3::new(focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0),
            distortion: Distortion::NONE,
            registered: true,
        }
    };
    let cameras = (0..frames).map(camera).collect();
    let pixels = size.columns() * size.rows();
    // Not one value: that is no plausible depth.
    let depth = (0..frames as usize * pixels).map(|index| 2.0 + (index % pixels) as f32 * 1e-5);
    let prediction = Prediction {
        size,
        cameras,
        depth: depth.collect(),
        confidence: vec![5.0; frames as usize * pixels],
        report: None,
        links: None,
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    prediction.save_safetensors(file.path()).unwrap();
    std::fs::read(file.path()).unwrap()
}

/// What a session makes of a prediction: its cloud, or the first chunk of a map.
struct Work<'a> {
    stored: &'a [u8],
    frames: u64,
    size: FrameSize,
    filters: PointFilters,
    compression: GlbCompression,
    world: Option<&'a World>,
    is_chunk: bool,
}

impl fmt::Display for Work<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} frames of {}, {:?}, {}, chunk: {}, world: {}",
            self.frames,
            self.size,
            self.filters,
            self.compression,
            self.is_chunk,
            self.world.is_some()
        )
    }
}

impl Work<'_> {
    /// Returns the number of points.
    fn run(&self) -> usize {
        let mut prediction = Prediction::from_safetensors(self.stored).unwrap();
        let options = CloudOptions {
            conf_thresh_percentile: 0.0,
            num_max_points: usize::MAX,
            show_cameras: true,
            filters: self.filters,
        };
        let images: Vec<RgbImage> = (0..self.frames)
            .map(|_| RgbImage::from_pixel(self.size.width, self.size.height, [90, 100, 110].into()))
            .collect();
        let frames: Vec<SceneFrame<'_>> = images
            .iter()
            .zip(1..)
            .map(|(image, id)| SceneFrame {
                id,
                name: &PHOTO,
                image,
                region: Region::WHOLE,
            })
            .collect();
        if self.is_chunk {
            let made = FirstChunk::make(&mut prediction, &frames, self.world, &options).unwrap();
            return made.1.to_bytes().len();
        }
        let assessment = Assessment::begin(&mut prediction);
        let file = BufWriter::new(tempfile::tempfile().unwrap());
        let (scene, npz) = std::thread::scope(|scope| {
            let storing = scope.spawn(|| NpzWriter::begin(&prediction, file).unwrap());
            let (scene, _) = build_scene(&prediction, &frames, self.world, &options).unwrap();
            let glb = write_glb(&scene, self.compression).unwrap();
            let npz = storing.join().unwrap();
            ((scene, glb), npz)
        });
        drop((images, npz.finish(&scene.0).unwrap(), assessment));
        scene.0.points.len()
    }
}

#[test]
fn the_stated_need_bounds_what_a_point_cloud_takes() {
    let _turn = turn();
    // Parallel work that begins allocates for its threads.
    rayon_is_there();
    let voxels = PointFilters {
        voxel_size: VoxelSize::new(1e-7),
        ..PointFilters::OFF
    };
    let edges = PointFilters {
        edges: true,
        ..PointFilters::OFF
    };
    let mut most_of_need = 0.0_f64;
    for (frames, size) in [
        (1, FrameSize::new(28, 28)),
        (12, FrameSize::new(252, 196)),
        (2, FrameSize::new(1008, 756)),
    ] {
        let stored = stored(frames, size);
        let work = Workload::Prediction {
            frames: frames as usize,
            size,
        };
        let need = CLOUD_NEED.check(Device::Cpu, work, |_| 1, None).unwrap();
        let world = world_of(&stored, frames, size);
        let with = |filters, is_chunk, compression, world| Work {
            stored: &stored,
            frames,
            size,
            filters,
            compression,
            world,
            is_chunk,
        };
        let none = GlbCompression::None;
        for work in [
            with(PointFilters::OFF, false, none, None),
            with(PointFilters::OFF, false, none, Some(&world)),
            with(PointFilters::OFF, false, GlbCompression::Quantized, None),
            with(PointFilters::OFF, false, GlbCompression::Meshopt, None),
            with(edges, false, none, None),
            with(voxels, false, none, None),
            with(PointFilters::OFF, true, none, Some(&world)),
            with(voxels, true, none, None),
        ] {
            let (points, most) = measured(|| work.run());
            assert!(points > 0);
            let each = most as f64 / (frames * size.pixels()) as f64;
            println!("{work}: {most} of {need}, {each:.1} for each pixel, {points} points");
            assert!(most <= need, "{work}: {most} of {need}");
            most_of_need = most_of_need.max(most as f64 / need as f64);
        }
    }
    assert!(
        most_of_need > 0.6,
        "the need is stated far too high: {most_of_need}"
    );
}

/// The points of a chunk as they are stored.
struct Stored(Vec<u8>);

impl ChunkSource for Stored {
    type Error = Infallible;

    fn points(&self, _: usize, count: usize) -> Result<ChunkPoints, Infallible> {
        let first = self.0[..ChunkPoints::file_bytes(count)].to_vec();
        Ok(ChunkPoints::from_bytes(&first, count).unwrap())
    }
}

#[test]
fn the_stated_need_of_a_point_bounds_what_the_cloud_of_a_map_takes() {
    let _turn = turn();
    rayon_is_there();
    let (frames, size) = (6, FrameSize::new(504, 378));
    let mut prediction = Prediction::from_safetensors(&stored(frames, size)[..]).unwrap();
    let image = RgbImage::new(size.width, size.height);
    let numbers: Vec<u64> = (1..=frames).collect();
    let scene_frames: Vec<SceneFrame<'_>> = numbers
        .iter()
        .map(|&id| SceneFrame {
            id,
            name: &PHOTO,
            image: &image,
            region: Region::WHOLE,
        })
        .collect();
    for voxel_size in [None, VoxelSize::new(1e-7)] {
        let options = CloudOptions {
            conf_thresh_percentile: 0.0,
            num_max_points: usize::MAX,
            show_cameras: true,
            filters: PointFilters {
                voxel_size,
                ..PointFilters::OFF
            },
        };
        let made = FirstChunk::make(&mut prediction, &scene_frames, None, &options).unwrap();
        let (chunk, points, _) = made;
        let source = Stored(points.to_bytes());
        drop(points);
        let map = Map::begin(chunk, None);
        for compression in [GlbCompression::None, GlbCompression::Meshopt] {
            let scene = MapScene {
                map: &map,
                numbers: &numbers,
                options: &options,
            };
            let (points, most) = measured(|| {
                let scene = scene.build(&source).unwrap();
                let glb = write_glb(&scene, compression).unwrap();
                // As they are stored.
                let pixels = vec![0_u8; 8 * scene.pixels.len()];
                drop((glb, pixels));
                scene.points.len()
            });
            let need = MAP_POINT_NEED * points as u64;
            println!("{voxel_size:?} {compression}: {most} of {need}, {points} points");
            assert!(points > 1_000_000, "{points}");
            assert!(most <= need, "{most} of {need}");
        }
    }
}

/// The world of an earlier result.
fn world_of(stored: &[u8], frames: u64, size: FrameSize) -> World {
    let mut prediction = Prediction::from_safetensors(stored).unwrap();
    let image = RgbImage::new(size.width, size.height);
    let frames: Vec<SceneFrame<'_>> = (1..=frames)
        .map(|id| SceneFrame {
            id,
            name: &PHOTO,
            image: &image,
            region: Region::WHOLE,
        })
        .collect();
    let options = CloudOptions {
        conf_thresh_percentile: 0.0,
        num_max_points: 1000,
        show_cameras: false,
        filters: PointFilters::OFF,
    };
    let made = FirstChunk::make(&mut prediction, &frames, None, &options).unwrap();
    made.2
}

fn rayon_is_there() {
    let size = FrameSize::new(56, 28);
    world_of(&stored(2, size), 2, size);
}
