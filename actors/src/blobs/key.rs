//! Names of blobs.

use std::fmt;

use pointstream_reconstruction::formats::ResultFormat;
use serde::{Deserialize, Serialize};

use crate::ids::{JobId, SessionId};

/// The key of a blob. Shown as `<session>/<file name>`; never contains a client's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct BlobKey {
    pub session: SessionId,
    pub name: BlobName,
}

/// The name of a blob within its session. Images and results are numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BlobName {
    /// An image as the client sent it.
    Original(u64),
    /// The same image, oriented and resized: rows of RGB bytes.
    Prepared(u64),
    /// A job's prediction, until its point cloud is made.
    Prediction(JobId),
    /// A result in one format.
    Result(u64, ResultFormat),
}

impl fmt::Display for BlobName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Original(number) => write!(formatter, "{number}.image"),
            Self::Prepared(number) => write!(formatter, "{number}.rgb"),
            Self::Prediction(job) => write!(formatter, "{job}.safetensors"),
            Self::Result(number, format) => write!(formatter, "{number}.{}", format.extension()),
        }
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.session, self.name)
    }
}
