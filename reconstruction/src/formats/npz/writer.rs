//! Writes NPZ files.

use std::io::{self, Seek, Write};

use nalgebra::{SMatrix, Similarity3};
use zip::ZipWriter;

use super::super::archive::{Archive, Packing};
use super::super::reconstruction::{Reconstruction, WriteError};
use super::npy::{Element, header, text};
use crate::cloud::{Scene, SceneCamera, rows};
use crate::prediction::Prediction;

/// Values that are converted and written together.
const CHUNK: usize = 16 * 1024;

/// Writes a file, one frame at a time.
///
/// # Errors
/// [`WriteError`] if the reconstruction cannot be read or the file cannot be written.
pub fn write_npz<W: Write + Seek>(
    reconstruction: &Reconstruction,
    file: W,
) -> Result<W, WriteError> {
    let mut writer = NpzWriter {
        archive: Archive::new(file),
    };
    let (size, count) = (reconstruction.image_size(), reconstruction.cameras.len());
    let frames = reconstruction.frames;
    let shape = [count, size.rows(), size.columns()];
    let maps = |frame| frames.depth(frame);
    writer.maps("depth", &shape, maps)?;
    writer.maps("confidence", &shape, |frame| frames.confidence(frame))?;
    let cameras = reconstruction.cameras;
    writer.cameras(cameras.all(), cameras.world_to_glb())?;
    let mut points = Vec::with_capacity(reconstruction.point_count() * 2);
    for frame in reconstruction.placed() {
        let index = u32::try_from(frame.index).unwrap_or(u32::MAX);
        let pixels = reconstruction.pixels(&frame)?;
        points.extend(pixels.into_iter().flat_map(|pixel| [index, pixel]));
    }
    writer.points(points.len() / 2, points.into_iter())?;
    writer.archive.finish()
}

/// Writes a result in two steps: the maps of the prediction can be written while the scene is
/// built.
pub struct NpzWriter<W: Write + Seek> {
    archive: Archive<W>,
}

impl<W: Write + Seek> NpzWriter<W> {
    /// Writes depth and confidence.
    ///
    /// # Errors
    /// [`WriteError`] if the file cannot be written.
    pub fn begin(prediction: &Prediction, file: W) -> Result<Self, WriteError> {
        let mut writer = Self {
            archive: Archive::new(file),
        };
        let size = prediction.size;
        let shape = [prediction.len(), size.rows(), size.columns()];
        writer.array("depth", &shape, &prediction.depth)?;
        writer.array("confidence", &shape, &prediction.confidence)?;
        Ok(writer)
    }

    /// Writes the other arrays and returns the file.
    ///
    /// # Errors
    /// [`WriteError`] if the file cannot be written.
    pub fn finish(mut self, scene: &Scene) -> Result<W, WriteError> {
        self.cameras(&scene.cameras, &scene.world_to_glb)?;
        let pixels = scene.pixels.iter().map(|pixel| [pixel.frame, pixel.index]);
        self.points(scene.pixels.len(), pixels.flatten())?;
        self.archive.finish()
    }

    fn cameras(
        &mut self,
        all: &[SceneCamera],
        world_to_glb: &Similarity3<f64>,
    ) -> Result<(), WriteError> {
        let count = all.len();
        let cameras = || all.iter();
        let intrinsics: Vec<f64> = cameras()
            .flat_map(|camera| flat(&camera.intrinsics))
            .collect();
        self.array("intrinsics", &[count, 3, 3], &intrinsics)?;
        let distortion: Vec<f64> = cameras()
            .flat_map(|camera| camera.distortion.coefficients())
            .collect();
        self.array("distortion", &[count, 2], &distortion)?;
        let extrinsics: Vec<f64> = cameras()
            .flat_map(|camera| flat(&camera.extrinsics))
            .collect();
        self.array("extrinsics", &[count, 4, 4], &extrinsics)?;
        let world_to_glb: Vec<f64> = flat(&world_to_glb.to_homogeneous()).collect();
        self.array("world_to_glb", &[4, 4], &world_to_glb)?;
        let registered: Vec<bool> = cameras().map(|camera| camera.pose.is_some()).collect();
        self.array("registered", &[count], &registered)?;
        let names: Vec<&str> = cameras().map(|camera| &*camera.name).collect();
        let (descr, names) = text(&names);
        self.entry("frames", &header(&descr, &[count]), names.len() as u64)?
            .write_all(&names)?;
        Ok(())
    }

    /// Frame and index of each point.
    fn points(
        &mut self,
        count: usize,
        pixels: impl Iterator<Item = u32>,
    ) -> Result<(), WriteError> {
        self.values("points", &[count, 2], count * 2, pixels)
    }

    /// An array of one map for each frame.
    fn maps(
        &mut self,
        name: &str,
        shape: &[usize; 3],
        map: impl Fn(usize) -> io::Result<Vec<f32>>,
    ) -> Result<(), WriteError> {
        let [count, rows, columns] = *shape;
        let header = header(f32::DESCR, shape);
        let bytes = (count * rows * columns * size_of::<f32>()) as u64;
        let file = self.entry(name, &header, bytes)?;
        for frame in 0..count {
            let map = map(frame).map_err(WriteError::Read)?;
            if map.len() != rows * columns {
                return Err(WriteError::Read(io::ErrorKind::InvalidData.into()));
            }
            write_values(file, map.into_iter())?;
        }
        Ok(())
    }

    fn array<T: Element>(
        &mut self,
        name: &str,
        shape: &[usize],
        values: &[T],
    ) -> Result<(), WriteError> {
        self.values(name, shape, values.len(), values.iter().copied())
    }

    fn values<T: Element>(
        &mut self,
        name: &str,
        shape: &[usize],
        count: usize,
        values: impl Iterator<Item = T>,
    ) -> Result<(), WriteError> {
        let bytes = (count * size_of::<T>()) as u64;
        let file = self.entry(name, &header(T::DESCR, shape), bytes)?;
        write_values(file, values)
    }

    fn entry(
        &mut self,
        name: &str,
        header: &[u8],
        bytes: u64,
    ) -> Result<&mut ZipWriter<W>, WriteError> {
        let bytes = header.len() as u64 + bytes;
        let file = self
            .archive
            .entry(&format!("{name}.npy"), Packing::Stored, bytes)?;
        file.write_all(header)?;
        Ok(file)
    }
}

fn write_values<T: Element>(
    file: &mut impl Write,
    values: impl Iterator<Item = T>,
) -> Result<(), WriteError> {
    let mut chunk = Vec::with_capacity(CHUNK * size_of::<T>());
    let mut values = values.peekable();
    while values.peek().is_some() {
        chunk.clear();
        for value in values.by_ref().take(CHUNK) {
            chunk.extend_from_slice(value.to_bytes().as_ref());
        }
        file.write_all(&chunk)?;
    }
    Ok(())
}

fn flat<const R: usize, const C: usize>(
    matrix: &SMatrix<f64, R, C>,
) -> impl Iterator<Item = f64> + use<R, C> {
    rows(matrix).into_iter().flatten()
}
