//! Why a video gives no frames, as answers.

use std::io;

use pointstream_actors::{ErrorCode, ErrorKind};
use warp::http::StatusCode;

use super::receive::ReceiveError;
use crate::api::ApiError;
use crate::video::{NoVideo, VideoError};

/// What is added where ffmpeg cannot read a video.
const READABLE: &str = "send MP4, MOV, MKV, WebM, AVI, WMV, FLV, MPEG or Ogg";

impl From<NoVideo> for ApiError {
    fn from(error: NoVideo) -> Self {
        let detail = error.to_string();
        match error {
            NoVideo::Off | NoVideo::Exposed | NoVideo::NoFfmpeg => {
                Self::new(StatusCode::NOT_IMPLEMENTED, ErrorCode::VideosOff, detail)
            }
            NoVideo::OfClient | NoVideo::Full => Self::busy(ErrorCode::ServerBusy, detail),
        }
    }
}

impl From<VideoError> for ApiError {
    fn from(error: VideoError) -> Self {
        let detail = match &error {
            VideoError::System(_) | VideoError::NoFfmpeg => String::new(),
            VideoError::Unreadable(reason) => {
                format!("ffmpeg cannot read the video; {READABLE}. It says: {reason}")
            }
            VideoError::Text | VideoError::Still(_) | VideoError::NoFrames => {
                format!("the body is no video: {error}; {READABLE}")
            }
            error => format!("the video cannot be used: {error}"),
        };
        let (status, code) = match error {
            VideoError::System(error) => return of_files(error),
            VideoError::NoFfmpeg => return Self::internal(&error),
            VideoError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::VideoTooLarge),
            _ => (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidVideo),
        };
        Self::new(status, code, detail)
    }
}

impl From<ReceiveError> for ApiError {
    fn from(error: ReceiveError) -> Self {
        let detail = error.to_string();
        let (status, code) = match error {
            ReceiveError::Empty => (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidVideo),
            ReceiveError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::VideoTooLarge),
            ReceiveError::Broken(_) => (StatusCode::BAD_REQUEST, ErrorCode::InvalidForm),
            ReceiveError::Stalled | ReceiveError::Slow => {
                (StatusCode::REQUEST_TIMEOUT, ErrorCode::SendsTooSlowly)
            }
            ReceiveError::TooFast(error) => return error.into(),
            ReceiveError::File(error) => return of_files(error),
        };
        Self::new(status, code, detail)
    }
}

/// The answer to an error of files.
pub fn of_files(error: io::Error) -> ApiError {
    match ErrorKind::of_files(&error) {
        ErrorKind::DiskFull => ApiError::new(
            StatusCode::INSUFFICIENT_STORAGE,
            ErrorCode::DiskFull,
            "the disk of the server is nearly full; try again later",
        ),
        _ => ApiError::internal(&error),
    }
}
