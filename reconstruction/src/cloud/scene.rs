//! The point cloud of a result: points, colours and cameras in GLB coordinates.

use std::sync::Arc;

use ::image::RgbImage;
use nalgebra::{Isometry3, Matrix3, Matrix4, Similarity3};
use serde::{Deserialize, Serialize};

use super::alignment::Alignment;
use super::confident::ConfidentPixels;
use super::filters::PointFilters;
use super::sample::{Pixel, sample_of, sample_pixels};
use super::statistics::percentile;
use super::unproject::unproject;
use super::world::{FrameSource, Placement, World};
use crate::geometry::{Distortion, FrameSize, Region};
use crate::prediction::Prediction;

/// Depth of a drawn camera, as a fraction of the scene's diagonal.
const CAMERA_SIZE: f64 = 0.03;

/// The scene's diagonal is measured with this many points, at most twice as many.
const DIAGONAL_POINTS: usize = 1 << 20;

const SAMPLE_SEED: u64 = 0;

/// Options of a point cloud.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CloudOptions {
    /// Percentile (0 to 100) of the confidence that a pixel must reach.
    pub conf_thresh_percentile: f64,
    /// Largest number of points.
    pub num_max_points: usize,
    /// Whether to draw the cameras.
    pub show_cameras: bool,
    /// Which points to remove.
    pub filters: PointFilters,
}

/// One frame of a prediction.
#[derive(Debug, Clone, Copy)]
pub struct SceneFrame<'a> {
    /// The same in all results of a session; later frames have larger ones.
    pub id: u64,
    /// The client's name for the image; a label only.
    pub name: &'a Arc<str>,
    /// The processed image, with the size of the prediction.
    pub image: &'a RgbImage,
    /// The part of the source image that the processed image shows.
    pub region: Region,
}

/// A coloured point cloud with its cameras, in GLB coordinates.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Finite positions: x right, y up, z backward.
    pub points: Vec<[f32; 3]>,
    /// sRGB colours of the points.
    pub colors: Vec<[u8; 3]>,
    /// The pixel of each point, ordered by frame and index.
    pub pixels: Vec<Pixel>,
    /// One per frame of the prediction, in its order.
    pub cameras: Vec<SceneCamera>,
    /// Processed size of the frames, which the intrinsics refer to.
    pub image_size: FrameSize,
    /// Depth of a drawn camera, in GLB units.
    pub camera_size: f64,
    /// Whether to draw the cameras.
    pub show_cameras: bool,
    /// From the world of this model run to GLB coordinates.
    pub world_to_glb: Similarity3<f64>,
    /// How this result was aligned with the session's world.
    pub alignment: Alignment,
    /// Every point has at least this confidence.
    pub confidence_threshold: f32,
}

/// The camera of a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneCamera {
    pub id: u64,
    pub name: Arc<str>,
    /// Maps camera coordinates to pixel indices of the processed image.
    pub intrinsics: Matrix3<f64>,
    /// Distortion of the processed image.
    pub distortion: Distortion,
    /// World-to-camera transform in the world of this model run.
    pub extrinsics: Matrix4<f64>,
    /// Camera-to-GLB pose, with OpenCV camera axes (x right, y down, z forward) and without the
    /// scale of [`Scene::world_to_glb`]. `None` if the model did not register the frame.
    pub pose: Option<Isometry3<f64>>,
}

/// Why a scene could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    #[error("the prediction has {predicted} frames, but {given} frames were given")]
    FrameCount { predicted: usize, given: usize },
    #[error("the prediction has {found} values of {what} where {expected} belong")]
    BufferSize {
        what: &'static str,
        found: usize,
        expected: usize,
    },
    #[error("frame {frame} is an image of {image} pixels, but the prediction is {predicted}")]
    ImageSize {
        frame: usize,
        image: FrameSize,
        predicted: FrameSize,
    },
    #[error("{0} pixels in a frame are more than can be numbered; lower the resolution")]
    TooManyPixels(usize),
}

/// Builds the scene of a prediction and aligns it with the session's world. `frames` has one frame
/// per frame of the prediction, in its order. `world` is the world that the call for the session's
/// previous result returned, `None` for the first result.
///
/// Deterministic; parallel on rayon's pool. A prediction without confident pixels gives a scene
/// without points. [Filters](PointFilters) are applied before the number of points is limited;
/// threshold and world are those of all confident pixels.
///
/// # Errors
/// [`CloudError`] if the prediction and the frames do not match.
pub fn build_scene(
    prediction: &Prediction,
    frames: &[SceneFrame],
    world: Option<&World>,
    options: &CloudOptions,
) -> Result<(Scene, World), CloudError> {
    check_frames(prediction, frames)?;
    let pixels = ConfidentPixels::new(prediction, options.conf_thresh_percentile);
    let (world_to_glb, alignment, world) = place_in_world(world, &pixels, frames);

    let mut sample = if options.filters.is_off() {
        sample_pixels(&pixels, options.num_max_points, SAMPLE_SEED)
    } else {
        let images: Vec<_> = frames.iter().map(|frame| frame.image).collect();
        let passing = passing_pixels(&pixels, &images, &options.filters, &world_to_glb);
        sample_of(passing, options.num_max_points, SAMPLE_SEED)
    };
    let mut points = unproject(&pixels, &sample, &world_to_glb);
    remove_invalid(&mut sample, &mut points);
    let colors = colors(&sample, frames);

    let scene = Scene {
        cameras: scene_cameras(&pixels, frames, &world_to_glb),
        image_size: prediction.size,
        camera_size: camera_size(&points),
        show_cameras: options.show_cameras,
        points,
        colors,
        pixels: sample,
        world_to_glb,
        alignment,
        confidence_threshold: pixels.threshold(),
    };
    Ok((scene, world))
}

