//! The outcome of storing an image.

use std::sync::Arc;

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::{DecodeError, ImageStatistics, PreprocessError};
use pointstream_reconstruction::model::{CameraHint, KnownCamera};
use thiserror::Error;

use crate::blocking::WorkFailed;
use crate::client_message::BadName;
use crate::error_code::ErrorCode;
use crate::journal::JournalError;

/// A stored image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredImage {
    /// Size of the client's file in bytes.
    pub bytes: u64,
    /// Size of the prepared frame.
    pub size: FrameSize,
    /// Whether pixels of the prepared frame are hidden.
    pub has_hidden: bool,
    /// The camera of the prepared frame.
    pub camera: Option<KnownCamera>,
    /// What its pixels tell about its use.
    pub statistics: ImageStatistics,
    /// What the file says about the camera of the prepared frame.
    pub hint: CameraHint,
}

/// Why an image is not accepted.
#[derive(Debug, Error)]
pub(crate) enum ImageError {
    /// The message is not one of the protocol.
    #[error("{0}")]
    Invalid(String),
    /// The session accepts no more images.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Name(#[from] BadName),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The image needs more memory than there is for decoding, whatever else is decoded.
    #[error(
        "the image of {size} needs {} MB of memory to be decoded, and the server has {} MB for that; send \
         a smaller image, or, if it is not one, a JPEG that is neither progressive nor CMYK",
        .need.div_ceil(1_000_000),
        .most / 1_000_000
    )]
    Memory {
        size: FrameSize,
        /// Bytes that it needs.
        need: u64,
        /// Bytes that there are.
        most: usize,
    },
    #[error("the image could not be stored: {0}")]
    Store(#[from] std::io::Error),
    #[error("the image could not be stored: {0}")]
    Record(Arc<JournalError>),
    #[error("internal error: {0}")]
    Work(#[from] WorkFailed),
}

/// A session does not accept a message now.
#[derive(Debug, Error)]
#[error("{reason}")]
pub(crate) struct Refusal {
    pub code: ErrorCode,
    /// Why, and what the client can do.
    pub reason: String,
}

impl ImageError {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(_) | Self::Name(_) => ErrorCode::InvalidMessage,
            Self::Refused(refusal) => refusal.code,
            Self::Decode(DecodeError::TooManyBytes { .. } | DecodeError::TooManyPixels { .. })
            | Self::Memory { .. } => ErrorCode::ImageTooLarge,
            Self::Decode(_) | Self::Preprocess(_) => ErrorCode::InvalidImage,
            Self::Store(error) => ErrorCode::of_files(error),
            Self::Record(error) => error.code(),
            Self::Work(_) => ErrorCode::Internal,
        }
    }
}
