//! Zip files whose bytes depend on nothing but their content.

use std::io::{Cursor, Seek, Write};

use ::image::codecs::png::{CompressionType, FilterType, PngEncoder};
use ::image::{ExtendedColorType, ImageEncoder};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::reconstruction::{Reconstruction, WriteError};

/// How an entry is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Stored,
    /// Compressed, at the level that costs least time.
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

    /// Begins an entry; what is written from now on is its content. `bytes` is an upper bound of
    /// its size: entries beyond 4 GiB need fields of 64 bits.
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

    /// Writes the images of the placed frames, with these names, into the folder `images`.
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

    /// Writes the directory and gives the file back.
    pub fn finish(self) -> Result<W, WriteError> {
        Ok(self.zip.finish()?)
    }
}
