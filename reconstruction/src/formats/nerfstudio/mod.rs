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

use std::io::{Seek, Write};

use serde::Serialize;

use super::archive::{Archive, Packing};
use super::file_names::file_names;
use super::npz::npy::{self, Element as _};
use super::ply;
use super::reconstruction::{PIXEL_CENTRE, PlacedFrame, Reconstruction, WriteError};
use crate::cloud::{KNOWN_CONFIDENCE, axes_flip, rows};
use crate::geometry::{Distortion, FrameSize};

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
    file: W,
) -> Result<W, WriteError> {
    let names = file_names(reconstruction.placed().map(|frame| &*frame.camera.name));
    // One camera model serves all frames.
    let distorted = reconstruction
        .placed()
        .any(|frame| !frame.camera.distortion.is_none());
    let transforms = Transforms {
        camera_model: if distorted { "OPENCV" } else { "PINHOLE" },
        ply_file_path: POINTS,
        frames: reconstruction
            .placed()
            .zip(&names)
            .map(|(frame, name)| describe(&frame, name, reconstruction.image_size(), distorted))
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
    for (frame, name) in reconstruction.placed().zip(&names) {
        let depth = depth_file(reconstruction, &frame)?;
        archive
            .entry(&depth_path(name), Packing::Deflated, depth.len() as u64)?
            .write_all(&depth)?;
    }
    archive.finish()
}

/// The path of an image's depth.
fn depth_path(name: &str) -> String {
    format!("depth/{}.npy", name.strip_suffix(".png").unwrap_or(name))
}

/// The depth of a frame as a NumPy file of its height and width.
fn depth_file(reconstruction: &Reconstruction, frame: &PlacedFrame) -> Result<Vec<u8>, WriteError> {
    let size = reconstruction.image_size();
    let factor = reconstruction.cameras.world_to_glb().scaling() * DEPTH_OF_UNIT;
    let read = |values: std::io::Result<Vec<f32>>| values.map_err(WriteError::Read);
    let depth = read(reconstruction.frames.depth(frame.index))?;
    let confidence = read(reconstruction.frames.confidence(frame.index))?;
    let mut file = npy::header(f32::DESCR, &[size.rows(), size.columns()]);
    for (depth, confidence) in depth.into_iter().zip(confidence) {
        let known = confidence >= KNOWN_CONFIDENCE;
        let value = if known {
            (f64::from(depth) * factor) as f32
        } else {
            0.0
        };
        file.extend_from_slice(&value.to_le_bytes());
    }
    Ok(file)
}

fn describe<'a>(
    frame: &PlacedFrame<'a>,
    name: &str,
    size: FrameSize,
    distorted: bool,
) -> Frame<'a> {
    let intrinsics = &frame.camera.intrinsics;
    Frame {
        file_path: format!("images/{name}"),
        depth_file_path: depth_path(name),
        original_name: &frame.camera.name,
        w: size.width,
        h: size.height,
        fl_x: intrinsics[(0, 0)],
        fl_y: intrinsics[(1, 1)],
        cx: intrinsics[(0, 2)] + PIXEL_CENTRE,
        cy: intrinsics[(1, 2)] + PIXEL_CENTRE,
        distortion: distorted.then(|| Coefficients::of(frame.camera.distortion)),
        transform_matrix: rows(&(frame.pose * axes_flip()).to_homogeneous()),
    }
}
