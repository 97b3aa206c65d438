//! Errors of cameras and points against ground truth.

use nalgebra::{Matrix3, Matrix4, Point3, Vector3};
use serde_json::Value;

use super::scene::Scene;

/// The cameras of a result, from its metadata.
pub struct Cameras {
    /// World to camera.
    pub extrinsics: Vec<Matrix4<f64>>,
    /// At the processed size, in pixel indices.
    pub intrinsics: Vec<Matrix3<f64>>,
    pub world_to_glb: Matrix4<f64>,
    pub processed_size: [f64; 2],
    /// Index of each frame's photo in the sample scene.
    pub views: Vec<usize>,
}

impl Cameras {
    /// Reads the metadata of a result from photos of the scene.
    pub fn read(metadata: &Value, scene: &Scene) -> Self {
        let list = |name: &str| metadata[name].as_array().expect("a list").clone();
        let names = list("frames");
        Self {
            extrinsics: list("extrinsics").iter().map(matrix4).collect(),
            intrinsics: list("intrinsics")
                .iter()
                .map(|rows| Matrix3::from_row_slice(&numbers(rows)))
                .collect(),
            world_to_glb: matrix4(&metadata["world_to_glb"]),
            processed_size: [0, 1].map(|axis| {
                let size = &metadata["processed_size"][axis];
                size.as_f64().expect("width and height are numbers")
            }),
            views: names
                .iter()
                .map(|name| scene.view(name.as_str().expect("a name is text")))
                .collect(),
        }
    }

    /// Errors of every pair of cameras and of every focal length.
    pub fn pose_errors(&self, scene: &Scene) -> PoseErrors {
        let mut errors = PoseErrors::default();
        for second in 0..self.views.len() {
            let truth = scene.intrinsics;
            for (axis, size) in [scene.width, scene.height].into_iter().enumerate() {
                let scale = self.processed_size[axis] / size as f64;
                let focal = self.intrinsics[second][(axis, axis)];
                errors
                    .focal
                    .push((focal / (truth[(axis, axis)] * scale) - 1.0).abs());
            }
            for first in 0..second {
                let found = relative(&self.extrinsics[first], &self.extrinsics[second]);
                let truth = relative(
                    &scene.extrinsics[self.views[first]],
                    &scene.extrinsics[self.views[second]],
                );
                let turn = rotation(&found).transpose() * rotation(&truth);
                let cosine = ((turn.trace() - 1.0) / 2.0).clamp(-1.0, 1.0);
                errors.rotation.push(cosine.acos().to_degrees());
                let angle = translation(&found).angle(&translation(&truth));
                errors.translation.push(angle.to_degrees());
            }
        }
        errors
    }

    /// Compares points in GLB coordinates with the true depth of the scene, by projecting them into
    /// each view with these cameras.
    pub fn depth_agreement(&self, points: &[Point3<f32>], scene: &Scene) -> DepthAgreement {
        let to_world = self
            .world_to_glb
            .try_inverse()
            .expect("world_to_glb can be inverted");
        let step = (points.len() / 5000).max(1);
        let mut ratios = Vec::new();
        for point in points.iter().step_by(step) {
            let world = to_world.transform_point(&point.cast());
            for (index, &view) in self.views.iter().enumerate() {
                let camera = self.extrinsics[index].transform_point(&world);
                if camera.z <= 0.0 {
                    continue;
                }
                let pixel = self.intrinsics[index] * (camera.coords / camera.z);
                let full = self.at_full_size(pixel, scene);
                if let Some(depth) = scene.depth_at(view, full) {
                    ratios.push(depth / camera.z);
                }
            }
        }
        assert!(ratios.len() > 1000, "only {} points seen", ratios.len());
        let scale = quantile(&mut ratios, 0.5);
        let mut errors: Vec<f64> = ratios
            .iter()
            .map(|ratio| (ratio / scale - 1.0).abs())
            .collect();
        DepthAgreement {
            scale,
            median: quantile(&mut errors, 0.5),
            third_quartile: quantile(&mut errors, 0.75),
        }
    }

