//! The photos that the frames of a result were made of.

use std::io;

use image::RgbImage;
use pointstream_reconstruction::formats::Photos;
use pointstream_reconstruction::geometry::{FrameSize, Region};
use pointstream_reconstruction::image::{DecodingNeed, decode, processed_region};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::adopt::FramePreparation;
use super::context::Context;
use crate::blobs::{BlobKey, BlobName};
use crate::decode_memory::DecodeLease;
use crate::jobs::JobFrame;

/// The photos of frames that were cropped to one size, until the writing is cancelled. They are read on a
/// thread that may block.
pub(super) struct PhotosOfFrames<'a> {
    pub context: &'a Context,
    /// How the frames were made of the photos.
    pub preparation: FramePreparation,
    pub frames: &'a [JobFrame],
    pub size: FrameSize,
    pub cancelled: &'a CancellationToken,
}

impl PhotosOfFrames<'_> {
    /// Waits for memory.
    fn lease(&self, need: u64) -> io::Result<DecodeLease> {
        let context = self.context;
        let most = context.decoding.limit();
        let need = usize::try_from(need).ok().filter(|need| *need <= most);
        let need = need.ok_or_else(|| {
            io::Error::other(format!(
                "a photo is too large to be written at full resolution with the {most} bytes of memory for \
                 decoding; fetch the format with the processed images"
            ))
        })?;
        Handle::current().block_on(async {
            tokio::select! {
                biased;
                () = self.cancelled.cancelled() => {
                    Err(io::Error::other("nobody waits for the file any more"))
                }
                lease = context.decoding.take(context.owner(), need) => {
                    lease.map_err(io::Error::other)
                }
            }
        })
    }
}

impl Photos for PhotosOfFrames<'_> {
    fn read(&self, frame: usize, take: &mut dyn FnMut(RgbImage, Region)) -> io::Result<()> {
        let FramePreparation {
            process_res,
            method,
        } = self.preparation;
        let frame = self.frames.get(frame).ok_or(io::ErrorKind::NotFound)?;
        let BlobKey {
            session,
            name: BlobName::Prepared(number),
        } = frame.blob
        else {
            return Err(io::Error::other(format!("{} is no frame", frame.blob)));
        };
        let limits = &self.context.settings.image_limits;
        let name = BlobName::Original(number);
        let file = self.context.blobs.view(&BlobKey { session, name })?;
        let need = {
            let _lease = self.lease(file.len() as u64)?;
            let header = DecodingNeed::of(&file.read()?, limits).map_err(io::Error::other)?;
            header.with_copy().saturating_add(file.len() as u64)
        };
        let _lease = self.lease(need)?;
        let photo = decode(&file.read()?, limits).map_err(io::Error::other)?;
        let size = FrameSize::of(&photo.image);
        let processed = processed_region(size, process_res, method, frame.size);
        let cropped = Region::of_center_crop(frame.size, self.size);
        take(photo.image, processed.of_part(cropped));
        Ok(())
    }
}
