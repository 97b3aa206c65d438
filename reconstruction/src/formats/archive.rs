//! Reproducible zip files: the same content gives the same bytes.

use std::io::{Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::exported::{ExportedImage, Images};
use super::file_names::file_names;
use super::reconstruction::{PlacedFrame, Reconstruction, WriteError};

/// How an entry is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not compressed.
    Stored,
    /// Compressed at the fastest level.
    Deflated,
}

/// A zip file that is being written, entry after entry.
pub struct Archive<W: Write + Seek> {
    zip: ZipWriter<W>,
}

impl<W: Write + Seek> Archive<W> {
    pub fn new(file: W) -> Self {
        Self {
            zip: ZipWriter::new(file),
        }
    }

    /// Begins an entry and returns the writer of its content. `bytes` is an upper bound of its
    /// size: entries above 4 GiB need 64-bit fields.
    pub fn entry(
        &mut self,
        name: &str,
        packing: Packing,
        bytes: u64,
    ) -> Result<&mut ZipWriter<W>, WriteError> {
        let options = SimpleFileOptions::default().large_file(bytes >= u64::from(u32::MAX));
        let options = match packing {
            Packing::Stored => options.compression_method(CompressionMethod::Stored),
            Packing::Deflated => options
                .compression_method(CompressionMethod::Deflated)
                .compression_level(Some(1)),
        };
        self.zip.start_file(name, options)?;
        Ok(&mut self.zip)
    }

    /// Writes the images of the placed frames into the folder `images`. Returns each with its name.
    pub fn images<'a>(
        &mut self,
        reconstruction: &Reconstruction<'a>,
        images: Images,
    ) -> Result<Vec<(PlacedFrame<'a>, ExportedImage, String)>, WriteError> {
        let labels = reconstruction.placed().map(|frame| &*frame.camera.name);
        let names = file_names(labels, images.extension());
        let frames = reconstruction.placed().zip(names);
        frames
            .map(|(frame, name)| {
                let (image, file) = images.export(reconstruction, &frame)?;
                let path = format!("images/{name}");
                self.entry(&path, Packing::Stored, file.len() as u64)?
                    .write_all(&file)?;
                Ok((frame, image, name))
            })
            .collect()
    }

    /// Writes the central directory and returns the file.
    pub fn finish(self) -> Result<W, WriteError> {
        Ok(self.zip.finish()?)
    }
}