    /// For each point, the smallest relative depth error over all views. It is small for every
    /// point on a surface that some view shows, even if other views occlude it. Pixels at a depth
    /// discontinuity may match either depth.
    pub fn best_depth_errors(&self, points: &[Point3<f32>], scene: &Scene) -> Vec<f64> {
        let scale = self.metres_per_unit(scene);
        let to_world = self
            .world_to_glb
            .try_inverse()
            .expect("world_to_glb can be inverted");
        let around = [-1.0, 0.0, 1.0];
        let error = |point: &Point3<f32>| {
            let world = to_world.transform_point(&point.cast());
            let errors = self.views.iter().enumerate().flat_map(|(index, &view)| {
                let camera = self.extrinsics[index].transform_point(&world);
                let pixel = self.intrinsics[index] * (camera.coords / camera.z);
                let seen = around.iter().flat_map(move |dx| {
                    around.map(|dy| self.at_full_size(pixel + Vector3::new(*dx, dy, 0.0), scene))
                });
                seen.filter_map(move |pixel| scene.depth_at(view, pixel))
                    .filter(move |_| camera.z > 0.0)
                    .map(move |depth| (depth / camera.z / scale - 1.0).abs())
            });
            errors.min_by(f64::total_cmp)
        };
        points.iter().filter_map(error).collect()
    }

    /// Metres per unit of the model, from the distances between the cameras.
    fn metres_per_unit(&self, scene: &Scene) -> f64 {
        let (mut metres, mut units) = (0.0, 0.0);
        for second in 0..self.views.len() {
            for first in 0..second {
                let [first_view, second_view] = [self.views[first], self.views[second]];
                let truth = relative(
                    &scene.extrinsics[first_view],
                    &scene.extrinsics[second_view],
                );
                let found = relative(&self.extrinsics[first], &self.extrinsics[second]);
                metres += translation(&truth).norm();
                units += translation(&found).norm();
            }
        }
        metres / units
    }

    /// Converts a pixel of the processed image to a pixel of the photo.
    fn at_full_size(&self, pixel: Vector3<f64>, scene: &Scene) -> [f64; 2] {
        let scale = [
            scene.width as f64 / self.processed_size[0],
            scene.height as f64 / self.processed_size[1],
        ];
        [0, 1].map(|axis| (pixel[axis] + 0.5) * scale[axis] - 0.5)
    }

    /// Camera centres in GLB coordinates.
    pub fn centres_in_glb(&self) -> Vec<Point3<f64>> {
        let centre = |extrinsics: &Matrix4<f64>| {
            let to_world = extrinsics.try_inverse().expect("poses can be inverted");
            self.world_to_glb
                .transform_point(&to_world.transform_point(&Point3::origin()))
        };
        self.extrinsics.iter().map(centre).collect()
    }
}

/// Errors of cameras: angles in degrees, relative errors of focal lengths.
#[derive(Debug, Default)]
pub struct PoseErrors {
    pub rotation: Vec<f64>,
    pub translation: Vec<f64>,
    pub focal: Vec<f64>,
}

/// Errors of points against the true depth, up to one scale for all views.
#[derive(Debug)]
pub struct DepthAgreement {
    /// Metres per unit of the model.
    pub scale: f64,
    /// Median of the relative error.
    pub median: f64,
    /// Third quartile of the relative error; points occluded in a view count as errors there.
    pub third_quartile: f64,
}

/// The quantile of the values; sorts them.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// The largest value.
pub fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// The transform from the first camera's frame to the second's.
fn relative(first: &Matrix4<f64>, second: &Matrix4<f64>) -> Matrix4<f64> {
    second * first.try_inverse().expect("poses can be inverted")
}

fn rotation(pose: &Matrix4<f64>) -> Matrix3<f64> {
    pose.fixed_view::<3, 3>(0, 0).into()
}

fn translation(pose: &Matrix4<f64>) -> Vector3<f64> {
    pose.fixed_view::<3, 1>(0, 3).into()
}

/// The elements of a matrix, row-major.
pub fn numbers(rows: &Value) -> Vec<f64> {
    rows.as_array()
        .expect("rows")
        .iter()
        .flat_map(|row| row.as_array().expect("a row"))
        .map(|number| number.as_f64().expect("a number"))
        .collect()
}

pub fn matrix4(rows: &Value) -> Matrix4<f64> {
    Matrix4::from_row_slice(&numbers(rows))
}
