//! The images of another session, taken over without an upload.

use std::sync::Arc;

use pointstream_reconstruction::image::ProcessResMethod;
use tokio::sync::Semaphore;

use super::context::Context;
use super::envelope::Envelope;
use super::image_outcome::StoredImage;
use super::image_store::{self, ImageSource, SourceCamera};
use super::ledger::{Image, Ledger};
use super::message::SessionMessage;
use crate::blobs::{BlobKey, BlobName};
use crate::errors::TakeOverError;
use crate::ids::{ClientId, SessionId};
use crate::mailbox::{Reply, answer};
use crate::session_config::SessionConfig;
use crate::upload_memory::UploadMemory;

/// Images that are made anew at the same time. Others may upload meanwhile.
const AT_ONCE: usize = 4;
/// No client has this number.
const NOBODY: ClientId = 0;

/// The stored images of a session, for another one.
#[derive(Debug)]
pub(crate) struct StoredImages {
    session: SessionId,
    preparation: FramePreparation,
    images: Vec<Image>,
}

/// What frames depend on, beside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FramePreparation {
    pub process_res: u32,
    pub method: ProcessResMethod,
}

impl FramePreparation {
    pub fn of(config: &SessionConfig) -> Self {
        Self {
            process_res: config.process_res,
            method: config.process_res_method,
        }
    }
}

impl StoredImages {
    pub(super) fn of(session: SessionId, ledger: &Ledger) -> Self {
        Self {
            session,
            preparation: FramePreparation::of(ledger.config()),
            images: ledger.images().to_vec(),
        }
    }

    /// The sender of each image, for the new session: its labels, and nobody who waits for an answer.
    pub(super) fn envelopes(&self) -> Vec<Envelope> {
        let permits = Arc::new(Semaphore::new(self.images.len()));
        let envelopes = self.images.iter().filter_map(|image| {
            Some(Envelope {
                client: NOBODY,
                id: image.id.clone(),
                filename: Some(image.name.to_string()),
                permit: permits.clone().try_acquire_owned().ok()?,
            })
        });
        envelopes.collect()
    }

    /// Takes the images over under these numbers, in the background. The files are shared before
    /// the reply, so that the other session may end then. Frames that depend on other parameters
    /// are made anew.
    pub(super) fn take_over(
        self,
        context: &Context,
        config: &SessionConfig,
        memory: UploadMemory,
        numbers: Vec<u64>,
        reply: Reply<Result<(), TakeOverError>>,
    ) {
        let (context, config) = (context.clone(), config.clone());
        tokio::spawn(async move {
            let same_frames = self.preparation == FramePreparation::of(&config);
            let linking = context.clone();
            let (session, images) = (self.session, self.images);
            let linked = context.computing.run(context.owner(), move || {
                for (image, &number) in images.iter().zip(&numbers) {
                    link(&linking, session, BlobName::Original, image.number, number)?;
                    if same_frames {
                        link(&linking, session, BlobName::Prepared, image.number, number)?;
                    }
                }
                Ok::<_, std::io::Error>((images, numbers))
            });
            let linked = match linked.await {
                Ok(Ok(linked)) => linked,
                Ok(Err(error)) => return answer(reply, Err(TakeOverError::Files(error))),
                Err(error) => {
                    return answer(reply, Err(TakeOverError::Internal(error.to_string())));
                }
            };
            answer(reply, Ok(()));
            let turns = Arc::new(Semaphore::new(AT_ONCE));
            for (image, number) in linked.0.into_iter().zip(linked.1) {
                if same_frames {
                    let outcome = Ok(StoredImage {
                        bytes: image.bytes,
                        size: image.size,
                        has_hidden: image.has_hidden,
                        camera: image.camera,
                        statistics: image.statistics,
                        hint: image.hint,
                    });
                    let settled = SessionMessage::UploadSettled { number, outcome };
                    context.mailbox.notify(settled);
                    continue;
                }
                let camera = image.camera.map(|camera| SourceCamera::OfFrame {
                    camera: Box::new(camera),
                    size: image.size,
                    preparation: self.preparation,
                });
                let source = ImageSource::Stored {
                    camera: camera.unwrap_or(SourceCamera::OfPhoto(None)),
                };
                // The file is read into memory, as that of an upload is.
                let size = usize::try_from(image.bytes).unwrap_or(usize::MAX);
                let mut lease = memory.lease();
                let begin = async {
                    let turn = turns.clone().acquire_owned().await;
                    lease.grow(size, Some(size), size).await;
                    turn
                };
                let turn = tokio::select! {
                    biased;
                    // Nobody wants the others any more.
                    () = context.ended.cancelled() => return,
                    turn = begin => turn,
                };
                image_store::store(&context, &config, number, source, (lease, turn));
            }
        });
    }
}

/// Shares a blob of another session.
fn link(
    context: &Context,
    session: SessionId,
    name: fn(u64) -> BlobName,
    from: u64,
    to: u64,
) -> std::io::Result<()> {
    let from = BlobKey {
        session,
        name: name(from),
    };
    context.blobs.link(&from, &context.key(name(to)))
}
