//! The model: images with their cameras, and which points belong to which image.

use super::super::exported::ExportedImage;
use super::super::reconstruction::{PIXEL_CENTRE, PlacedFrame, Reconstruction};
use crate::geometry::Distortion;

/// An image of the model with its camera.
pub struct ModelImage<'a> {
    pub frame: PlacedFrame<'a>,
    pub exported: ExportedImage,
    /// Identifier of the image and of its camera.
    pub id: u32,
    pub name: String,
    pub model: CameraModel,
    /// fx, fy, cx, cy; for `OPENCV` also k1, k2, p1, p2.
    pub parameters: Vec<f64>,
    /// World-to-camera rotation as w, x, y, z.
    pub rotation: [f64; 4],
    /// World-to-camera translation.
    pub translation: [f64; 3],
    /// Identifier of its first point; the others follow.
    pub first_point: u64,
    pub points: usize,
}

/// COLMAP's camera models for a frame. Both have the distortion act on coordinates relative to the
/// principal point and divided by the focal lengths, as [`Distortion`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameraModel {
    Pinhole,
    /// With two terms of radial and two of tangential distortion.
    OpenCv,
}

impl CameraModel {
    fn of(distortion: Distortion) -> Self {
        match distortion.is_none() {
            true => Self::Pinhole,
            false => Self::OpenCv,
        }
    }

    /// COLMAP's identifier.
    pub fn id(self) -> i32 {
        match self {
            Self::Pinhole => 1,
            Self::OpenCv => 4,
        }
    }

    /// COLMAP's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pinhole => "PINHOLE",
            Self::OpenCv => "OPENCV",
        }
    }
}

/// The images of the model. Points and pixels are read when they are written.
pub struct Model<'a> {
    pub reconstruction: &'a Reconstruction<'a>,
    pub images: Vec<ModelImage<'a>>,
    pub points: u64,
}

impl<'a> Model<'a> {
    /// Of the placed frames, each with its image and the name of that.
    pub fn new(
        reconstruction: &'a Reconstruction<'a>,
        images: impl IntoIterator<Item = (PlacedFrame<'a>, ExportedImage, String)>,
    ) -> Self {
        let mut next_point = 1;
        let images = images
            .into_iter()
            .map(|(frame, exported, name)| {
                let points = reconstruction.frames.point_count(frame.index);
                let image = ModelImage::new(frame, exported, name, next_point, points);
                next_point += points as u64;
                image
            })
            .collect();
        Model {
            reconstruction,
            images,
            points: next_point - 1,
        }
    }

    /// An upper bound of the size of each file, in bytes.
    pub fn size_bound(&self) -> u64 {
        /// Upper bound of the bytes of a point in any file.
        const POINT: u64 = 256;
        /// Upper bound of the bytes of an image without its points.
        const IMAGE: u64 = 1024;
        IMAGE * (1 + self.images.len() as u64) + POINT * self.points
    }
}

impl<'a> ModelImage<'a> {
    fn new(
        frame: PlacedFrame<'a>,
        exported: ExportedImage,
        name: String,
        first_point: u64,
        points: usize,
    ) -> Self {
        let intrinsics = &exported.lens.intrinsics;
        let to_camera = frame.pose.inverse();
        let rotation = to_camera.rotation.quaternion();
        let distortion = exported.lens.distortion;
        let mut parameters = vec![
            intrinsics[(0, 0)],
            intrinsics[(1, 1)],
            intrinsics[(0, 2)] + PIXEL_CENTRE,
            intrinsics[(1, 2)] + PIXEL_CENTRE,
        ];
        let model = CameraModel::of(distortion);
        if model == CameraModel::OpenCv {
            parameters.extend([distortion.k1, distortion.k2, 0.0, 0.0]);
        }
        Self {
            frame,
            exported,
            // Never more than `max_images`, which is a u32.
            id: u32::try_from(frame.index + 1).unwrap_or(u32::MAX),
            name,
            model,
            parameters,
            rotation: [rotation.w, rotation.i, rotation.j, rotation.k],
            translation: to_camera.translation.vector.into(),
            first_point,
            points,
        }
    }

    /// The position of a pixel of the processed image, of this width, in COLMAP's pixel coordinates.
    pub fn place(&self, pixel: u32, width: u32) -> [f64; 2] {
        let index = [pixel % width, pixel / width].map(f64::from);
        self.exported.place(index).map(|index| index + PIXEL_CENTRE)
    }
}
