//! Images in the body of a request: `multipart/form-data`, read one image at a time.
//!
//! The whole body is never in memory. An image takes upload memory before its bytes are read.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use multer::{Field, Multipart};
use pointstream_actors::{UploadLease, UploadMemory};
use thiserror::Error;
use warp::http::HeaderValue;

use crate::api::{memory_wait, receive_time};
use crate::payload::Payload;
use crate::rates::{Pace, TooFast};

/// A body that is being received.
pub type Body = BoxStream<'static, Result<Bytes, warp::Error>>;

/// Names of the fields that hold images.
const FIELDS: [&str; 3] = ["images", "image", "file"];
/// Longest head of a part in bytes, including what the parser buffers beside it.
const MAX_HEAD: usize = 128 << 10;

/// Why a body cannot be read.
#[derive(Debug, Error)]
pub enum MultipartError {
    /// The content type is another one.
    #[error("send the images as multipart/form-data, in fields called images")]
    NotMultipart,
    #[error("the body is not valid multipart/form-data: {0}")]
    Malformed(multer::Error),
    /// The client disconnected, or the final boundary is missing.
    #[error("the body ended early: {0}")]
    Broken(String),
    #[error("the head of a part is longer than {MAX_HEAD} bytes")]
    LongHead,
    #[error(
        "unknown field {0:?}; images go in fields called images, parameters in the query of the URL"
    )]
    UnknownField(String),
    #[error("{0} is empty; send an image file")]
    Empty(String),
    #[error("{name} is larger than {limit} bytes; send a smaller image")]
    TooLarge {
        /// The client's name of the image, or its number.
        name: String,
        /// In bytes.
        limit: usize,
    },
    /// The client sent nothing for too long.
    #[error("nothing came for too long; send the images again")]
    Stalled,
    /// The client sent an image too slowly.
    #[error("an image came too slowly; send the images again, or smaller ones")]
    Slow,
    /// Other uploads held all the memory for too long.
    #[error("the server is busy with other uploads; try again later")]
    Busy,
    #[error(transparent)]
    TooFast(#[from] TooFast),
}

/// The boundary between the parts of a body of this content type.
///
/// # Errors
/// [`MultipartError::NotMultipart`].
pub fn boundary(content_type: Option<&HeaderValue>) -> Result<String, MultipartError> {
    content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|text| multer::parse_boundary(text).ok())
        .ok_or(MultipartError::NotMultipart)
}

/// The images of a body.
pub struct Images<'a> {
    multipart: Multipart<'a>,
    progress: Arc<Progress>,
    /// Bytes of the whole body, if the client has said so.
    length: Option<usize>,
    timeout: Duration,
    count: usize,
}

impl<'a> Images<'a> {
    /// `length` is that of the body in bytes, if the client has said so; `timeout` is the longest wait
    /// for more of it. It is read at its pace.
    pub fn new(
        body: &'a mut Body,
        boundary: String,
        length: Option<usize>,
        timeout: Duration,
        pace: Pace,
    ) -> Self {
        let progress = Arc::new(Progress::new(pace));
        let pieces = OnePieceAtATime {
            body,
            progress: progress.clone(),
            rest: false,
        };
        Self {
            multipart: Multipart::new(pieces, boundary),
            progress,
            length,
            timeout,
            count: 0,
        }
    }

    /// The next image, or none after the last. Waits first for what was read to be paid, which holds no
    /// image: the last one is the session's.
    ///
    /// # Errors
    /// [`MultipartError`]; nothing can be read afterwards.
    pub async fn next(&mut self) -> Result<Option<Image<'a>>, MultipartError> {
        self.progress.pay().await?;
        let next = tokio::time::timeout(self.timeout, self.multipart.next_field());
        let field = next.await.map_err(|_| MultipartError::Stalled)??;
        let Some(field) = field else {
            return Ok(None);
        };
        self.progress.parsed();
        let known = field.name().is_some_and(|name| FIELDS.contains(&name));
        if !known {
            let shown = field.name().unwrap_or_default().chars().take(100);
            return Err(MultipartError::UnknownField(shown.collect()));
        }
        self.count += 1;
        let received = self.progress.received.load(Ordering::Relaxed);
        Ok(Some(Image {
            name: field.file_name().map(str::to_owned),
            field,
            // The parser may have buffered a part of the image.
            largest: self
                .length
                .map(|length| length.saturating_sub(received) + MAX_HEAD),
            progress: self.progress.clone(),
            timeout: self.timeout,
            number: self.count,
        }))
    }
}

/// An image that is being received.
pub struct Image<'a> {
    /// The file name that the client sent.
    pub name: Option<String>,
    field: Field<'a>,
    progress: Arc<Progress>,
    /// It has no more bytes, as far as the client has said.
    largest: Option<usize>,
    timeout: Duration,
    number: usize,
}

