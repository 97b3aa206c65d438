//! Writes NPZ files.

use std::io::{Seek, Write};

use nalgebra::SMatrix;
use zip::ZipWriter;

use super::super::archive::{Archive, Packing};
use super::super::reconstruction::WriteError;
use super::npy::{Element, header, text};
use crate::cloud::{Scene, rows};
use crate::prediction::Prediction;

/// Values that are converted and written together.
const CHUNK: usize = 16 * 1024;

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
        let count = scene.cameras.len();
        let cameras = || scene.cameras.iter();
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
        let world_to_glb: Vec<f64> = flat(&scene.world_to_glb.to_homogeneous()).collect();
        self.array("world_to_glb", &[4, 4], &world_to_glb)?;
        let registered: Vec<bool> = cameras().map(|camera| camera.pose.is_some()).collect();
        self.array("registered", &[count], &registered)?;
        let names: Vec<&str> = cameras().map(|camera| &*camera.name).collect();
        let (descr, names) = text(&names);
        self.entry("frames", &header(&descr, &[count]), names.len() as u64)?
            .write_all(&names)?;
        let pixels = scene.pixels.iter().map(|pixel| [pixel.frame, pixel.index]);
        self.values(
            "points",
            &[scene.pixels.len(), 2],
            scene.pixels.len() * 2,
            pixels.flatten(),
        )?;
        self.archive.finish()
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

fn flat<const R: usize, const C: usize>(
    matrix: &SMatrix<f64, R, C>,
) -> impl Iterator<Item = f64> + use<R, C> {
    rows(matrix).into_iter().flatten()
}
