//! A reconstruction with known geometry, and readers of files.

use std::io::{self, Cursor, Read};

use image::RgbImage;
use nalgebra::{Point3, Similarity3, Vector3};
use pointstream_reconstruction::cloud::{CloudOptions, PointFilters, Scene, World, build_scene};
use pointstream_reconstruction::formats::npz::{NpzReader, NpzWriter};
use pointstream_reconstruction::formats::{Cameras, FrameData, Reconstruction};
use pointstream_reconstruction::geometry::Distortion;
use zip::ZipArchive;

use crate::common::{SIZE, Synthetic, predict, predict_distorted};

/// Largest reprojection error in pixels: positions have single precision.
pub const TOLERANCE: f64 = 1e-3;

/// Distortion of the first frame of a distorted sample.
pub const LENS: Distortion = Distortion {
    k1: -0.25,
    k2: 0.06,
};

/// A scene of three frames; the middle one is not registered.
pub struct Sample {
    pub synthetic: Synthetic,
    pub scene: Scene,
    pub cameras: Cameras,
    pub arrays: NpzReader<Vec<u8>>,
}

impl Sample {
    pub fn new(points: usize) -> Self {
        Self::with(points, Distortion::NONE)
    }

    /// A sample whose first frame is distorted by [`LENS`]; the others are pinhole images.
    pub fn distorted(points: usize) -> Self {
        Self::with(points, LENS)
    }

    fn with(points: usize, lens: Distortion) -> Self {
        let angles = Vector3::new(0.2, 0.1, -0.4);
        let model_world = Similarity3::new(Vector3::new(1.0, 2.0, -3.0), angles, 0.31);
        let distortion = |id| if id == 3 { lens } else { Distortion::NONE };
        let mut synthetic = predict_distorted(&[3, 1, 2], SIZE, &model_world, distortion);
        synthetic.names = ["a b.jpg", "lost.jpg", "a_b.png"].map(Into::into).into();
        synthetic.prediction.cameras[1].registered = false;
        // A result that was aligned with a world of another scale.
        let (_, world) = build(
            &predict(&[3, 2], SIZE, &Similarity3::identity()),
            None,
            points,
        );
        let (scene, _) = build(&synthetic, Some(&world), points);
        assert!((scene.world_to_glb.scaling() - 1.0).abs() > 0.1);
        let arrays = NpzReader::new(npz(&synthetic, &scene), 3, SIZE).unwrap();
        Sample {
            cameras: Cameras::of(&scene),
            synthetic,
            scene,
            arrays,
        }
    }

    pub fn reconstruction(&self) -> Reconstruction<'_> {
        Reconstruction {
            cameras: &self.cameras,
            frames: self,
        }
    }

    /// The expected position, colour, confidence, frame and pixel of each point.
    pub fn points(&self) -> impl Iterator<Item = (Point3<f64>, [u8; 3], f32, usize, [u32; 2])> {
        self.scene.pixels.iter().enumerate().map(|(number, pixel)| {
            let (frame, index) = (pixel.frame as usize, pixel.index);
            let [u, v] = [index % SIZE.width, index / SIZE.width];
            let color = self.synthetic.images[frame].get_pixel(u, v).0;
            assert_eq!(color, self.scene.colors[number]);
            let confidence = self.synthetic.prediction.frame_confidence(frame)[index as usize];
            let position = self.scene.points[number].map(f64::from).into();
            (position, color, confidence, frame, [u, v])
        })
    }
}

impl FrameData for Sample {
    fn point_count(&self, frame: usize) -> usize {
        self.arrays.point_count(frame)
    }
    fn pixels(&self, frame: usize) -> io::Result<Vec<u32>> {
        self.arrays.pixels(frame)
    }
    fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.arrays.depth(frame)
    }
    fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.arrays.confidence(frame)
    }
    fn image(&self, frame: usize) -> io::Result<RgbImage> {
        Ok(self.synthetic.images[frame].clone())
    }
}

pub fn build(
    synthetic: &Synthetic,
    world: Option<&World>,
    num_max_points: usize,
) -> (Scene, World) {
    let options = CloudOptions {
        conf_thresh_percentile: 10.0,
        num_max_points,
        show_cameras: true,
        filters: PointFilters::OFF,
    };
    build_scene(&synthetic.prediction, &synthetic.frames(), world, &options).unwrap()
}

pub fn npz(synthetic: &Synthetic, scene: &Scene) -> Vec<u8> {
    let writer = NpzWriter::begin(&synthetic.prediction, Cursor::new(Vec::new())).unwrap();
    writer.finish(scene).unwrap().into_inner()
}

/// An entry of a zip file.
pub fn entry(archive: &[u8], name: &str) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut bytes = Vec::new();
    let mut file = archive.by_name(name).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

pub fn names(archive: &[u8]) -> Vec<String> {
    let archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    archive.file_names().map(str::to_owned).collect()
}

/// Reads little-endian numbers one after another.
pub struct Numbers<'a>(pub &'a [u8]);

impl Numbers<'_> {
    pub fn take<const N: usize>(&mut self) -> [u8; N] {
        let (bytes, rest) = self.0.split_first_chunk().unwrap();
        self.0 = rest;
        *bytes
    }
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
    pub fn f32(&mut self) -> f32 {
        f32::from_le_bytes(self.take())
    }
    pub fn f64(&mut self) -> f64 {
        f64::from_le_bytes(self.take())
    }
}
