//! A finished reconstruction, as the file writers read it.

use std::io;

use ::image::RgbImage;
use nalgebra::{Isometry3, Similarity3};
use serde::{Deserialize, Serialize};

use super::glb::GlbError;
use crate::cloud::{FrameCloud, FrameMap, Scene, SceneCamera, View};
use crate::geometry::FrameSize;
use crate::prediction::Camera;
use crate::surface::SurfaceError;

/// Added to pixel coordinates for COLMAP and nerfstudio, where (0, 0) is the corner of the top left
/// pixel. In this crate it is the centre.
pub(super) const PIXEL_CENTRE: f64 = 0.5;

/// A reconstruction to write.
#[derive(Clone, Copy)]
pub struct Reconstruction<'a> {
    pub cameras: &'a Cameras,
    /// Depth, confidence, image and points of each frame.
    pub frames: &'a dyn FrameData,
}

/// The cameras of a reconstruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cameras {
    image_size: FrameSize,
    cameras: Vec<SceneCamera>,
    world_to_glb: Similarity3<f64>,
}

impl Cameras {
    /// The cameras of a scene.
    pub fn of(scene: &Scene) -> Self {
        Self {
            image_size: scene.image_size,
            cameras: scene.cameras.clone(),
            world_to_glb: scene.world_to_glb,
        }
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.cameras.len()
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.cameras.is_empty()
    }

    /// Processed size of the frames.
    pub fn image_size(&self) -> FrameSize {
        self.image_size
    }

    /// One for each frame, in the order of the frames.
    pub fn all(&self) -> &[SceneCamera] {
        &self.cameras
    }

    /// From the world of the cameras to GLB coordinates.
    pub fn world_to_glb(&self) -> &Similarity3<f64> {
        &self.world_to_glb
    }
}

/// The large parts of a reconstruction, one frame at a time. `frame` counts from 0.
pub trait FrameData {
    /// Number of points of a frame.
    fn point_count(&self, frame: usize) -> usize;

    /// Row-major indices of the pixels that are points, in ascending order.
    ///
    /// # Errors
    /// Those of the storage; the other methods likewise.
    fn pixels(&self, frame: usize) -> io::Result<Vec<u32>>;

    /// z in camera coordinates, row-major.
    ///
    /// # Errors
    /// As above.
    fn depth(&self, frame: usize) -> io::Result<Vec<f32>>;

    /// Confidence, row-major.
    ///
    /// # Errors
    /// As above.
    fn confidence(&self, frame: usize) -> io::Result<Vec<f32>>;

    /// The processed image.
    ///
    /// # Errors
    /// As above.
    fn image(&self, frame: usize) -> io::Result<RgbImage>;
}

/// A point of the cloud.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// In GLB coordinates.
    pub position: [f32; 3],
    /// sRGB.
    pub color: [u8; 3],
    /// Confidence of its pixel.
    pub confidence: f32,
    /// Row-major index of its pixel in the frame.
    pub pixel: u32,
}

