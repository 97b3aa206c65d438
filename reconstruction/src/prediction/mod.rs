//! The output of a model for a set of frames.

mod file;
mod links;
mod maps;
mod report;
mod tensors;

use nalgebra::{Matrix3, Matrix4, Similarity3};
use serde::{Deserialize, Serialize};

use crate::cloud::{UNKNOWN_CONFIDENCE, View};
use crate::geometry::{Distortion, FrameSize};
use crate::image::HiddenPixels;

pub use file::PredictionFileError;
pub use links::{LINK_NUMBERS, Link, Links};
pub use maps::PredictionMaps;
pub use report::{FrameReport, REPORT_NUMBERS, ReportError, ReportedReason};

/// A predicted camera: a pinhole camera, perhaps with radial distortion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// World-to-camera transform: `x_camera = extrinsics * x_world` (homogeneous). Camera axes are
    /// x right, y down, z forward.
    pub extrinsics: Matrix4<f64>,
    /// Maps camera coordinates to pixel indices: the centre of the top left pixel is (0, 0).
    pub intrinsics: Matrix3<f64>,
    /// Distortion of the image before the intrinsics apply. Depth and confidence have the pixels of
    /// the distorted image.
    pub distortion: Distortion,
    /// False if the model could not relate this frame to the others. Its confidence is then 1
    /// everywhere and its pose has no meaning.
    pub registered: bool,
}

/// Depth, confidence and cameras of `N` frames of one processed size.
///
/// All frames share one world. Its unit of length is arbitrary unless the model's scale is metric.
/// The maps hold the frames one after another, each row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Processed size of every frame.
    pub size: FrameSize,
    /// One camera per frame, in the order of the frames.
    pub cameras: Vec<Camera>,
    /// z in camera coordinates, finite and greater than 0; shape `[N, H, W]`.
    pub depth: Vec<f32>,
    /// At least 1, where 1 means unknown; shape `[N, H, W]`.
    pub confidence: Vec<f32>,
    /// What the model says about each frame, in the order of the frames, if it says anything.
    pub report: Option<Vec<FrameReport>>,
    /// Which features of different frames show the same points, if the model says so. These are all
    /// frames of the run, also those that it had as placed ones: those come first.
    pub links: Option<Links>,
}

impl Prediction {
    /// Number of frames.
    pub fn len(&self) -> usize {
        self.cameras.len()
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.cameras.is_empty()
    }

    /// Brings the frames to another order: `order` has the index of each frame once.
    pub fn reorder(&mut self, order: &[usize]) {
        let maps = |values: &[f32], pixels: usize| {
            let rows = order
                .iter()
                .map(|&frame| frame * pixels..(frame + 1) * pixels);
            rows.flat_map(|row| values[row].iter().copied()).collect()
        };
        let pixels = self.pixels_per_frame();
        self.depth = maps(&self.depth, pixels);
        self.confidence = maps(&self.confidence, pixels);
        self.cameras = order
            .iter()
            .map(|&frame| self.cameras[frame].clone())
            .collect();
        if let Some(report) = &mut self.report {
            *report = order.iter().map(|&frame| report[frame]).collect();
        }
    }

    /// Drops all frames after the first `count`.
    pub fn truncate(&mut self, count: usize) {
        let pixels = self.pixels_per_frame();
        self.depth.truncate(count * pixels);
        self.confidence.truncate(count * pixels);
        self.cameras.truncate(count);
        if let Some(report) = &mut self.report {
            report.truncate(count);
        }
    }

    /// Number of pixels of one frame.
    pub fn pixels_per_frame(&self) -> usize {
        self.size.columns() * self.size.rows()
    }

    /// The depth map of one frame, row-major.
    pub fn frame_depth(&self, frame: usize) -> &[f32] {
        let pixels = self.pixels_per_frame();
        &self.depth[frame * pixels..(frame + 1) * pixels]
    }

    /// The confidence map of one frame, row-major.
    pub fn frame_confidence(&self, frame: usize) -> &[f32] {
        let pixels = self.pixels_per_frame();
        &self.confidence[frame * pixels..(frame + 1) * pixels]
    }

    /// Forgets what is known about the hidden pixels of a frame. They have the size of the frames.
    pub fn hide(&mut self, frame: usize, hidden: &HiddenPixels) {
        let pixels = self.pixels_per_frame();
        let confidence = &mut self.confidence[frame * pixels..(frame + 1) * pixels];
        for (confidence, hidden) in confidence.iter_mut().zip(hidden.iter()) {
            if hidden {
                *confidence = UNKNOWN_CONFIDENCE;
            }
        }
    }

    /// Moves all into another world: the cameras, and depth with its unit of length.
    pub fn transform(&mut self, similarity: &Similarity3<f64>) {
        let scale = similarity.scaling() as f32;
        for depth in &mut self.depth {
            *depth *= scale;
        }
        for camera in &mut self.cameras {
            if let Some(view) = View::from_camera(camera) {
                let camera_to_world = (similarity * view.camera_to_world).isometry;
                camera.extrinsics = camera_to_world.inverse().to_homogeneous();
            }
        }
    }

    /// Makes a frame unregistered.
    pub fn unregister(&mut self, frame: usize) {
        let pixels = self.pixels_per_frame();
        self.cameras[frame].registered = false;
        self.confidence[frame * pixels..(frame + 1) * pixels].fill(UNKNOWN_CONFIDENCE);
    }

    /// Makes all frames unregistered.
    pub fn unregister_all(&mut self) {
        for frame in 0..self.len() {
            self.unregister(frame);
        }
    }

    /// Removes the first `count` frames. Of a report's pieces only that of the registered frames is
    /// left: the others may be of frames that are gone.
    pub fn remove_first(&mut self, count: usize) {
        let pixels = count * self.pixels_per_frame();
        self.cameras.drain(..count.min(self.cameras.len()));
        for maps in [&mut self.depth, &mut self.confidence] {
            maps.drain(..pixels.min(maps.len()));
        }
        if let Some(report) = &mut self.report {
            report.drain(..count.min(report.len()));
            for frame in report {
                frame.piece = frame.piece.filter(|piece| *piece == 0);
            }
        }
    }
}
