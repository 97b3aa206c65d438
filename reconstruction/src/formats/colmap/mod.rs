//! A zip file of a COLMAP model (<https://colmap.github.io/format.html>):
//!
//! ```text
//! sparse/0/{cameras,images,points3D}.bin    the binary model, where tools look for it
//! text/{cameras,images,points3D}.txt        the same as text
//! images/*.png                              the processed images
//! ```
//!
//! Frames that the model could not place are left out. Each of the others is an image with a
//! `PINHOLE` camera of its own; both have the number of the frame, counted from 1. Poses are
//! world-to-camera (x right, y down, z forward), where the world is that of the GLB. The centre of
//! the top left pixel is (0.5, 0.5), half a pixel more than in the intrinsics of the metadata.
//!
//! The 3D points are those of the GLB, numbered from 1 in its order. Each is observed at the pixel
//! that it was made of, so its track has one element and its reprojection error is 0.

mod binary;
mod text;

use std::io::{Seek, Write};

use super::archive::{Archive, Packing};
use super::file_names::file_names;
use super::reconstruction::{PIXEL_CENTRE, PlacedFrame, Reconstruction, WriteError};

/// An image of the model with its camera.
struct ModelImage<'a> {
    frame: PlacedFrame<'a>,
    /// Of the image and of its camera.
    id: u32,
    name: String,
    /// `PINHOLE`: fx, fy, cx, cy.
    parameters: [f64; 4],
    /// World-to-camera rotation as w, x, y, z.
    rotation: [f64; 4],
    /// World-to-camera translation.
    translation: [f64; 3],
    /// Its points have numbers from this one on.
    first_point: u64,
    points: usize,
}

/// All but the points and pixels.
struct Model<'a> {
    reconstruction: &'a Reconstruction<'a>,
    images: Vec<ModelImage<'a>>,
    points: u64,
}

/// Writes one of the model's files.
type WriteFile = fn(&Model, &mut dyn Write) -> Result<(), WriteError>;

/// Writes the archive and gives the file back.
///
/// # Errors
/// [`WriteError`] if the reconstruction cannot be read or the file cannot be written.
pub fn write_colmap<W: Write + Seek>(
    reconstruction: &Reconstruction,
    file: W,
) -> Result<W, WriteError> {
    let model = Model::new(reconstruction);
    let mut archive = Archive::new(file);
    let bytes = model.size_bound();
    let binary: [(&str, WriteFile); 3] = [
        ("cameras", binary::cameras),
        ("images", binary::images),
        ("points3D", binary::points),
    ];
    for (name, write) in binary {
        let path = format!("sparse/0/{name}.bin");
        write(&model, archive.entry(&path, Packing::Deflated, bytes)?)?;
    }
    let text: [(&str, WriteFile); 3] = [
        ("cameras", text::cameras),
        ("images", text::images),
        ("points3D", text::points),
    ];
    for (name, write) in text {
        let path = format!("text/{name}.txt");
        write(&model, archive.entry(&path, Packing::Deflated, bytes)?)?;
    }
    let names: Vec<_> = model.images.into_iter().map(|image| image.name).collect();
    archive.images(reconstruction, &names)?;
    archive.finish()
}

impl<'a> Model<'a> {
    fn new(reconstruction: &'a Reconstruction<'a>) -> Self {
        let names = file_names(reconstruction.placed().map(|frame| &*frame.camera.name));
        let mut next_point = 1;
        let images = reconstruction
            .placed()
            .zip(names)
            .map(|(frame, name)| {
                let points = reconstruction.frames.point_count(frame.index);
                let image = ModelImage::new(frame, name, next_point, points);
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

    /// An upper bound of the size of each file in bytes.
    fn size_bound(&self) -> u64 {
        /// More than a point takes in the longest of the files.
        const POINT: u64 = 256;
        /// More than an image takes without its points.
        const IMAGE: u64 = 1024;
        IMAGE * (1 + self.images.len() as u64) + POINT * self.points
    }
}

impl<'a> ModelImage<'a> {
    fn new(frame: PlacedFrame<'a>, name: String, first_point: u64, points: usize) -> Self {
        let intrinsics = &frame.camera.intrinsics;
        let to_camera = frame.pose.inverse();
        let rotation = to_camera.rotation.quaternion();
        Self {
            frame,
            // Never more than `max_images`, which is a u32.
            id: u32::try_from(frame.index + 1).unwrap_or(u32::MAX),
            name,
            parameters: [
                intrinsics[(0, 0)],
                intrinsics[(1, 1)],
                intrinsics[(0, 2)] + PIXEL_CENTRE,
                intrinsics[(1, 2)] + PIXEL_CENTRE,
            ],
            rotation: [rotation.w, rotation.i, rotation.j, rotation.k],
            translation: to_camera.translation.vector.into(),
            first_point,
            points,
        }
    }

    /// Where a pixel is, in COLMAP's coordinates.
    fn place(pixel: u32, width: u32) -> [f64; 2] {
        [pixel % width, pixel / width].map(|index| f64::from(index) + PIXEL_CENTRE)
    }
}
