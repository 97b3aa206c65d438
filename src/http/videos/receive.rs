//! Writes the body of a request to a file, without holding it in memory.

use std::io;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use thiserror::Error;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;

use crate::api::receive_time;
use crate::http::multipart::Body;
use crate::rates::{Pace, TooFast};
use crate::video::{Scratch, Source, Videos};

/// Bytes between two looks at the free space of the disk.
const LOOK: u64 = 16 << 20;

/// Why a video is not received.
#[derive(Debug, Error)]
pub enum ReceiveError {
    #[error("the body is empty; send a video file")]
    Empty,
    #[error("the video is larger than {0} bytes; send a shorter or smaller one")]
    TooLarge(u64),
    /// The client disconnected, or sent less than it announced.
    #[error("the body ended early: {0}")]
    Broken(String),
    #[error("nothing came for too long; send the video again")]
    Stalled,
    #[error("the video came too slowly; send it again, or a smaller one")]
    Slow,
    #[error(transparent)]
    TooFast(#[from] TooFast),
    #[error("the video cannot be stored: {0}")]
    File(#[from] io::Error),
}

/// What a body may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub bytes: u64,
    /// The longest wait for more of it.
    pub timeout: Duration,
}

/// Receives a video into its folder.
///
/// # Errors
/// [`ReceiveError`]. The folder may have a part of the video then.
pub async fn receive(
    body: &mut Body,
    (videos, scratch): (&Videos, &Scratch),
    limits: Limits,
    pace: &Pace,
) -> Result<(), ReceiveError> {
    let file = Source::file_in(scratch.path());
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(file).await?;
    let (mut received, mut looked) = (0_u64, 0_u64);
    let mut waited = Duration::ZERO;
    loop {
        let so_far = usize::try_from(received).unwrap_or(usize::MAX);
        let left = receive_time(limits.timeout, so_far).saturating_sub(waited);
        let since = Instant::now();
        let piece = tokio::time::timeout(left.min(limits.timeout), body.next()).await;
        let piece = piece.map_err(|_| match left < limits.timeout {
            true => ReceiveError::Slow,
            false => ReceiveError::Stalled,
        })?;
        waited += since.elapsed();
        let Some(piece) = piece else {
            break;
        };
        let piece = piece.map_err(|error| ReceiveError::Broken(error.to_string()))?;
        received = received.saturating_add(piece.len() as u64);
        if received > limits.bytes {
            return Err(ReceiveError::TooLarge(limits.bytes));
        }
        if received - looked >= LOOK {
            videos.check_free(scratch, 0).await?;
            looked = received;
        }
        file.write_all(&piece).await?;
        pace.after_bytes(piece.len()).await?;
    }
    file.flush().await?;
    match received {
        0 => Err(ReceiveError::Empty),
        _ => Ok(()),
    }
}