/// Places a prediction in the session's world: the transform from the world of its cameras to GLB
/// coordinates, how it was aligned, and the world for the next result.
pub(crate) fn place_in_world(
    world: Option<&World>,
    pixels: &ConfidentPixels,
    frames: &[SceneFrame],
) -> (Similarity3<f64>, Alignment, World) {
    let sources: Vec<_> = frames
        .iter()
        .map(|frame| FrameSource {
            id: frame.id,
            region: frame.region,
        })
        .collect();
    let Placement {
        world_to_glb,
        alignment,
        world,
    } = World::place(world, pixels, &sources);
    (world_to_glb, alignment, world)
}

/// The confident pixels that pass the filters, ordered by frame and index.
pub(crate) fn passing_pixels(
    pixels: &ConfidentPixels,
    images: &[&RgbImage],
    filters: &PointFilters,
    world_to_glb: &Similarity3<f64>,
) -> Vec<Pixel> {
    match filters.is_off() {
        true => sample_pixels(pixels, usize::MAX, SAMPLE_SEED),
        false => filters.apply(pixels, images, world_to_glb),
    }
}

/// Checks that a prediction and its frames belong together.
pub(crate) fn check_frames(
    prediction: &Prediction,
    frames: &[SceneFrame],
) -> Result<(), CloudError> {
    if prediction.len() != frames.len() {
        return Err(CloudError::FrameCount {
            predicted: prediction.len(),
            given: frames.len(),
        });
    }
    let per_frame = prediction.pixels_per_frame();
    if u32::try_from(per_frame).is_err() {
        return Err(CloudError::TooManyPixels(per_frame));
    }
    let expected = per_frame * frames.len();
    for (what, found) in [
        ("depth", prediction.depth.len()),
        ("confidence", prediction.confidence.len()),
    ] {
        if found != expected {
            return Err(CloudError::BufferSize {
                what,
                found,
                expected,
            });
        }
    }
    let predicted = prediction.size;
    for (frame, SceneFrame { image, .. }) in frames.iter().enumerate() {
        let image = FrameSize::of(image);
        if image != predicted {
            return Err(CloudError::ImageSize {
                frame,
                image,
                predicted,
            });
        }
    }
    Ok(())
}

/// Removes the points that do not exist or overflow single precision, and their pixels.
fn remove_invalid(sample: &mut Vec<Pixel>, points: &mut Vec<[f32; 3]>) {
    if points.iter().any(|point| point[0].is_nan()) {
        let mut finite = points.iter().map(|point| !point[0].is_nan());
        sample.retain(|_| finite.next().unwrap_or(false));
        points.retain(|point| !point[0].is_nan());
    }
}

fn colors(sample: &[Pixel], frames: &[SceneFrame]) -> Vec<[u8; 3]> {
    let bytes: Vec<&[[u8; 3]]> = frames
        .iter()
        .map(|frame| frame.image.as_raw().as_chunks().0)
        .collect();
    sample
        .iter()
        .map(|pixel| bytes[pixel.frame as usize][pixel.index as usize])
        .collect()
}

/// The cameras of the frames.
pub(crate) fn scene_cameras(
    pixels: &ConfidentPixels,
    frames: &[SceneFrame],
    world_to_glb: &Similarity3<f64>,
) -> Vec<SceneCamera> {
    let predicted = pixels.prediction().cameras.iter().zip(pixels.views());
    frames
        .iter()
        .zip(predicted)
        .map(|(frame, (camera, view))| SceneCamera {
            id: frame.id,
            name: frame.name.clone(),
            intrinsics: camera.intrinsics,
            distortion: camera.distortion,
            extrinsics: camera.extrinsics,
            pose: view
                .as_ref()
                .map(|view| (world_to_glb * view.camera_to_world).isometry),
        })
        .collect()
}

/// Depth of a drawn camera among these points, in their units.
pub(crate) fn camera_size(points: &[[f32; 3]]) -> f64 {
    CAMERA_SIZE * diagonal(points).unwrap_or(1.0)
}

/// Diagonal of the box between the 5th and the 95th percentile along each axis. `None` without at
/// least two different points.
fn diagonal(points: &[[f32; 3]]) -> Option<f64> {
    let step = (points.len() / DIAGONAL_POINTS).max(1);
    let mut squared = 0.0;
    for axis in 0..3 {
        let mut values: Vec<f32> = points.iter().step_by(step).map(|p| p[axis]).collect();
        let low = percentile(&mut values, 5.0)?;
        let high = percentile(&mut values, 95.0)?;
        squared += (f64::from(high) - f64::from(low)).powi(2);
    }
    let diagonal = squared.sqrt();
    (diagonal > 0.0).then_some(diagonal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonal_ignores_far_outliers() {
        let mut points: Vec<_> = (0..=100).map(|i| [i as f32, 2.0 * i as f32, 5.0]).collect();
        points[0] = [-1e30; 3];
        let expected = (90.0_f64.powi(2) + 180.0_f64.powi(2)).sqrt();
        assert!((diagonal(&points).unwrap() - expected).abs() < 1e-6);
        assert_eq!(diagonal(&[]), None);
        assert_eq!(diagonal(&[[1.0; 3]; 4]), None);
    }

    #[test]
    fn points_and_pixels_are_removed_together() {
        let pixel = |index| Pixel { frame: 0, index };
        let mut sample = vec![pixel(3), pixel(5), pixel(8)];
        let mut points = vec![[1.0; 3], [f32::NAN; 3], [2.0; 3]];
        remove_invalid(&mut sample, &mut points);
        assert_eq!(sample, [pixel(3), pixel(8)]);
        assert_eq!(points, [[1.0; 3], [2.0; 3]]);
    }
}
