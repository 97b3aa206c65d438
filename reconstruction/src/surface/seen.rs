//! What a frame sees of the surface: depth, and the angle at which it is seen.

use ::image::RgbImage;
use nalgebra::{Isometry3, Matrix3, Vector3};

use super::frame::DepthFrame;
use crate::geometry::{Distortion, FrameSize};

/// Smallest cosine of the angle between a ray and the normal of what it meets: 81 degrees. What seems to be seen at a
/// larger angle mostly is no surface, but the step from a near one to a far one.
const MIN_COSINE: f32 = 0.15;

/// What a pixel sees.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// z in camera coordinates; 0 if it sees nothing.
    pub depth: f32,
    /// Cosine of the angle between the ray and the normal.
    pub cosine: f32,
}

/// A frame that is ready to be fused.
pub struct Seen {
    pub pose: Isometry3<f64>,
    pub size: FrameSize,
    pub image: RgbImage,
    /// From the plane at depth 1 to pixels.
    pub lens: Lens,
    /// Of each pixel, row-major.
    pub samples: Vec<Sample>,
    /// The rays of the pixels meet the plane at depth 1 there.
    rays: Vec<[f32; 2]>,
    /// Smallest and largest x, and y, of the rays.
    pub reach: [[f32; 2]; 2],
    /// Side of the square that a pixel shows of a surface at depth 1.
    pixel: f32,
    /// Largest depth.
    pub farthest: f32,
}

impl Seen {
    pub fn new(frame: DepthFrame) -> Self {
        let size = FrameSize::of(&frame.image);
        let rays = rays(&frame, size);
        let mut reach = [[f32::INFINITY, f32::NEG_INFINITY]; 2];
        for ray in &rays {
            for ([low, high], &value) in reach.iter_mut().zip(ray) {
                // NaN changes nothing.
                (*low, *high) = (low.min(value), high.max(value));
            }
        }
        let depth = Depths {
            depth: &frame.depth,
            rays: &rays,
            size,
        };
        let samples: Vec<Sample> = (0..rays.len()).map(|index| depth.sample(index)).collect();
        let farthest = samples.iter().map(|sample| sample.depth);
        let area = frame.intrinsics[(0, 0)] * frame.intrinsics[(1, 1)];
        Self {
            pose: frame.pose,
            lens: Lens::new(&frame.intrinsics, frame.distortion, &reach),
            farthest: farthest.fold(0.0, f32::max),
            pixel: area.sqrt().recip() as f32,
            image: frame.image,
            samples,
            rays,
            reach,
            size,
        }
    }

    /// Side of the square that a pixel shows at a depth.
    pub fn footprint(&self, depth: f32) -> f32 {
        depth * self.pixel
    }

    /// Depth and position of every `stride`-th pixel of every `stride`-th row that sees something.
    pub fn points(&self, stride: usize) -> impl Iterator<Item = (f32, Vector3<f64>)> + '_ {
        let columns = self.size.columns();
        let rows = (0..self.size.rows()).step_by(stride);
        let indices = rows.flat_map(move |row| {
            let columns = (0..columns).step_by(stride);
            columns.map(move |column| row * self.size.columns() + column)
        });
        indices.filter_map(|index| {
            let depth = self.samples.get(index)?.depth;
            let [x, y] = *self.rays.get(index)?;
            (depth > 0.0).then(|| {
                let ray = Vector3::new(f64::from(x), f64::from(y), 1.0);
                let seen = self.pose * nalgebra::Point3::from(ray * f64::from(depth));
                (depth, seen.coords)
            })
        })
    }

    /// What is seen at a place between pixels, and the nearest pixel; `None` if that sees nothing.
    pub fn at(&self, [u, v]: [f32; 2]) -> Option<(Sample, usize)> {
        let (width, height) = (self.size.columns(), self.size.rows());
        // Also refuses NaN.
        if !(u > -0.5 && v > -0.5 && u < width as f32 - 0.5 && v < height as f32 - 0.5) {
            return None;
        }
        let (left, top) = (u.floor(), v.floor());
        let (right, down) = (u - left, v - top);
        let nearest = [(u + 0.5) as usize, (v + 0.5) as usize];
        let nearest = nearest[1] * width + nearest[0];
        let sample = *self.samples.get(nearest)?;
        if sample.depth <= 0.0 {
            return None;
        }
        let depth = (left >= 0.0 && top >= 0.0)
            .then(|| self.between([left as usize, top as usize], [right, down]))
            .flatten();
        let depth = depth.unwrap_or(sample.depth);
        Some((Sample { depth, ..sample }, nearest))
    }

    /// The bilinear depth between four pixels that all see something.
    fn between(&self, [left, top]: [usize; 2], [right, down]: [f32; 2]) -> Option<f32> {
        let width = self.size.columns();
        if left + 1 >= width {
            return None;
        }
        let first = top * width + left;
        let &[a, b] = self.samples.get(first..first + 2)?.first_chunk()?;
        let below = first + width;
        let &[c, d] = self.samples.get(below..below + 2)?.first_chunk()?;
        let depths = [a, b, c, d].map(|sample| sample.depth);
        depths.iter().all(|&depth| depth > 0.0).then(|| {
            let above = depths[0] + (depths[1] - depths[0]) * right;
            let below = depths[2] + (depths[3] - depths[2]) * right;
            above + (below - above) * down
        })
    }
}

