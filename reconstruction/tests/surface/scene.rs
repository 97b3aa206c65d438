//! Depth maps of shapes that are known exactly.

use std::convert::Infallible;

use image::{Rgb, RgbImage};
use nalgebra::{Isometry3, Matrix3, Point3, Vector3};
use pointstream_reconstruction::geometry::Distortion;
use pointstream_reconstruction::surface::{
    DepthFrame, DepthFrames, Limits, Mesh, SurfaceError, make_surface,
};

pub const WIDTH: u32 = 160;
pub const HEIGHT: u32 = 120;

/// Frames in memory.
pub struct Frames(pub Vec<DepthFrame>);

#[derive(Debug, PartialEq)]
pub struct Failed(pub SurfaceError);

impl From<SurfaceError> for Failed {
    fn from(error: SurfaceError) -> Self {
        Self(error)
    }
}

impl From<Infallible> for Failed {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl DepthFrames for Frames {
    type Error = Failed;

    fn count(&self) -> usize {
        self.0.len()
    }

    fn read(&self, index: usize) -> Result<Option<DepthFrame>, Failed> {
        Ok(Some(self.0[index].clone()))
    }
}

impl Frames {
    /// What cameras at these places see that look at these targets. `meet` gives the distance, in lengths of the
    /// direction, at which a ray meets the shape.
    pub fn of(
        cameras: &[(Vector3<f64>, Vector3<f64>)],
        meet: impl Fn(Vector3<f64>, Vector3<f64>) -> Option<f64>,
    ) -> Self {
        Self::distorted(Distortion::NONE, cameras, meet)
    }

    /// The same with a lens.
    pub fn distorted(
        distortion: Distortion,
        cameras: &[(Vector3<f64>, Vector3<f64>)],
        meet: impl Fn(Vector3<f64>, Vector3<f64>) -> Option<f64>,
    ) -> Self {
        let focal = f64::from(WIDTH);
        let (cx, cy) = (f64::from(WIDTH - 1) / 2.0, f64::from(HEIGHT - 1) / 2.0);
        let intrinsics = Matrix3::new(focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0);
        let frames = cameras.iter().map(|(eye, target)| {
            let up = match (target - eye).cross(&Vector3::y()).norm() > 1e-6 {
                true => -Vector3::y(),
                false => Vector3::x(),
            };
            let pose = Isometry3::face_towards(&Point3::from(*eye), &Point3::from(*target), &up);
            let mut image = RgbImage::new(WIDTH, HEIGHT);
            let mut depth = Vec::new();
            for (u, v, pixel) in image.enumerate_pixels_mut() {
                let seen = [(f64::from(u) - cx) / focal, (f64::from(v) - cy) / focal];
                let [x, y] = distortion.undistort(seen).unwrap();
                let ray = pose * Vector3::new(x, y, 1.0);
                let found = meet(*eye, ray);
                depth.push(found.unwrap_or(0.0) as f32);
                *pixel = Rgb(found.map_or([0; 3], |depth| color(eye + ray * depth)));
            }
            DepthFrame {
                pose,
                intrinsics,
                distortion,
                depth,
                image,
            }
        });
        Self(frames.collect())
    }

    pub fn mesh(&self) -> Result<Mesh, Failed> {
        self.mesh_within(Limits::for_pixels(0))
    }

    pub fn mesh_within(&self, limits: Limits) -> Result<Mesh, Failed> {
        make_surface(self, limits)
    }
}

/// The colour of everything at a place.
pub fn color(place: Vector3<f64>) -> [u8; 3] {
    let channel = |value: f64| (127.5 + 100.0 * (1.5 * value).sin()).round() as u8;
    [place.x, place.y, place.z].map(channel)
}

/// Cameras around the origin at a distance, in two rings.
pub fn around(distance: f64) -> Vec<(Vector3<f64>, Vector3<f64>)> {
    let ring = |height: f64| {
        (0..8).map(move |index| {
            let angle = std::f64::consts::TAU * f64::from(index) / 8.0;
            let eye = Vector3::new(angle.cos(), height, angle.sin()).normalize();
            (eye * distance, Vector3::zeros())
        })
    };
    ring(0.9).chain(ring(-0.9)).collect()
}

/// Where a ray meets a sphere around the origin from outside.
pub fn sphere(radius: f64) -> impl Fn(Vector3<f64>, Vector3<f64>) -> Option<f64> {
    move |eye, ray| {
        let (a, b) = (ray.norm_squared(), eye.dot(&ray));
        let root = b * b - a * (eye.norm_squared() - radius * radius);
        (root > 0.0).then(|| (-b - root.sqrt()) / a)
    }
}

/// Corners of the triangles.
pub fn triangles(mesh: &Mesh) -> impl Iterator<Item = [Vector3<f64>; 3]> + '_ {
    let place = |vertex: u32| {
        let [x, y, z] = mesh.positions[vertex as usize].map(f64::from);
        Vector3::new(x, y, z)
    };
    mesh.triangles
        .iter()
        .map(move |triangle| triangle.map(place))
}

/// The cross product of two sides: twice the area along the normal.
pub fn normal([a, b, c]: [Vector3<f64>; 3]) -> Vector3<f64> {
    (b - a).cross(&(c - a))
}

pub fn places(mesh: &Mesh) -> impl Iterator<Item = Vector3<f64>> + '_ {
    let positions = mesh.positions.iter();
    positions.map(|position| Vector3::from(position.map(f64::from)))
}
