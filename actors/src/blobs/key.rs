//! Names of blobs.

use std::fmt;

use pointstream_reconstruction::formats::ResultFormat;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::SessionId;

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
    /// The same image, oriented and resized, and which of its pixels are hidden.
    Prepared(u64),
    /// A prediction: until its point cloud is made, or as a chunk of the session's map.
    Prediction(Uuid),
    /// The points of a chunk of the map, by its prediction.
    ChunkPoints(Uuid),
    /// Frame and index of each point of a result that was made of the map.
    ResultPixels(u64),
    /// Pixels of such a result that other frames contradict.
    ResultContradicted(u64),
    /// A result in one format.
    Result(u64, ResultFormat),
    /// The GLB of an update for one client.
    Update(u64),
}

impl fmt::Display for BlobName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Original(number) => write!(formatter, "{number}.image"),
            Self::Prepared(number) => write!(formatter, "{number}.rgb"),
            Self::Prediction(id) => write!(formatter, "{id}.safetensors"),
            Self::ChunkPoints(id) => write!(formatter, "{id}.points"),
            Self::ResultPixels(number) => write!(formatter, "{number}.pixels"),
            Self::ResultContradicted(number) => write!(formatter, "{number}.contradicted"),
            Self::Result(number, format) => write!(formatter, "{number}.{}", format.extension()),
            Self::Update(number) => write!(formatter, "{number}.update.glb"),
        }
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.session, self.name)
    }
}
