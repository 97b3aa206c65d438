//! Reproducible zip files: the same content gives the same bytes.

use std::io::{Cursor, Seek, Write};

use ::image::codecs::png::{CompressionType, FilterType, PngEncoder};
use ::image::{ExtendedColorType, ImageEncoder};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::reconstruction::{Reconstruction, WriteError};

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

    /// Writes the images of the placed frames as PNG into the folder `images`, one name per frame.
    pub fn images(
        &mut self,
        reconstruction: &Reconstruction,
        names: &[String],
    ) -> Result<(), WriteError> {
        for (frame, name) in reconstruction.placed().zip(names) {
            let image = reconstruction.image(&frame)?;
            let mut png = Cursor::new(Vec::new());
            // Lossless, so that points and pixels have the same colours.
            PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive)
                .write_image(
                    image.as_raw(),
                    image.width(),
                    image.height(),
                    ExtendedColorType::Rgb8,
                )?;
            let png = png.into_inner();
            self.entry(&format!("images/{name}"), Packing::Stored, png.len() as u64)?
                .write_all(&png)?;
        }
        Ok(())
    }

    /// Writes the central directory and returns the file.
    pub fn finish(self) -> Result<W, WriteError> {
        Ok(self.zip.finish()?)
    }
}
