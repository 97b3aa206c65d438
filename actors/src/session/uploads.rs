//! Images on their way into a session: stored, acknowledged in order, encoded ahead of time.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::{
    DecodeError, DecodeLimits, PreprocessError, ProcessResMethod, decode, preprocess,
    processed_region,
};
use pointstream_reconstruction::model::KnownCamera;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::Instrument;

use super::connections::Refusal;
use super::{SessionMessage, State};
use crate::connection::ConnectionId;
use crate::event::{LongName, MessageId, SessionEvent, check_name};
use crate::features::FeatureCell;
use crate::memory::MemoryLease;
use crate::metrics::ErrorKind;
use crate::pool::PoolMessage;
use crate::pool::job::{Job, JobFrame, SpooledFrame, Work};
use crate::spool::Spool;
use crate::workshop::WorkFailed;

/// An image that is being stored.
pub(super) struct Upload {
    /// Its number, counted from 1 over all uploads of the session.
    pub number: u64,
    connection: ConnectionId,
    name: Option<String>,
    id: Option<MessageId>,
    permit: OwnedSemaphorePermit,
    outcome: Option<Result<StoredImage, StoreError>>,
}

/// An image that a client has sent.
pub(super) struct NewImage {
    pub bytes: Bytes,
    pub memory: Option<MemoryLease>,
    pub name: Option<String>,
    /// At the image's own size.
    pub camera: Option<Box<KnownCamera>>,
    pub id: Option<MessageId>,
}

/// An image of the session.
pub(super) struct Image {
    /// The number of its upload, which names its files.
    pub number: u64,
    /// The client's name for it, or one made up.
    pub name: String,
    /// What the client called its message.
    pub id: Option<MessageId>,
    /// Size of the file that the client sent.
    pub bytes: u64,
    /// Size of the prepared frame.
    pub size: FrameSize,
    /// The camera of the prepared frame, if the client knows it.
    pub camera: Option<KnownCamera>,
    /// What a worker made of it.
    pub features: Arc<FeatureCell>,
}

/// What storing an image gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredImage {
    bytes: u64,
    size: FrameSize,
    camera: Option<KnownCamera>,
}

/// Why an image is not accepted.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// It is no message of the protocol.
    #[error("{0}")]
    Invalid(String),
    /// The session takes no more.
    #[error("{0}")]
    Refused(String),
    /// The client's name for it is too long.
    #[error(transparent)]
    Name(#[from] LongName),
    /// It cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It cannot be brought to the processing resolution.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The disk refuses.
    #[error("the image could not be stored: {0}")]
    Store(#[from] std::io::Error),
    /// The work panicked.
    #[error(transparent)]
    Work(#[from] WorkFailed),
}

impl StoreError {
    /// What it counts as.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Name(_) => ErrorKind::Message,
            Self::Refused(_) => ErrorKind::Refused,
            Self::Decode(_) | Self::Preprocess(_) => ErrorKind::Image,
            Self::Store(error) => ErrorKind::of_files(error),
            Self::Work(_) => ErrorKind::Internal,
        }
    }
}

/// How images are stored.
struct Recipe {
    limits: DecodeLimits,
    process_res: u32,
    method: ProcessResMethod,
    patch_size: u32,
    camera: Option<Box<KnownCamera>>,
}

impl Recipe {
    /// Decodes, prepares and writes an image. Blocks.
    fn store(&self, spool: &Spool, number: u64, bytes: &[u8]) -> Result<StoredImage, StoreError> {
        let image = decode(bytes, &self.limits)?;
        let prepared = preprocess(&image, self.process_res, self.method, self.patch_size)?;
        spool.store_image(number, bytes, &prepared)?;
        let size = FrameSize::of(&prepared);
        let source = FrameSize::of(&image);
        let region = processed_region(source, self.process_res, self.method, self.patch_size)?;
        let camera = self
            .camera
            .as_ref()
            .map(|camera| camera.of_region(source, region, size));
        Ok(StoredImage {
            bytes: bytes.len() as u64,
            size,
            camera,
        })
    }
}

impl State {
    pub(super) fn on_image(
        &mut self,
        connection: ConnectionId,
        image: NewImage,
        permit: OwnedSemaphorePermit,
    ) {
        let NewImage {
            bytes,
            memory,
            name,
            camera,
            id,
        } = image;
        let refusal = self
            .closed_to_work()
            .or_else(|| self.is_full().then(|| self.full_message()))
            .map(StoreError::Refused);
        let refusal = refusal.or_else(|| Some(check_name(name.as_deref()?).err()?.into()));
        let refused = refusal.is_some();
        let number = self.next_upload;
        self.next_upload += 1;
        self.uploads.push_back(Upload {
            number,
            connection,
            name,
            id,
            permit,
            outcome: refusal.map(Err),
        });
        if refused {
            return self.settle_in_order();
        }
        let recipe = Recipe {
            limits: self.settings.image_limits,
            process_res: self.config.process_res,
            method: self.config.process_res_method,
            patch_size: self.settings.model.metadata().patch_size,
            camera,
        };
        let spool = self.spool.clone();
        let (workshop, mailbox) = (self.workshop.clone(), self.mailbox.clone());
        let work = async move {
            let outcome = workshop
                .run(move || recipe.store(&spool, number, &bytes))
                .await
                .unwrap_or_else(|failed| Err(failed.into()));
            drop(memory);
            // Gone: then the files go with the session's folder.
            let _ = mailbox.cast(SessionMessage::UploadSettled { number, outcome });
        };
        tokio::spawn(work.instrument(self.span.clone()));
    }