/// From the plane at depth 1 of a camera to its pixels.
pub struct Lens {
    /// The first two rows of the intrinsics.
    rows: [[f32; 3]; 2],
    distortion: [f32; 2],
    /// The square of the largest radius in the image. Beyond it a distorted image may fold back.
    reach: f32,
}

impl Lens {
    fn new(intrinsics: &Matrix3<f64>, distortion: Distortion, reach: &[[f32; 2]; 2]) -> Self {
        let row = |row| [0, 1, 2].map(|column| intrinsics[(row, column)] as f32);
        let farthest = reach.map(|[low, high]| low.abs().max(high.abs()));
        Self {
            rows: [row(0), row(1)],
            distortion: distortion.coefficients().map(|value| value as f32),
            reach: farthest[0].powi(2) + farthest[1].powi(2),
        }
    }

    /// The pixel of a point of the plane at depth 1; `None` outside the image of a distorted camera.
    pub fn pixel(&self, [x, y]: [f32; 2]) -> Option<[f32; 2]> {
        let [k1, k2] = self.distortion;
        let squared = x * x + y * y;
        if squared > self.reach {
            return None;
        }
        let factor = 1.0 + squared * (k1 + squared * k2);
        let (x, y) = (x * factor, y * factor);
        Some(self.rows.map(|[a, b, c]| a * x + b * y + c))
    }
}

/// Where the rays of the pixels meet the plane at depth 1; NaN where nothing appears.
fn rays(frame: &DepthFrame, size: FrameSize) -> Vec<[f32; 2]> {
    let Some(inverse) = frame.intrinsics.try_inverse() else {
        return vec![[f32::NAN; 2]; frame.depth.len()];
    };
    let pixels = (0..size.height).flat_map(|v| (0..size.width).map(move |u| [u, v]));
    let rays = pixels.map(|[u, v]| {
        let seen = inverse * Vector3::new(f64::from(u), f64::from(v), 1.0);
        let seen = [seen.x / seen.z, seen.y / seen.z];
        let ray = match frame.distortion.is_none() {
            true => seen,
            false => frame.distortion.undistort(seen).unwrap_or([f64::NAN; 2]),
        };
        ray.map(|value| value as f32)
    });
    rays.collect()
}

/// A depth map with its rays.
struct Depths<'a> {
    depth: &'a [f32],
    rays: &'a [[f32; 2]],
    size: FrameSize,
}

impl Depths<'_> {
    fn sample(&self, index: usize) -> Sample {
        let cosine = self.cosine(index).filter(|cosine| *cosine >= MIN_COSINE);
        cosine.map_or(Sample::default(), |cosine| Sample {
            depth: self.depth[index],
            cosine,
        })
    }

    /// The cosine of the angle between the ray of a pixel and the normal, by the neighbours that see something.
    fn cosine(&self, index: usize) -> Option<f32> {
        let (width, height) = (self.size.columns(), self.size.rows());
        let (column, row) = (index % width, index / width);
        let here = self.point(index)?;
        let along = |before: Option<usize>, after: Option<usize>| {
            let before = before.and_then(|index| self.point(index)).unwrap_or(here);
            let after = after.and_then(|index| self.point(index)).unwrap_or(here);
            after - before
        };
        let right = along(
            (column > 0).then(|| index - 1),
            (column + 1 < width).then(|| index + 1),
        );
        let down = along(
            (row > 0).then(|| index - width),
            (row + 1 < height).then(|| index + width),
        );
        let normal = right.cross(&down);
        let cosine = normal.dot(&here).abs() / (normal.norm() * here.norm());
        // Without neighbours in both directions it is NaN.
        cosine.is_finite().then_some(cosine)
    }

    fn point(&self, index: usize) -> Option<Vector3<f32>> {
        let (&depth, &[x, y]) = (self.depth.get(index)?, self.rays.get(index)?);
        (depth > 0.0 && x.is_finite()).then(|| Vector3::new(x, y, 1.0) * depth)
    }
}
