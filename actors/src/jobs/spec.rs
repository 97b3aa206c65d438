//! The specification of a job.

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
    pub kind: JobKind,
    pub priority: JobPriority,
    /// At least one.
    pub frames: Vec<JobFrame>,
    /// The size that all frames are cropped to.
    pub size: FrameSize,
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
    /// The prepared frame: rows of RGB bytes.
    pub blob: BlobKey,
    /// Its size.
    pub size: FrameSize,
    /// Its camera at this size, if the client knows it.
    pub camera: Option<KnownCamera>,
    /// What its file says about its camera, at this size.
    pub hint: CameraHint,
    /// Its camera at the size of the job, if an earlier job has placed it. A job with such frames
    /// predicts the others in their coordinates.
    pub placed: Option<Camera>,
}
