//! Images in the body of a request: `multipart/form-data`, read one image at a time.
//!
//! The whole body is never in memory. An image takes memory from the budget of all uploads while it
//! is received, and no more is read from the client until the budget has room.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use multer::{Field, Multipart};
use pointstream_actors::{MemoryBudget, MemoryLease};
use thiserror::Error;
use warp::http::HeaderValue;

/// A body that is being received.
pub type Body = BoxStream<'static, Result<Bytes, warp::Error>>;

/// Names of the fields that hold images.
const FIELDS: [&str; 3] = ["images", "image", "file"];
/// Memory is taken from the budget in multiples of this many bytes.
const GRANT: usize = 1 << 20;
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
    /// Other uploads held all the memory for too long.
    #[error("the server is busy with other uploads; try again later")]
    Busy,
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
    unparsed: Arc<AtomicUsize>,
    timeout: Duration,
    count: usize,
}

impl<'a> Images<'a> {
    /// `timeout` is the longest wait for more of the body.
    pub fn new(body: &'a mut Body, boundary: String, timeout: Duration) -> Self {
        let unparsed = Arc::new(AtomicUsize::new(0));
        let pieces = OnePieceAtATime {
            body,
            unparsed: unparsed.clone(),
            rest: false,
        };
        Self {
            multipart: Multipart::new(pieces, boundary),
            unparsed,
            timeout,
            count: 0,
        }
    }

    /// The next image, or none after the last.
    ///
    /// # Errors
    /// [`MultipartError`]; nothing can be read afterwards.
    pub async fn next(&mut self) -> Result<Option<Image<'a>>, MultipartError> {
        let next = tokio::time::timeout(self.timeout, self.multipart.next_field());
        let field = next.await.map_err(|_| MultipartError::Stalled)??;
        let Some(field) = field else {
            return Ok(None);
        };
        self.unparsed.store(0, Ordering::Relaxed);
        let known = field.name().is_some_and(|name| FIELDS.contains(&name));
        if !known {
            let shown = field.name().unwrap_or_default().chars().take(100);
            return Err(MultipartError::UnknownField(shown.collect()));
        }
        self.count += 1;
        Ok(Some(Image {
            name: field.file_name().map(str::to_owned),
            field,
            unparsed: self.unparsed.clone(),
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
    unparsed: Arc<AtomicUsize>,
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

    async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        let chunk = tokio::time::timeout(self.timeout, self.field.chunk());
        let chunk = chunk.await.map_err(|_| MultipartError::Stalled)??;
        self.unparsed.store(0, Ordering::Relaxed);
        Ok(chunk)
    }

    /// Reads the whole image; returns its bytes and the memory taken for them.
    ///
    /// # Errors
    /// If the image is empty or larger than `max_bytes`, or the body cannot be read.
    pub async fn read(
        &mut self,
        max_bytes: usize,
        memory: &MemoryBudget,
    ) -> Result<(Bytes, Option<MemoryLease>), MultipartError> {
        let mut bytes = Vec::new();
        let mut lease = None;
        while let Some(chunk) = self.chunk().await? {
            let size = bytes.len() + chunk.len();
            if size > max_bytes {
                return Err(MultipartError::TooLarge {
                    name: self.shown(),
                    limit: max_bytes,
                });
            }
            grow(&mut lease, size, memory, self.timeout).await?;
            let leased = lease.as_ref().map_or(0, MemoryLease::bytes);
            append(&mut bytes, &chunk, leased);
        }
        if bytes.is_empty() {
            return Err(MultipartError::Empty(self.shown()));
        }
        Ok((bytes.into(), lease))
    }
}

/// Appends a chunk; the capacity grows to `leased` bytes at most. A vector that grows by itself may
/// take twice its length.
fn append(bytes: &mut Vec<u8>, chunk: &[u8], leased: usize) {
    let most = leased.max(bytes.len() + chunk.len());
    bytes.reserve_exact(most - bytes.len());
    bytes.extend_from_slice(chunk);
}

/// Takes memory until the lease covers `size` bytes.
async fn grow(
    lease: &mut Option<MemoryLease>,
    size: usize,
    memory: &MemoryBudget,
    timeout: Duration,
) -> Result<(), MultipartError> {
    let wanted = size.next_multiple_of(GRANT).min(memory.bytes());
    let due = wanted.saturating_sub(lease.as_ref().map_or(0, MemoryLease::bytes));
    if due == 0 {
        return Ok(());
    }
    // Uploads that each hold a part may wait for each other, so the wait is limited.
    let taken = tokio::time::timeout(timeout, memory.take(due))
        .await
        .map_err(|_| MultipartError::Busy)?;
    match lease {
        Some(lease) => lease.merge(taken),
        None => *lease = Some(taken),
    }
    Ok(())
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

/// Gives the parser one piece at a time, up to a limit. Alone, it reads all that is there and buffers
/// what it cannot parse yet.
struct OnePieceAtATime<'a> {
    body: &'a mut Body,
    /// Bytes given since the parser last returned a part or chunk.
    unparsed: Arc<AtomicUsize>,
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
        let unparsed = self.unparsed.fetch_add(piece.len(), Ordering::Relaxed) + piece.len();
        if unparsed > MAX_HEAD {
            return Poll::Ready(Some(Err(HeadTooLong.into())));
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests;
