//! Maps pixels with depth to points.

use nalgebra::{Affine3, Isometry3, Matrix3, Similarity3, Vector3};
use rayon::prelude::*;

use super::confident::ConfidentPixels;
use super::sample::Pixel;
use super::view::{View, undistorted};
use crate::geometry::{Distortion, FrameSize, Undistortion};
use crate::prediction::Prediction;

/// Pixels per parallel task.
const CHUNK: usize = 16 * 1024;

/// The points of `sample`, in its order: `to * E^-1 * (depth * D^-1(K^-1 * (u, v, 1)))` with
/// intrinsics `K`, distortion `D` and extrinsics `E` of the pixel's frame. `to` maps the world of the
/// model run to the target coordinates.
///
/// Parallel on rayon's pool. A point is NaN if its frame has no camera, if the distortion lets
/// nothing appear at its pixel, or if it overflows single precision.
pub fn unproject(
    pixels: &ConfidentPixels,
    sample: &[Pixel],
    to: &Similarity3<f64>,
) -> Vec<[f32; 3]> {
    let unprojector = Unprojector::new(pixels, to);
    let mut points = vec![[0.0; 3]; sample.len()];
    sample
        .par_chunks(CHUNK)
        .zip(points.par_chunks_mut(CHUNK))
        .for_each(|(sample, points)| {
            for (&pixel, point) in sample.iter().zip(points) {
                *point = unprojector.point(pixel);
            }
        });
    points
}

/// Unprojects single pixels like [`unproject`].
pub struct Unprojector<'a> {
    prediction: &'a Prediction,
    maps: Vec<Option<FrameMap>>,
    width: u32,
}

impl<'a> Unprojector<'a> {
    /// `to` maps the world of the model run to the target coordinates.
    pub fn new(pixels: &ConfidentPixels<'a>, to: &Similarity3<f64>) -> Self {
        let size = pixels.prediction().size;
        let map = |view: &Option<View>| Some(FrameMap::new(view.as_ref()?, to, size));
        Unprojector {
            prediction: pixels.prediction(),
            maps: pixels.views().iter().map(map).collect(),
            width: size.width,
        }
    }

    /// The point of a pixel, or NaN as in [`unproject`].
    pub fn point(&self, pixel: Pixel) -> [f32; 3] {
        let frame = pixel.frame as usize;
        let depth = self.prediction.frame_depth(frame)[pixel.index as usize];
        match &self.maps[frame] {
            Some(map) => map.point(pixel.index, self.width, depth),
            None => [f32::NAN; 3],
        }
    }
}

/// Maps the pixels of one frame to points.
#[derive(Debug, Clone)]
pub(crate) struct FrameMap {
    /// Maps (u, v, 1) to the ray of the pixel in the target coordinates, at depth 1; with a lens, maps
    /// that ray from camera coordinates.
    ray: Matrix3<f64>,
    centre: Vector3<f64>,
    /// With distortion only.
    lens: Option<Lens>,
}

#[derive(Debug, Clone)]
struct Lens {
    /// Maps (u, v, 1) to the distorted point at depth 1, in camera coordinates.
    inverse_intrinsics: Matrix3<f64>,
    undistortion: Undistortion,
}

impl FrameMap {
    /// `to` maps the world of the model run to the target coordinates; `size` is that of the frame.
    pub fn new(view: &View, to: &Similarity3<f64>, size: FrameSize) -> Self {
        let camera_to_target = to * view.camera_to_world;
        let rotation = camera_to_target.isometry.rotation.to_rotation_matrix();
        let lens = view.undistortion(size).map(|undistortion| Lens {
            inverse_intrinsics: view.inverse_intrinsics,
            undistortion,
        });
        let ray = match lens {
            None => rotation.matrix() * view.inverse_intrinsics,
            Some(_) => *rotation.matrix(),
        };
        FrameMap {
            ray: ray * camera_to_target.scaling(),
            centre: camera_to_target.isometry.translation.vector,
            lens,
        }
    }

    /// `to` maps camera coordinates to the target coordinates; `size` is that of the frame. `None` if
    /// the intrinsics cannot be inverted.
    pub fn of_lens(
        intrinsics: Matrix3<f64>,
        distortion: Distortion,
        to: &Affine3<f64>,
        size: FrameSize,
    ) -> Option<Self> {
        let at_origin = View {
            intrinsics,
            inverse_intrinsics: intrinsics.try_inverse()?,
            distortion,
            camera_to_world: Isometry3::identity(),
        };
        let mut map = Self::new(&at_origin, &Similarity3::identity(), size);
        map.ray = to.matrix().fixed_view::<3, 3>(0, 0) * map.ray;
        map.centre = to.matrix().fixed_view::<3, 1>(0, 3).into_owned();
        Some(map)
    }

    /// The point of the pixel with the row-major index `index` in a frame of `width` columns. NaN
    /// if the distortion lets nothing appear there, or if it overflows single precision.
    pub fn point(&self, index: u32, width: u32, depth: f32) -> [f32; 3] {
        let (u, v) = (index % width, index / width);
        let mut pixel = Vector3::new(f64::from(u), f64::from(v), 1.0);
        if let Some(lens) = &self.lens {
            let seen = lens.inverse_intrinsics * pixel;
            pixel = undistorted(seen, |seen| lens.undistortion.undistort(seen));
        }
        let position = self.ray * pixel * f64::from(depth) + self.centre;
        let point = [position.x as f32, position.y as f32, position.z as f32];
        if point.iter().all(|value| value.is_finite()) {
            point
        } else {
            [f32::NAN; 3]
        }
    }
}
