//! A zip file of a COLMAP model (<https://colmap.github.io/format.html>):
//!
//! ```text
//! sparse/0/{cameras,images,points3D}.bin    the binary model, where tools look for it
//! text/{cameras,images,points3D}.txt        the same model as text
//! images/*                                  the images
//! ```
//!
//! Unregistered frames are left out. Each other frame is an image with a `PINHOLE` camera of its
//! own, `OPENCV` with distortion; both have the number of the frame, counted from 1. Poses are
//! world-to-camera (x right, y down, z forward), where the world is that of the GLB. The centre of
//! the top left pixel is (0.5, 0.5), half a pixel more than in the intrinsics of the metadata.
//!
//! The images are the processed ones, as PNG, or the photos, as JPEG without distortion.
//!
//! The 3D points are those of the GLB, numbered from 1 in its order. Each is observed at its own
//! pixel, so its track has one element and its reprojection error is 0.

mod binary;
mod model;
mod text;

use std::io::{Seek, Write};

use super::archive::{Archive, Packing};
use super::exported::Images;
use super::reconstruction::{Reconstruction, WriteError};
use model::Model;

/// Writes one of the model's files.
type WriteFile = fn(&Model, &mut dyn Write) -> Result<(), WriteError>;

/// Writes the archive and returns the file.
///
/// # Errors
/// [`WriteError`] if the reconstruction cannot be read or the file cannot be written.
pub fn write_colmap<W: Write + Seek>(
    reconstruction: &Reconstruction,
    images: Images,
    file: W,
) -> Result<W, WriteError> {
    let mut archive = Archive::new(file);
    let exported = archive.images(reconstruction, images)?;
    let model = Model::new(reconstruction, exported);
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
    archive.finish()
}
