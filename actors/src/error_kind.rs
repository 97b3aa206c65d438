//! Kinds of errors, for operators to count.

use std::error::Error;
use std::io;

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

/// What went wrong.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Display,
    IntoStaticStr,
    Serialize,
    Deserialize,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ErrorKind {
    /// A client sent something that is not a message of the protocol.
    Message,
    /// A message was refused: a limit is reached, the session is completed, the service ends.
    Refused,
    /// A client sent an image that cannot be used.
    Image,
    /// A socket was refused or closed because of what the client did.
    Socket,
    /// A client reads its answers too slowly.
    SlowClient,
    /// The model failed.
    Model,
    OutOfMemory,
    /// A job or a result's file took too long.
    Timeout,
    /// A queue is full.
    Busy,
    /// A worker failed, or no worker can load the model.
    Worker,
    /// No point cloud could be made of the model's output.
    Cloud,
    DiskFull,
    /// A file could not be written or read.
    Storage,
    /// A session's actor failed.
    Session,
    /// An HTTP request was answered with a server error.
    Http,
    /// A defect of this program.
    Internal,
}

impl ErrorKind {
    /// [`DiskFull`](Self::DiskFull) if the error or one of its sources says so, else
    /// [`Storage`](Self::Storage).
    pub fn of_files(error: &(dyn Error + 'static)) -> Self {
        let (mut full, mut next) = (false, Some(error));
        while let Some(error) = next {
            let kind = error.downcast_ref().map(io::Error::kind);
            full |= matches!(
                kind,
                Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            );
            next = error.source();
        }
        if full { Self::DiskFull } else { Self::Storage }
    }
}
