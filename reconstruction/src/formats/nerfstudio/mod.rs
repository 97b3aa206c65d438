//! A zip file for nerfstudio (<https://docs.nerf.studio/quickstart/data_conventions.html>):
//! `transforms.json`, the images of the registered frames, their depth as NumPy files, and the point
//! cloud as `points.ply`.
//!
//! `transform_matrix` maps camera to GLB coordinates, with OpenGL camera axes (x right, y up, z
//! backward). No transform was applied, so there is no `applied_transform`. Pixel corners are at
//! integers: the centre of the top left pixel is (0.5, 0.5), half a pixel more than in the
//! intrinsics of the metadata. With distortion in any frame, `camera_model` is `OPENCV`. The unit of
//! length is that of the GLB.
//!
//! Depth is z in camera coordinates, as a float of each pixel in thousandths of the GLB's unit, since
//! nerfstudio multiplies it by `depth_unit_scale_factor`, 1e-3 by default. Where it is not known it is
//! 0, which nerfstudio's losses leave out.
//!
//! The images are the processed ones, as PNG, or the photos, as JPEG without distortion. Then the depth is
//! without distortion, too, and 0 where the model has not seen the photo.

use std::io::{Seek, Write};

use serde::Serialize;

use super::archive::{Archive, Packing};
use super::exported::{ExportedImage, Images};
use super::npz::npy::{self, Element as _};
use super::ply;
use super::reconstruction::{PIXEL_CENTRE, PlacedFrame, Reconstruction, WriteError};
use crate::cloud::{KNOWN_CONFIDENCE, axes_flip, rows};
use crate::geometry::Distortion;

const POINTS: &str = "points.ply";
/// Depth of one GLB unit.
const DEPTH_OF_UNIT: f64 = 1000.0;

#[derive(Serialize)]
struct Transforms<'a> {
    camera_model: &'static str,
    ply_file_path: &'static str,
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    file_path: String,
    depth_file_path: String,
    /// The client's name for the image; nerfstudio ignores it.
    original_name: &'a str,
    w: u32,
    h: u32,
    fl_x: f64,
    fl_y: f64,
    cx: f64,
    cy: f64,
    /// For `OPENCV` only.
    #[serde(flatten)]
    distortion: Option<Coefficients>,
    transform_matrix: [[f64; 4]; 4],
}

/// OpenCV's distortion: radial and tangential.
#[derive(Serialize)]
struct Coefficients {
    k1: f64,
    k2: f64,
    p1: f64,
    p2: f64,
}

impl Coefficients {
    fn of(Distortion { k1, k2 }: Distortion) -> Self {
        Self {
            k1,
            k2,
            p1: 0.0,
            p2: 0.0,
        }
    }
}

/// Writes the archive and returns the file.
///
/// # Errors
/// [`WriteError`] if the reconstruction cannot be read or the file cannot be written.
pub fn write_nerfstudio<W: Write + Seek>(
    reconstruction: &Reconstruction,
    images: Images,
    file: W,
) -> Result<W, WriteError> {
    let mut archive = Archive::new(file);
    let exported = archive.images(reconstruction, images)?;
    // One camera model serves all frames.
    let distorted = exported
        .iter()
        .any(|(_, image, _)| !image.lens.distortion.is_none());
    let transforms = Transforms {
        camera_model: if distorted { "OPENCV" } else { "PINHOLE" },
        ply_file_path: POINTS,
        frames: exported
            .iter()
            .map(|(frame, image, name)| describe(frame, image, name, distorted))
            .collect(),
    };
    let json = serde_json::to_vec_pretty(&transforms)?;
    archive
        .entry("transforms.json", Packing::Deflated, json.len() as u64)?
        .write_all(&json)?;
    let bytes = ply::size_bound(reconstruction);
    ply::write_ply(
        reconstruction,
        archive.entry(POINTS, Packing::Stored, bytes)?,
    )?;
    for (frame, image, name) in &exported {
        let depth = depth_file(reconstruction, frame, image)?;
        archive
            .entry(&depth_path(name), Packing::Deflated, depth.len() as u64)?
            .write_all(&depth)?;
    }
    archive.finish()
}

/// The path of an image's depth.
fn depth_path(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    format!("depth/{stem}.npy")
}

/// The depth of a frame's image as a NumPy file of height and width.
fn depth_file(
    reconstruction: &Reconstruction,
    frame: &PlacedFrame,
    image: &ExportedImage,
) -> Result<Vec<u8>, WriteError> {
    let factor = reconstruction.cameras.world_to_glb().scaling() * DEPTH_OF_UNIT;
    let read = |values: std::io::Result<Vec<f32>>| values.map_err(WriteError::Read);
    let depth = read(reconstruction.frames.depth(frame.index))?;
    let confidence = read(reconstruction.frames.confidence(frame.index))?;
    let (size, pixels) = image.depth_map(reconstruction.image_size());
    let mut file = npy::header(f32::DESCR, &[size.rows(), size.columns()]);
    for pixel in pixels {
        let found = pixel.and_then(|pixel| Some((depth.get(pixel)?, confidence.get(pixel)?)));
        let value = match found {
            Some((depth, confidence)) if *confidence >= KNOWN_CONFIDENCE => {
                (f64::from(*depth) * factor) as f32
            }
            _ => 0.0,
        };
        file.extend_from_slice(&value.to_le_bytes());
    }
    Ok(file)
}

fn describe<'a>(
    frame: &PlacedFrame<'a>,
    image: &ExportedImage,
    name: &str,
    distorted: bool,
) -> Frame<'a> {
    let intrinsics = &image.lens.intrinsics;
    Frame {
        file_path: format!("images/{name}"),
        depth_file_path: depth_path(name),
        original_name: &frame.camera.name,
        w: image.size.width,
        h: image.size.height,
        fl_x: intrinsics[(0, 0)],
        fl_y: intrinsics[(1, 1)],
        cx: intrinsics[(0, 2)] + PIXEL_CENTRE,
        cy: intrinsics[(1, 2)] + PIXEL_CENTRE,
        distortion: distorted.then(|| Coefficients::of(image.lens.distortion)),
        transform_matrix: rows(&(frame.pose * axes_flip()).to_homogeneous()),
    }
}