impl Image<'_> {
    /// Its name in an error.
    fn shown(&self) -> String {
        match &self.name {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("image {}", self.number),
        }
    }

    /// The next bytes, or none after the last. `waited` is how long the server has waited for
    /// `received` bytes before.
    async fn chunk(
        &mut self,
        received: usize,
        waited: &mut Duration,
    ) -> Result<Option<Bytes>, MultipartError> {
        let left = receive_time(self.timeout, received).saturating_sub(*waited);
        let since = Instant::now();
        let chunk = tokio::time::timeout(left.min(self.timeout), self.field.chunk());
        let chunk = chunk.await.map_err(|_| match left < self.timeout {
            true => MultipartError::Slow,
            false => MultipartError::Stalled,
        })??;
        *waited += since.elapsed();
        self.progress.parsed();
        Ok(chunk)
    }

    /// Reads the whole image; returns its bytes and the memory taken for them.
    ///
    /// # Errors
    /// If the image is empty or larger than `max_bytes`, or the body cannot be read.
    pub async fn read(
        &mut self,
        max_bytes: usize,
        memory: &UploadMemory,
    ) -> Result<(Bytes, UploadLease), MultipartError> {
        let mut bytes = Payload::default();
        let mut waited = Duration::ZERO;
        let mut lease = memory.lease();
        let most = self.largest.map(|largest| largest.min(max_bytes));
        while let Some(chunk) = self.chunk(bytes.as_ref().len(), &mut waited).await? {
            let size = bytes.as_ref().len() + chunk.len();
            if size > max_bytes {
                return Err(MultipartError::TooLarge {
                    name: self.shown(),
                    limit: max_bytes,
                });
            }
            grow(&mut lease, size, most, max_bytes, (memory, self.timeout)).await?;
            bytes.reserve(chunk.len(), most.unwrap_or(max_bytes));
            bytes.push(&chunk);
        }
        if bytes.as_ref().is_empty() {
            return Err(MultipartError::Empty(self.shown()));
        }
        Ok((bytes.into(), lease))
    }
}

/// Takes memory until the lease covers `size` bytes. Fails if no upload gets any for too long.
async fn grow(
    lease: &mut UploadLease,
    size: usize,
    most: Option<usize>,
    limit: usize,
    (memory, timeout): (&UploadMemory, Duration),
) -> Result<(), MultipartError> {
    let mut grown = std::pin::pin!(lease.grow(size, most, limit));
    loop {
        let turns = memory.turns();
        match tokio::time::timeout(memory_wait(timeout), grown.as_mut()).await {
            Ok(()) => return Ok(()),
            // Otherwise others have got memory: this image is nearer to its turn.
            Err(_) if memory.turns() == turns => return Err(MultipartError::Busy),
            Err(_) => {}
        }
    }
}

impl From<multer::Error> for MultipartError {
    fn from(error: multer::Error) -> Self {
        match error {
            multer::Error::StreamReadFailed(error) => match error.downcast::<HeadTooLong>() {
                Ok(_) => Self::LongHead,
                Err(error) => Self::Broken(error.to_string()),
            },
            multer::Error::IncompleteStream
            | multer::Error::IncompleteHeaders
            | multer::Error::IncompleteFieldData { .. } => {
                Self::Broken("there is no final boundary".to_owned())
            }
            error => Self::Malformed(error),
        }
    }
}

/// The parser buffered too many bytes without finding the end of a head.
#[derive(Debug, Error)]
#[error("the head is too long")]
struct HeadTooLong;

/// Bytes that the parser got.
struct Progress {
    received: AtomicUsize,
    /// Since it last returned a part or chunk.
    unparsed: AtomicUsize,
    /// Since they were last paid.
    unpaid: AtomicUsize,
    pace: Pace,
}

impl Progress {
    fn new(pace: Pace) -> Self {
        Self {
            received: AtomicUsize::new(0),
            unparsed: AtomicUsize::new(0),
            unpaid: AtomicUsize::new(0),
            pace,
        }
    }

    /// The parser has returned a part or chunk.
    fn parsed(&self) {
        self.unparsed.store(0, Ordering::Relaxed);
    }

    /// Waits until more may be read.
    async fn pay(&self) -> Result<(), TooFast> {
        match self.unpaid.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            bytes => self.pace.after_bytes(bytes).await,
        }
    }

    /// The parser gets so many bytes more. Returns how many it has not parsed.
    fn give(&self, bytes: usize) -> usize {
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.unpaid.fetch_add(bytes, Ordering::Relaxed);
        self.unparsed.fetch_add(bytes, Ordering::Relaxed) + bytes
    }
}

/// Gives the parser one piece at a time, up to a limit. Alone, it reads all that is there and buffers
/// what it cannot parse yet.
struct OnePieceAtATime<'a> {
    body: &'a mut Body,
    progress: Arc<Progress>,
    /// Whether the parser must poll again before it gets the next piece.
    rest: bool,
}

impl Stream for OnePieceAtATime<'_> {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rest) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(piece) = ready!(self.body.poll_next_unpin(context)) else {
            return Poll::Ready(None);
        };
        self.rest = true;
        let piece = piece?;
        if self.progress.give(piece.len()) > MAX_HEAD {
            return Poll::Ready(Some(Err(HeadTooLong.into())));
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
