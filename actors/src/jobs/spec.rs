//! The specification of a job.

use std::sync::Arc;

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::{CameraHint, KnownCamera};
use pointstream_reconstruction::prediction::Camera;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::blobs::BlobKey;
use crate::ids::{JobId, SessionId};

/// A job of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobSpec {
    pub id: JobId,
    pub session: SessionId,
    /// The name of the session's creator, if there is one.
    #[serde(default)]
    pub creator: Option<Arc<str>>,
    pub kind: JobKind,
    pub priority: JobPriority,
    /// At least one.
    pub frames: Vec<JobFrame>,
    /// The size that all frames are cropped to.
    pub size: FrameSize,
    /// The runs of the model that have placed the frames, for [`JobKind::Adjust`].
    #[serde(default)]
    pub runs: Vec<LinkedRun>,
    /// Whether its submitter goes on with smaller jobs if this one has to make way for others: it fails
    /// with [`JobFailure::MadeWay`](super::JobFailure::MadeWay) then. Otherwise it begins again later.
    #[serde(default)]
    pub divisible: bool,
}

impl JobSpec {
    /// Whom it is done for.
    pub fn client(&self) -> Client {
        let creator = self.creator.clone();
        creator.map_or(Client::Session(self.session), Client::Creator)
    }
}

/// Whom jobs are done for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// All sessions that were created under a name.
    Creator(Arc<str>),
    /// A session without such a name.
    Session(SessionId),
}

/// A run of the model that tells which points its frames share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinkedRun {
    pub prediction: BlobKey,
    /// For each frame of the run, its index in the job; `None` for one that the job does not have.
    pub frames: Vec<Option<usize>>,
}

/// The kinds of jobs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum JobKind {
    /// Encode frames before a reconstruction needs them. The dispatcher keeps them; there is
    /// no result.
    Encode,
    /// Predict depth, confidence and cameras: of all frames, or of those that are not placed.
    Reconstruct,
    /// Adjust the cameras of frames that are all placed, together.
    Adjust,
}

/// How urgent a job is, whatever its kind. The most urgent comes first.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum JobPriority {
    /// A client waits for it.
    Requested,
    /// It is done before anybody asks. The dispatcher may refuse it in favour of what clients wait
    /// for, so nobody may depend on it.
    Ahead,
}

/// A frame of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobFrame {
    /// The file of the prepared frame.
    pub blob: BlobKey,
    /// Its size.
    pub size: FrameSize,
    /// Whether pixels are hidden; the file tells which.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_hidden: bool,
    /// Its camera at this size, if the client knows it.
    pub camera: Option<KnownCamera>,
    /// What its file says about its camera, at this size.
    pub hint: CameraHint,
    /// Its camera at the size of the job, if an earlier job has placed it. A job with such frames
    /// predicts the others in their coordinates.
    pub placed: Option<Camera>,
}
