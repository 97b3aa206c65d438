//! The outcome of storing an image.

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::{DecodeError, ImageStatistics, PreprocessError};
use pointstream_reconstruction::model::{CameraHint, KnownCamera};
use thiserror::Error;

use crate::blocking::WorkFailed;
use crate::client_message::LongName;
use crate::error_kind::ErrorKind;

/// A stored image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredImage {
    /// Size of the client's file in bytes.
    pub bytes: u64,
    /// Size of the prepared frame.
    pub size: FrameSize,
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
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Name(#[from] LongName),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error("the image could not be stored: {0}")]
    Store(#[from] std::io::Error),
    #[error("internal error: {0}")]
    Work(#[from] WorkFailed),
}

impl ImageError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Name(_) => ErrorKind::Message,
            Self::Refused(_) => ErrorKind::Refused,
            Self::Decode(_) | Self::Preprocess(_) => ErrorKind::Image,
            Self::Store(error) => ErrorKind::of_files(error),
            Self::Work(_) => ErrorKind::Internal,
        }
    }
}
