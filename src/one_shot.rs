//! One reconstruction from its first image to its result, on a session of its own.
//!
//! It is a client of the session like those behind sockets, with the same limits and the same
//! answers; only that it gives up at the first image that cannot be used.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use pointstream_actors::{
    Answer, AttachError, ClientMessage, CloseReason, CreateSessionError, Delivery, ErrorKind,
    Events, MemoryBudget, MemoryLease, OwnedSession, Progress, Requests, SessionConfig,
    SessionEvent, SessionId, SessionNotFound, System,
};
use thiserror::Error;

/// Why there is no result.
#[derive(Debug, Error)]
pub enum OneShotError {
    /// There can be no session.
    #[error(transparent)]
    Create(#[from] CreateSessionError),
    /// The session took no connection.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// An image was refused.
    #[error("{name}: {message}")]
    Image {
        /// The client's name for it, or its place.
        name: String,
        /// What the session said.
        message: String,
        /// What kind of error it is.
        kind: ErrorKind,
    },
    /// There are more images than the session takes.
    #[error("there are more than max_images = {limit} images; raise it, or send fewer")]
    TooManyImages {
        /// How many it takes.
        limit: u32,
    },
    /// No image came.
    #[error("there are no images; send at least one")]
    NoImages,
    /// The reconstruction failed.
    #[error("{message}")]
    Failed {
        /// What the session said.
        message: String,
        /// What kind of error it is.
        kind: ErrorKind,
    },
    /// The session ended before it had a result.
    #[error("{0}")]
    Ended(CloseReason),
}

impl From<SessionNotFound> for OneShotError {
    /// How it ended, its last event says; a session that ends without one has failed.
    fn from(_: SessionNotFound) -> Self {
        Self::Ended(CloseReason::Failed)
    }
}

/// A reconstruction that takes images.
pub struct OneShot {
    // Dropped in this order: the session hears that its client left before it ends.
    requests: Requests,
    events: Events,
    session: OwnedSession,
    max_images: u32,
    sent: u32,
    /// Names of the images that are not answered yet.
    unanswered: VecDeque<String>,
    result: Option<Arc<Answer>>,
}

impl OneShot {
    /// Makes the session.
    ///
    /// # Errors
    /// [`OneShotError::Create`] and [`OneShotError::Attach`].
    pub async fn begin(system: &System, config: SessionConfig) -> Result<Self, OneShotError> {
        let max_images = config.max_images;
        let session = system.create_session(config).await?;
        let (requests, events) = session.handle().attach(false).await?;
        Ok(Self {
            requests,
            events,
            session,
            max_images,
            sent: 0,
            unanswered: VecDeque::new(),
            result: None,
        })
    }

    /// The memory that all uploads share; see [`upload`](Self::upload).
    pub fn memory(&self) -> &MemoryBudget {
        self.requests.memory()
    }

    /// Whether one more image may be sent.
    ///
    /// # Errors
    /// [`OneShotError::TooManyImages`].
    pub fn check_room(&self) -> Result<(), OneShotError> {
        if self.sent < self.max_images {
            return Ok(());
        }
        Err(OneShotError::TooManyImages {
            limit: self.max_images,
        })
    }

    /// Sends an image, with the memory that was taken for it if that was done already. Waits while
    /// too many are on their way to the disk.
    ///
    /// # Errors
    /// If this image is one too many, an earlier one was refused, or the session has ended.
    pub async fn upload(
        &mut self,
        name: Option<String>,
        bytes: Bytes,
        lease: Option<MemoryLease>,
    ) -> Result<(), OneShotError> {
        self.check_room()?;
        self.sent += 1;
        let shown = name.clone().filter(|name| !name.is_empty());
        self.unanswered
            .push_back(shown.unwrap_or_else(|| format!("image {}", self.sent)));
        let image = ClientMessage::Image {
            bytes,
            name,
            camera: None,
            id: None,
        };
        self.send(image, lease).await
    }

    /// Waits until all images are stored and the reconstruction has begun.
    ///
    /// # Errors
    /// If there are no images, one was refused, or the session has ended.
    pub async fn start(&mut self) -> Result<(), OneShotError> {
        if self.sent == 0 {
            return Err(OneShotError::NoImages);
        }
        while !self.unanswered.is_empty() {
            let delivery = self.events.next().await;
            self.take(delivery)?;
        }
        self.send(ClientMessage::Finalize { id: None }, None)
            .await?;
        // Its first sign of life says that it was accepted.
        while self.result.is_none() {
            let delivery = self.events.next().await;
            if self.take(delivery)?.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Waits for the result.
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
            if let Some(progress) = self.take(delivery)? {
                show(&progress);
            }
        }
    }

    /// Lets the session go on by itself; whoever knows its identifier can fetch the result.
    pub fn leave(self) -> SessionId {
        self.session.keep().id()
    }

    /// Sends a message and reads the answers to earlier ones meanwhile: only so is there room.
    async fn send(
        &mut self,
        message: ClientMessage,
        lease: Option<MemoryLease>,
    ) -> Result<(), OneShotError> {
        let requests = self.requests.clone();
        let mut sending = pin!(requests.send_holding(message, lease));
        loop {
            tokio::select! {
                biased;
                delivery = self.events.next() => {
                    self.take(delivery)?;
                }
                sent = &mut sending => return Ok(sent?),
            }
        }
    }

    /// Takes an event in; returns progress.
    fn take(&mut self, delivery: Option<Delivery>) -> Result<Option<Progress>, OneShotError> {
        let delivery = delivery.ok_or(OneShotError::Ended(CloseReason::Failed))?;
        let event = delivery.event.clone();
        delivery.confirm();
        match event {
            SessionEvent::Acknowledged { .. } => {
                self.unanswered.pop_front();
            }
            SessionEvent::Error { kind, message, .. } => {
                return Err(match self.unanswered.pop_front() {
                    Some(name) => OneShotError::Image {
                        name,
                        message,
                        kind,
                    },
                    None => OneShotError::Failed { message, kind },
                });
            }
            SessionEvent::Progress(progress) => return Ok(Some(progress)),
            SessionEvent::Result { answer, .. } => self.result = Some(answer),
            SessionEvent::Closed(reason) => return Err(OneShotError::Ended(reason)),
            SessionEvent::Connected { .. } | SessionEvent::Pong => {}
        }
        Ok(None)
    }
}
