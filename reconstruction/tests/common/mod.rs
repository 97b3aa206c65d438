//! A synthetic scene with known geometry: images of the bumpy wall `z = 6 + bumps(x, y)`.

use std::sync::Arc;

use image::{Rgb, RgbImage};
use nalgebra::{Isometry3, Matrix3, Similarity3, Vector3};
use pointstream_reconstruction::cloud::SceneFrame;
use pointstream_reconstruction::geometry::{Distortion, FrameSize, Region};
use pointstream_reconstruction::prediction::{Camera, Prediction};

pub const SIZE: FrameSize = FrameSize::new(84, 63);

/// The wall's z in true coordinates.
pub fn wall(x: f64, y: f64) -> f64 {
    6.0 + 0.8 * (1.3 * x).sin() * (0.9 * y).cos() + 0.1 * x
}

pub fn intrinsics(size: FrameSize) -> Matrix3<f64> {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let focal = 1.1 * width;
    let (cx, cy) = ((width - 1.0) / 2.0, (height - 1.0) / 2.0);
    Matrix3::new(focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0)
}

/// Camera-to-world pose of frame `id`, in true coordinates.
pub fn pose(id: u64) -> Isometry3<f64> {
    let t = id as f64;
    Isometry3::new(
        Vector3::new(0.4 * t - 0.8, 0.15 * (t * 1.7).sin(), 0.2 * (t * 0.9).cos()),
        Vector3::new(0.03 * (t * 2.1).sin(), -0.06 * t + 0.1, 0.02 * t),
    )
}

/// A prediction and its images.
pub struct Synthetic {
    pub ids: Vec<u64>,
    pub names: Vec<Arc<str>>,
    pub prediction: Prediction,
    pub images: Vec<RgbImage>,
}

impl Synthetic {
    pub fn frames(&self) -> Vec<SceneFrame<'_>> {
        self.ids
            .iter()
            .zip(&self.names)
            .zip(&self.images)
            .map(|((&id, name), image)| SceneFrame {
                id,
                name,
                image,
                region: Region::WHOLE,
            })
            .collect()
    }
}

/// The prediction of an exact model for the frames `ids`. `model_world` maps true coordinates to
/// the world of the prediction.
pub fn predict(ids: &[u64], size: FrameSize, model_world: &Similarity3<f64>) -> Synthetic {
    predict_distorted(ids, size, model_world, |_| Distortion::NONE)
}

/// Like [`predict`] with the distortion of each frame.
pub fn predict_distorted(
    ids: &[u64],
    size: FrameSize,
    model_world: &Similarity3<f64>,
    distortion_of: impl Fn(u64) -> Distortion,
) -> Synthetic {
    let width = size.columns();
    let intrinsics = intrinsics(size);
    let inverse = intrinsics.try_inverse().unwrap();
    let mut prediction = Prediction {
        size,
        cameras: Vec::new(),
        depth: Vec::new(),
        confidence: Vec::new(),
        report: None,
        links: None,
    };
    let mut images = Vec::new();
    for &id in ids {
        let pose = pose(id);
        let distortion = distortion_of(id);
        for index in 0..width * size.rows() {
            let pixel = Vector3::new((index % width) as f64, (index / width) as f64, 1.0);
            let seen = inverse * pixel;
            let [x, y] = distortion.undistort([seen.x, seen.y]).unwrap();
            let depth = depth_along(&pose, &Vector3::new(x, y, 1.0));
            prediction
                .depth
                .push((depth * model_world.scaling()) as f32);
            prediction.confidence.push(2.0 + (index % 7) as f32);
        }
        images.push(RgbImage::from_fn(size.width, size.height, |u, v| {
            Rgb([(u * 3) as u8, (v * 4) as u8, id as u8])
        }));
        prediction.cameras.push(Camera {
            extrinsics: (model_world * pose).isometry.inverse().to_homogeneous(),
            intrinsics,
            distortion,
            registered: true,
        });
    }
    Synthetic {
        ids: ids.to_vec(),
        names: ids
            .iter()
            .map(|id| format!("photo {id}.jpg").into())
            .collect(),
        prediction,
        images,
    }
}

/// Depth along the camera's z axis at which the ray meets the wall, by fixed-point iteration.
fn depth_along(pose: &Isometry3<f64>, ray: &Vector3<f64>) -> f64 {
    let [x, y, z]: [f64; 3] = pose.translation.vector.into();
    let [dx, dy, dz]: [f64; 3] = (pose.rotation * ray).into();
    let mut depth = 6.0;
    for _ in 0..30 {
        depth += 0.6 * (wall(x + dx * depth, y + dy * depth) - (z + dz * depth));
    }
    depth
}