    /// Answers what is no message of the protocol. In its turn: it may have been to hold an image.
    pub(super) fn on_invalid(
        &mut self,
        connection: ConnectionId,
        refusal: Refusal,
        permit: OwnedSemaphorePermit,
    ) {
        let number = self.next_upload;
        self.next_upload += 1;
        self.uploads.push_back(Upload {
            number,
            connection,
            name: refusal.filename,
            id: refusal.id,
            permit,
            outcome: Some(Err(StoreError::Invalid(refusal.message))),
        });
        self.settle_in_order();
    }

    pub(super) fn on_upload_settled(
        &mut self,
        number: u64,
        outcome: Result<StoredImage, StoreError>,
    ) {
        if let Some(upload) = self
            .uploads
            .iter_mut()
            .find(|upload| upload.number == number)
        {
            upload.outcome = Some(outcome);
        }
        self.settle_in_order();
    }

    /// Answers what is settled in the order in which it came: who reads the answers can count along.
    fn settle_in_order(&mut self) {
        while let Some(upload) = self.uploads.pop_front_if(|upload| upload.outcome.is_some()) {
            self.settle(upload);
        }
        self.encode_ahead();
        self.dispatch();
    }

    fn settle(&mut self, upload: Upload) {
        let connection = upload.connection;
        match upload.outcome {
            Some(Ok(_)) if self.is_full() => {
                self.forget_files(upload.number);
                self.metrics.sessions.image_refused();
                let refusal = Refusal {
                    kind: ErrorKind::Refused,
                    message: self.full_message(),
                    id: upload.id,
                    filename: upload.name,
                };
                self.refuse(connection, refusal, Some(upload.permit));
            }
            Some(Ok(stored)) => {
                let name = upload
                    .name
                    .filter(|name| !name.is_empty())
                    .unwrap_or_else(|| format!("image_{:03}", self.images.len() + 1));
                self.images.push(Image {
                    number: upload.number,
                    name: name.clone(),
                    id: upload.id.clone(),
                    bytes: stored.bytes,
                    size: stored.size,
                    camera: stored.camera,
                    features: FeatureCell::new(self.budget.clone()),
                });
                self.share.image_accepted(stored.bytes);
                let acknowledged = SessionEvent::Acknowledged {
                    image_count: self.image_count(),
                    image_path: name,
                    id: upload.id,
                };
                self.tell(connection, acknowledged, Some(upload.permit));
            }
            Some(Err(error)) => {
                if !matches!(error, StoreError::Invalid(_)) {
                    self.metrics.sessions.image_refused();
                }
                let refusal = Refusal {
                    kind: error.kind(),
                    message: error.to_string(),
                    id: upload.id,
                    filename: upload.name,
                };
                self.refuse(connection, refusal, Some(upload.permit));
            }
            None => {}
        }
    }

    /// Images that were received and are neither among the session's nor refused yet.
    pub(super) fn pending_images(&self) -> usize {
        let coming = self.uploads.iter();
        coming
            .filter(|upload| !matches!(upload.outcome, Some(Err(_))))
            .count()
    }

    fn is_full(&self) -> bool {
        self.image_count() >= self.config.max_images
    }

    fn full_message(&self) -> String {
        format!(
            "session has reached maximum image limit ({}); finalize it and create a new session \
             for more images",
            self.config.max_images
        )
    }

    fn forget_files(&self, number: u64) {
        let spool = self.spool.clone();
        let workshop = self.workshop.clone();
        tokio::spawn(async move {
            if let Err(error) = workshop.run(move || spool.remove_image(number)).await {
                tracing::warn!(%error, "an image that was not wanted could not be removed");
            }
        });
    }

    /// Has frames encoded while the client still uploads. A generation encodes what is left.
    pub(super) fn encode_ahead(&mut self) {
        let Some(size) = self.images.first().map(|image| image.size) else {
            return;
        };
        while self.encoding < self.settings.encoding_ahead(size)
            && self.running.is_none()
            && !self.completed
            && !self.budget.is_spent()
        {
            let Some(image) = self.images.get(self.offered) else {
                return;
            };
            self.offered += 1;
            // Frames of mixed sizes are cropped to a common one that is not known yet.
            if image.size == size {
                let frame = self.job_frame(image);
                self.encode(frame);
            }
        }
    }

    fn encode(&mut self, frame: JobFrame) {
        let (reply, result) = oneshot::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let job = Job::new(self.id, Work::Encode(vec![frame]), cancelled, reply);
        let submitted = self.pool.borrow().cast(PoolMessage::Submit(job));
        if submitted.is_err() {
            return;
        }
        self.encoding += 1;
        let mailbox = self.mailbox.clone();
        let work = async move {
            if let Ok(Err(error)) = result.await {
                // The generation tries again and reports it to the client if it still fails.
                tracing::debug!(%error, "a frame was not encoded ahead of time");
            }
            let _ = mailbox.cast(SessionMessage::EncodeEnded);
        };
        tokio::spawn(work.instrument(self.span.clone()));
    }

    pub(super) fn on_encode_ended(&mut self) {
        self.encoding = self.encoding.saturating_sub(1);
        self.encode_ahead();
    }

    pub(super) fn job_frame(&self, image: &Image) -> JobFrame {
        JobFrame {
            pixels: SpooledFrame {
                spool: self.spool.clone(),
                number: image.number,
                size: image.size,
            },
            camera: image.camera,
            features: image.features.clone(),
        }
    }
}
