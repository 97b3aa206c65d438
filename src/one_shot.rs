//! One reconstruction from its first image to its result, in a session of its own.
//!
//! It is a client of the session like a socket, with the same limits and the same answers, but it
//! fails at the first image that the session refuses, unless it is to go on without such images.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use pointstream_actors::{
    Answer, AttachError, AttachOptions, ClientMessage, CloseReason, CreateSessionError, Creator,
    Delivery, ErrorCode, Events, ImageUpload, OwnedSession, Progress, Requests, SessionConfig,
    SessionEvent, SessionId, SessionNotFound, System, UploadLease, UploadMemory,
};
use thiserror::Error;

/// Why a reconstruction failed.
#[derive(Debug, Error)]
pub enum OneShotError {
    /// The session could not be created.
    #[error(transparent)]
    Create(#[from] CreateSessionError),
    /// The session refused the connection.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The session refused an image.
    #[error("{name}: {message}")]
    Image {
        /// The client's name for it, or `image` and its number from 1.
        name: String,
        /// The session's message.
        message: String,
        code: ErrorCode,
    },
    #[error("there are more than max_images = {limit} images; raise it, or send fewer")]
    TooManyImages { limit: u32 },
    #[error("there are no images; send at least one")]
    NoImages,
    /// The reconstruction failed.
    #[error("{message}")]
    Failed {
        /// The session's message.
        message: String,
        code: ErrorCode,
    },
    /// The session ended before it had a result.
    #[error("{0}")]
    Ended(CloseReason),
}

impl From<SessionNotFound> for OneShotError {
    /// The last event of a session says why it ended. A session that ends without one has failed.
    fn from(_: SessionNotFound) -> Self {
        Self::Ended(CloseReason::Failed)
    }
}

/// An image that the reconstruction goes on without.
#[derive(Debug)]
pub struct RefusedImage {
    /// Number of the upload, from 0.
    pub index: usize,
    /// The session's message.
    pub message: String,
}

/// A session, and the client that sends the images and waits for the result.
pub struct OneShot {
    // The fields are dropped in this order: the client disconnects, then the session ends.
    requests: Requests,
    events: Events,
    session: OwnedSession,
    max_images: u32,
    num_uploaded: u32,
    /// Names of the images that the session has neither acknowledged nor refused, oldest first.
    unacknowledged: VecDeque<String>,
    /// The images that the session has refused, if it goes on without them.
    refused: Option<Vec<RefusedImage>>,
    num_refused: u32,
    /// The last result that the session sent.
    result: Option<Arc<Answer>>,
}

impl OneShot {
    /// Creates the session and connects to it.
    ///
    /// # Errors
    /// [`OneShotError::Create`] or [`OneShotError::Attach`].
    pub async fn begin(
        system: &System,
        config: SessionConfig,
        creator: Option<Creator>,
    ) -> Result<Self, OneShotError> {
        let max_images = config.max_images;
        let session = system.create_session(config, creator, None).await?;
        let (requests, events) = session.handle().attach(AttachOptions::default()).await?;
        Ok(Self {
            requests,
            events,
            session,
            max_images,
            num_uploaded: 0,
            unacknowledged: VecDeque::new(),
            refused: None,
            num_refused: 0,
            result: None,
        })
    }

    /// Goes on without images that cannot be used.
    pub fn without_bad_images(mut self) -> Self {
        self.refused = Some(Vec::new());
        self
    }