/// A frame that the model registered.
#[derive(Debug, Clone, Copy)]
pub struct PlacedFrame<'a> {
    /// Index of the frame in the reconstruction.
    pub index: usize,
    pub camera: &'a SceneCamera,
    /// Camera-to-GLB pose with OpenCV camera axes (x right, y down, z forward).
    pub pose: Isometry3<f64>,
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The data of the reconstruction cannot be read.
    #[error("a stored part of the result cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The new file cannot be written.
    #[error("the file could not be written: {0}")]
    Write(#[from] io::Error),
    #[error("the archive could not be written: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("the LAS file could not be written: {0}")]
    Las(#[from] las::Error),
    #[error("the E57 file could not be written: {0}")]
    E57(#[from] e57::Error),
    #[error("the GLB file could not be written: {0}")]
    Glb(#[from] GlbError),
    /// The result has no surface.
    #[error("there is no mesh: {0}")]
    Surface(#[from] SurfaceError),
    #[error("an image could not be written: {0}")]
    Image(#[from] ::image::ImageError),
    #[error("the description could not be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl<'a> Reconstruction<'a> {
    /// The registered frames, in their order. Only they have points.
    pub fn placed(&self) -> impl Iterator<Item = PlacedFrame<'a>> + use<'a> {
        self.cameras
            .cameras
            .iter()
            .enumerate()
            .filter_map(|(index, camera)| {
                let pose = camera.pose?;
                let matrix = pose.to_homogeneous();
                matrix
                    .iter()
                    .all(|value| value.is_finite())
                    .then_some(PlacedFrame {
                        index,
                        camera,
                        pose,
                    })
            })
    }

    /// Processed size of the frames.
    pub fn image_size(&self) -> FrameSize {
        self.cameras.image_size
    }

    /// Number of points of all frames.
    pub fn point_count(&self) -> usize {
        self.placed()
            .map(|frame| self.frames.point_count(frame.index))
            .sum()
    }

    /// The points of one frame. The points of all frames, in order, are those of the GLB.
    ///
    /// # Errors
    /// [`WriteError::Read`] if the data cannot be read or is inconsistent.
    pub fn points(&self, frame: &PlacedFrame) -> Result<Vec<Point>, WriteError> {
        let camera = Camera {
            extrinsics: frame.camera.extrinsics,
            intrinsics: frame.camera.intrinsics,
            distortion: frame.camera.distortion,
            registered: true,
        };
        let view = View::from_camera(&camera)
            .ok_or_else(|| WriteError::Read(mismatch("a placed frame has no valid camera")))?;
        let map = FrameMap::new(&view, &self.cameras.world_to_glb, self.image_size());
        let pixels = self.pixels(frame)?;
        let depth = self.depth(frame)?;
        let confidence = self.confidence(frame)?;
        let image = self.image(frame)?;
        let colors: &[[u8; 3]] = image.as_raw().as_chunks().0;
        pixels
            .into_iter()
            .map(|pixel| {
                let index = pixel as usize;
                match (depth.get(index), confidence.get(index), colors.get(index)) {
                    (Some(&depth), Some(&confidence), Some(&color)) => Ok(Point {
                        position: map.point(pixel, self.cameras.image_size.width, depth),
                        color,
                        confidence,
                        pixel,
                    }),
                    _ => Err(WriteError::Read(mismatch("a point lies outside its frame"))),
                }
            })
            .collect()
    }

    /// The points of one frame in its own coordinates; `None` if its camera cannot be inverted.
    ///
    /// # Errors
    /// Those of [`points`](Self::points).
    pub fn frame_cloud(&self, frame: &PlacedFrame) -> Result<Option<FrameCloud>, WriteError> {
        let points = self.points(frame)?.into_iter();
        let points = points.map(|point| (point.position, point.color));
        let world_to_glb = &self.cameras.world_to_glb;
        Ok(FrameCloud::of_points(frame.camera, world_to_glb, points))
    }

    /// Row-major indices of the pixels of a frame that are points.
    ///
    /// # Errors
    /// [`WriteError::Read`] if they cannot be read or their number is wrong.
    pub fn pixels(&self, frame: &PlacedFrame) -> Result<Vec<u32>, WriteError> {
        let pixels = self.frames.pixels(frame.index).map_err(WriteError::Read)?;
        if pixels.len() == self.frames.point_count(frame.index) {
            Ok(pixels)
        } else {
            Err(WriteError::Read(mismatch("points are missing")))
        }
    }

    /// z in camera coordinates of a frame, row-major.
    ///
    /// # Errors
    /// [`WriteError::Read`] if it cannot be read.
    pub fn depth(&self, frame: &PlacedFrame) -> Result<Vec<f32>, WriteError> {
        self.frames.depth(frame.index).map_err(WriteError::Read)
    }

    /// The confidence of a frame, row-major.
    ///
    /// # Errors
    /// [`WriteError::Read`] if it cannot be read.
    pub fn confidence(&self, frame: &PlacedFrame) -> Result<Vec<f32>, WriteError> {
        let confidence = self.frames.confidence(frame.index);
        confidence.map_err(WriteError::Read)
    }

    /// The processed image of a frame.
    ///
    /// # Errors
    /// [`WriteError::Read`] if it cannot be read or has the wrong size.
    pub fn image(&self, frame: &PlacedFrame) -> Result<RgbImage, WriteError> {
        let image = self.frames.image(frame.index).map_err(WriteError::Read)?;
        if FrameSize::of(&image) == self.cameras.image_size {
            Ok(image)
        } else {
            Err(WriteError::Read(mismatch("an image has the wrong size")))
        }
    }
}

pub(super) fn mismatch(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
