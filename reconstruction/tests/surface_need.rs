//! Making a mesh takes no more memory than is stated for it.

mod measured;

use std::io::{self, Write};

use image::RgbImage;
use measured::{measured, turn};
use nalgebra::{Isometry3, Matrix3, Matrix4, Similarity3};
use pointstream_reconstruction::cloud::{Alignment, PointFilters, Scene, SceneCamera, Unaligned};
use pointstream_reconstruction::formats::mesh::{DepthRules, MeshFile, mesh_need, write_mesh};
use pointstream_reconstruction::formats::{Cameras, FrameData, Reconstruction};
use pointstream_reconstruction::geometry::{Distortion, FrameSize};

/// Walls that do not overlap, so that the voxels of all frames are others: the most that frames can need.
struct Walls {
    size: FrameSize,
    /// How far the depth is from a plane at most.
    noise: f32,
}

impl Walls {
    fn pixels(&self) -> usize {
        self.size.columns() * self.size.rows()
    }
}

impl FrameData for Walls {
    fn point_count(&self, _: usize) -> usize {
        0
    }
    fn pixels(&self, _: usize) -> io::Result<Vec<u32>> {
        Ok(Vec::new())
    }
    fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        let depth = |index: usize| {
            let random = (index as u32 ^ frame as u32).wrapping_mul(2_654_435_761) >> 8;
            1.0 + self.noise * (random as f32 / (1 << 24) as f32)
        };
        Ok((0..self.pixels()).map(depth).collect())
    }
    fn confidence(&self, _: usize) -> io::Result<Vec<f32>> {
        Ok(vec![5.0; self.pixels()])
    }
    fn image(&self, _: usize) -> io::Result<RgbImage> {
        Ok(RgbImage::new(self.size.width, self.size.height))
    }
}

fn cameras(frames: u64, size: FrameSize) -> Cameras {
    let focal = f64::from(size.width);
    let (cx, cy) = (focal / 2.0, f64::from(size.height) / 2.0);
    let camera = |id: u64| {
        let pose = Isometry3::translation(1.1 * id as f64, 0.0, 0.0);
        SceneCamera {
            id,
            name: "photo.jpg".into(),
            intrinsics: Matrix3::new(focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0),
            distortion: Distortion::NONE,
            extrinsics: pose.inverse().to_homogeneous(),
            pose: Some(pose),
        }
    };
    assert_eq!(camera(0).extrinsics, Matrix4::identity());
    Cameras::of(&Scene {
        points: Vec::new(),
        colors: Vec::new(),
        pixels: Vec::new(),
        cameras: (0..frames).map(camera).collect(),
        image_size: size,
        camera_size: 1.0,
        show_cameras: false,
        world_to_glb: Similarity3::identity(),
        alignment: Alignment::Unaligned {
            reason: Unaligned::NoCamera,
        },
        confidence_threshold: 2.0,
    })
}

/// Counts what is written to it.
struct Nowhere(u64);

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_more_is_taken_than_is_stated() {
    let _turn = turn();
    let mut fullest = 0.0_f64;
    for (frames, size, noise) in [
        (3, FrameSize::new(504, 378), 0.0),
        (3, FrameSize::new(504, 378), 0.001),
        (12, FrameSize::new(504, 378), 0.006),
        (24, FrameSize::new(504, 378), 0.0),
        (2, FrameSize::new(2000, 1500), 0.0005),
    ] {
        let cameras = cameras(frames, size);
        let walls = Walls { size, noise };
        let reconstruction = Reconstruction {
            cameras: &cameras,
            frames: &walls,
        };
        let rules = DepthRules {
            thresholds: vec![Some(2.0); frames as usize],
            filters: PointFilters::OFF,
        };
        let mut file = Nowhere(0);
        let (written, taken) =
            measured(|| write_mesh(&reconstruction, &rules, MeshFile::Glb, &mut file));
        written.unwrap();
        let need = mesh_need(&cameras);
        let part = taken as f64 / need as f64;
        println!(
            "{frames} frames of {size}, noise {noise}: {taken} of {need} bytes, a file of {} bytes",
            file.0
        );
        assert!(part <= 1.0, "{taken} bytes are more than {need}");
        fullest = fullest.max(part);
    }
    assert!(fullest > 0.4, "no more than {fullest} of it is taken");
}