    /// The images that it has gone on without since the last call.
    pub fn take_refused(&mut self) -> Vec<RefusedImage> {
        self.refused
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// The memory that all uploads of the program share; see [`upload`](Self::upload).
    pub fn memory(&self) -> &UploadMemory {
        self.requests.memory()
    }

    /// Checks that the session takes one more image.
    ///
    /// # Errors
    /// [`OneShotError::TooManyImages`].
    pub fn check_room(&self) -> Result<(), OneShotError> {
        if self.num_uploaded < self.max_images {
            return Ok(());
        }
        Err(OneShotError::TooManyImages {
            limit: self.max_images,
        })
    }

    /// Sends an image. `lease` is the memory that the caller has reserved for it, if any. Waits while
    /// too many images are being written to the disk.
    ///
    /// # Errors
    /// If the session takes no more images, refused an earlier one, or has ended.
    pub async fn upload(
        &mut self,
        name: Option<String>,
        bytes: Bytes,
        lease: Option<UploadLease>,
    ) -> Result<(), OneShotError> {
        self.check_room()?;
        self.num_uploaded += 1;
        let label = name.clone().filter(|name| !name.is_empty());
        self.unacknowledged
            .push_back(label.unwrap_or_else(|| format!("image {}", self.num_uploaded)));
        let image = ClientMessage::Image(ImageUpload {
            name,
            ..ImageUpload::new(bytes)
        });
        self.send(image, lease).await
    }

    /// Waits until all images are stored, and starts the reconstruction.
    ///
    /// # Errors
    /// If there are no images, the session refused one, or it has ended.
    pub async fn start(&mut self) -> Result<(), OneShotError> {
        if self.num_uploaded == 0 {
            return Err(OneShotError::NoImages);
        }
        while !self.unacknowledged.is_empty() {
            let delivery = self.events.next().await;
            self.handle(delivery)?;
        }
        if self.num_refused == self.num_uploaded {
            return Err(OneShotError::NoImages);
        }
        self.send(ClientMessage::Finalize { id: None }, None)
            .await?;
        // The first progress or the result shows that the session has accepted the request.
        while self.result.is_none() {
            let delivery = self.events.next().await;
            if self.handle(delivery)?.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Waits for the result; `show` gets the progress until then.
    ///
    /// # Errors
    /// If the reconstruction failed or the session has ended.
    pub async fn result(
        mut self,
        mut show: impl FnMut(&Progress),
    ) -> Result<(Arc<Answer>, OwnedSession), OneShotError> {
        loop {
            if let Some(result) = self.result {
                return Ok((result, self.session));
            }
            let delivery = self.events.next().await;
            if let Some(progress) = self.handle(delivery)? {
                show(&progress);
            }
        }
    }

    /// The session.
    pub fn id(&self) -> SessionId {
        self.session.id()
    }

    /// Leaves the session running. Its identifier gives access to the result.
    ///
    /// # Errors
    /// [`OneShotError::Create`] if it has ended, or that it is left cannot be stored.
    pub async fn leave(self) -> Result<SessionId, OneShotError> {
        Ok(self.session.keep().await?.id())
    }

    /// Sends a message. Reads the answers to earlier messages meanwhile, because the session takes
    /// no more messages while too many answers are unread.
    async fn send(
        &mut self,
        message: ClientMessage,
        lease: Option<UploadLease>,
    ) -> Result<(), OneShotError> {
        let requests = self.requests.clone();
        let mut sending = pin!(requests.send_holding(message, lease));
        loop {
            tokio::select! {
                biased;
                delivery = self.events.next() => {
                    self.handle(delivery)?;
                }
                sent = &mut sending => return Ok(sent?),
            }
        }
    }

    /// Updates the state by an event. Returns the progress that it reports, if any.
    fn handle(&mut self, delivery: Option<Delivery>) -> Result<Option<Progress>, OneShotError> {
        let delivery = delivery.ok_or(OneShotError::Ended(CloseReason::Failed))?;
        let event = delivery.event.clone();
        delivery.confirm();
        match event {
            SessionEvent::Acknowledged { .. } => {
                self.unacknowledged.pop_front();
            }
            SessionEvent::Error { code, message, .. } => {
                let index = self.num_uploaded as usize - self.unacknowledged.len();
                let goes_on = self.refused.as_mut().filter(|_| is_of_image(code));
                if let Some(refused) = goes_on
                    && self.unacknowledged.pop_front().is_some()
                {
                    refused.push(RefusedImage { index, message });
                    self.num_refused += 1;
                    return Ok(None);
                }
                return Err(match self.unacknowledged.pop_front() {
                    Some(name) => OneShotError::Image {
                        name,
                        message,
                        code,
                    },
                    None => OneShotError::Failed { message, code },
                });
            }
            SessionEvent::Progress { progress, .. } => return Ok(Some(progress)),
            SessionEvent::Result { answer, .. } => self.result = Some(answer),
            SessionEvent::Closed(reason) => return Err(OneShotError::Ended(reason)),
            SessionEvent::Connected { .. }
            | SessionEvent::Changed { .. }
            | SessionEvent::ResultToFetch { .. }
            | SessionEvent::Poses { .. }
            | SessionEvent::Pong => {}
        }
        Ok(None)
    }
}

/// Whether an error says that one image cannot be used, while others can.
fn is_of_image(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::InvalidImage | ErrorCode::ImageTooLarge)
}
