//! A zip file for nerfstudio (<https://docs.nerf.studio/quickstart/data_conventions.html>):
//! `transforms.json`, the images of the registered frames, and the point cloud as `points.ply`.
//!
//! `transform_matrix` maps camera to GLB coordinates, with OpenGL camera axes (x right, y up, z
//! backward). No transform was applied, so there is no `applied_transform`. Pixel corners are at
//! integers: the centre of the top left pixel is (0.5, 0.5), half a pixel more than in the
//! intrinsics of the metadata. The unit of length is that of the GLB.

use std::io::{Seek, Write};

use serde::Serialize;

use super::archive::{Archive, Packing};
use super::file_names::file_names;
use super::ply;
use super::reconstruction::{PIXEL_CENTRE, PlacedFrame, Reconstruction, WriteError};
use crate::cloud::{axes_flip, rows};
use crate::geometry::FrameSize;

const POINTS: &str = "points.ply";

#[derive(Serialize)]
struct Transforms<'a> {
    camera_model: &'static str,
    ply_file_path: &'static str,
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    file_path: String,
    /// The client's name for the image; nerfstudio ignores it.
    original_name: &'a str,
    w: u32,
    h: u32,
    fl_x: f64,
    fl_y: f64,
    cx: f64,
    cy: f64,
    transform_matrix: [[f64; 4]; 4],
}

/// Writes the archive and returns the file.
///
/// # Errors
/// [`WriteError`] if the reconstruction cannot be read or the file cannot be written.
pub fn write_nerfstudio<W: Write + Seek>(
    reconstruction: &Reconstruction,
    file: W,
) -> Result<W, WriteError> {
    let names = file_names(reconstruction.placed().map(|frame| &*frame.camera.name));
    let transforms = Transforms {
        camera_model: "PINHOLE",
        ply_file_path: POINTS,
        frames: reconstruction
            .placed()
            .zip(&names)
            .map(|(frame, name)| describe(&frame, name, reconstruction.image_size()))
            .collect(),
    };
    let json = serde_json::to_vec_pretty(&transforms)?;
    let mut archive = Archive::new(file);
    archive
        .entry("transforms.json", Packing::Deflated, json.len() as u64)?
        .write_all(&json)?;
    let bytes = ply::size_bound(reconstruction);
    ply::write_ply(
        reconstruction,
        archive.entry(POINTS, Packing::Stored, bytes)?,
    )?;
    archive.images(reconstruction, &names)?;
    archive.finish()
}

fn describe<'a>(frame: &PlacedFrame<'a>, name: &str, size: FrameSize) -> Frame<'a> {
    let intrinsics = &frame.camera.intrinsics;
    Frame {
        file_path: format!("images/{name}"),
        original_name: &frame.camera.name,
        w: size.width,
        h: size.height,
        fl_x: intrinsics[(0, 0)],
        fl_y: intrinsics[(1, 1)],
        cx: intrinsics[(0, 2)] + PIXEL_CENTRE,
        cy: intrinsics[(1, 2)] + PIXEL_CENTRE,
        transform_matrix: rows(&(frame.pose * axes_flip()).to_homogeneous()),
    }
}
