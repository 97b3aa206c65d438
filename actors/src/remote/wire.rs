//! What gateways and nodes send each other.

use std::collections::BTreeMap;
use std::time::Duration;

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::MAX_PROCESSED_PIXELS;
use pointstream_reconstruction::map::PlaceVector;
use pointstream_reconstruction::model::{AdjustedCamera, Metadata};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::sealed::SealedBlob;
use crate::blobs::BlobKey;
use crate::ids::SessionId;
use crate::jobs::{JobEvent, JobFailure, JobSpec, JobTimings};

/// Version of these messages. Gateways and nodes of different versions do not work together.
pub(super) const PROTOCOL: u32 = 1;

/// A node that has said nothing for so long counts as gone.
pub(super) const NODE_LEASE: Duration = Duration::from_secs(10);

/// Jobs of one assignment: frames that are encoded in one call.
pub(super) const MAX_JOBS: usize = 256;
/// Longest text of a failure, in bytes.
const MAX_TEXT: usize = 4096;

/// Identifies a life of a node.
pub type NodeId = Uuid;

/// Identifies an assignment.
pub(crate) type AssignmentId = Uuid;

/// Identifies the coordinates of a session's map, which an adjustment changes.
pub(crate) type MapsId = Uuid;

/// Jobs for a worker of a node, in the work queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub id: AssignmentId,
    /// Who waits for the report.
    pub gateway: Uuid,
    /// One, or several that only encode frames.
    pub jobs: Vec<JobSpec>,
    /// For each job, which maps of the model go with the coordinates of its session. A node that has others
    /// drops them.
    pub maps: Vec<MapsId>,
    /// What the jobs read.
    pub blobs: Vec<SealedBlob>,
}

/// The content of a message, or where it is: a message has a limit.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Letter<T> {
    Here(T),
    Stored(SealedBlob),
}

/// What has become of an assignment. The last word about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub assignment: AssignmentId,
    pub node: NodeId,
    pub outcome: Outcome,
}

/// What has become of an assignment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The end of each job, in their order.
    Ended(Vec<Result<RemoteDone, JobFailure>>),
    /// These blobs are not in the store any more.
    Missing(Vec<BlobKey>),
}

/// A job has succeeded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RemoteDone {
    /// The prediction, of a reconstruction.
    pub result: Option<SealedBlob>,
    pub places: Vec<Option<PlaceVector>>,
    pub adjusted: Vec<Option<AdjustedCamera>>,
    pub timings: JobTimings,
}

/// What happens to a job before its end. Some may be lost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub assignment: AssignmentId,
    /// Which job of the assignment.
    pub job: usize,
    pub event: JobEvent,
}

/// What gateways tell all nodes. Some may be lost, so nothing depends on it but time and memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Control {
    /// Nobody waits for the jobs of an assignment any more.
    Cancel(AssignmentId),
    /// The job of an assignment has had its turn, and others wait.
    MakeWay(AssignmentId),
    /// A session has ended.
    Forget(SessionId),
    /// No job needs these encoded frames soon.
    ForgetFrames(SessionId, Vec<BlobKey>),
}

/// A node, as it presents itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    pub id: NodeId,
    /// The name of its machine.
    pub host: String,
    /// Version of the program.
    pub version: String,
    /// Version of the messages that it understands.
    pub protocol: u32,
    /// Its model.
    pub model: String,
    pub model_version: String,
    /// Version of the contract between archive and program.
    pub contract_version: u32,
    /// Digest of the model's archive.
    pub digest: String,
    /// The device of each worker.
    pub workers: Vec<NodeWorker>,
    /// Assignments that run or wait, by the gateway that they are of.
    pub assignments: BTreeMap<Uuid, usize>,
    /// Whether there is room for more encoded frames.
    pub takes_frames: bool,
    /// Whether it takes no more assignments.
    pub is_ending: bool,
}

/// A worker of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeWorker {
    pub device: String,
    /// Whether its model is loaded.
    pub is_ready: bool,
    /// Frames that it encodes in one call.
    pub frames_per_call: usize,
}

/// What a gateway answers to a node that asks whether it is welcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Welcome {
    Yes,
    No(String),
}

/// What a node answers when one of its workers is to be restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Restarted {
    Yes,
    NoSuchWorker,
    /// It has no model at the moment.
    Starting,
    /// Its last restart was a moment ago.
    TooSoon {
        seconds: u64,
    },
}

/// A message is not what it should be.
#[derive(Debug, Error)]
pub(crate) enum BadMessage {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("{0}")]
    Wrong(&'static str),
}

pub(super) fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, BadMessage> {
    Ok(serde_json::from_slice(payload)?)
}

impl NodeRecord {
    /// Whether this gateway's jobs can run there. Otherwise what is wrong, and what would help.
    pub(crate) fn suits(&self, model: &Metadata) -> Welcome {
        let refused = if self.protocol != PROTOCOL {
            let newer = if self.protocol < PROTOCOL {
                "worker"
            } else {
                "server"
            };
            format!(
                "the worker speaks version {} of the protocol between servers and workers, and the server \
                 version {PROTOCOL}; install a newer {newer}",
                self.protocol
            )
        } else if self.contract_version != model.contract_version {
            format!(
                "the worker's model follows version {} of the contract for archives, and the server's version \
                 {}; start both with the same --model",
                self.contract_version, model.contract_version
            )
        } else if self.digest != model.digest {
            format!(
                "the worker has the model {} {} ({}), and the server {} {} ({}); start both with the same --model",
                self.model,
                self.model_version,
                self.digest,
                model.name,
                model.version,
                model.digest
            )
        } else {
            return Welcome::Yes;
        };
        Welcome::No(refused)
    }
}

impl Assignment {
    /// Checks what the serialisation does not: a node believes a gateway no more than a gateway its clients.
    pub fn check(&self, model: &Metadata) -> Result<(), BadMessage> {
        let wrong = |what| Err(BadMessage::Wrong(what));
        if self.jobs.is_empty() || self.jobs.len() > MAX_JOBS || self.maps.len() != self.jobs.len()
        {
            return wrong("it has no jobs, or too many");
        }
        // Lower bounds make images longer than the resolution, so the pixels count.
        let impossible = |size: FrameSize| !(1..=MAX_PROCESSED_PIXELS).contains(&size.pixels());
        let mut sizes = self.jobs.iter().map(|job| job.size);
        if sizes.any(|size| {
            let sides = [size.width, size.height];
            impossible(size) || sides.iter().any(|side| side % model.patch_size != 0)
        }) {
            return wrong("the size of its frames does not suit the model");
        }
        for job in &self.jobs {
            if job.frames.is_empty() {
                return wrong("a job has no frames");
            }
            let belongs = |key: &BlobKey| key.session == job.session;
            let are_mine = job.frames.iter().all(|frame| belongs(&frame.blob))
                && job.runs.iter().all(|run| belongs(&run.prediction));
            if !are_mine {
                return wrong("a job reads files of another session");
            }
            if job.frames.iter().any(|frame| impossible(frame.size)) {
                return wrong("a frame is too large, or empty");
            }
            let frames = job.frames.len();
            let mut indices = job.runs.iter().flat_map(|run| run.frames.iter().flatten());
            if indices.any(|index| *index >= frames) {
                return wrong("a run has a frame that its job does not have");
            }
        }
        Ok(())
    }
}

impl Outcome {
    /// All jobs fail alike.
    pub fn failed(jobs: usize, failure: JobFailure) -> Self {
        Self::Ended(std::iter::repeat_n(failure, jobs).map(Err).collect())
    }

    /// Checks what a node says about these jobs.
    pub fn check(&mut self, jobs: &[&JobSpec]) -> Result<(), BadMessage> {
        let Self::Ended(ends) = self else {
            return Ok(());
        };
        if ends.len() != jobs.len() {
            return Err(BadMessage::Wrong("it is about other jobs"));
        }
        for (end, job) in ends.iter_mut().zip(jobs) {
            match end {
                Ok(done) => {
                    let fits = |count: usize| count == 0 || count == job.frames.len();
                    let of_session = |blob: &SealedBlob| blob.key.session == job.session;
                    if !fits(done.places.len()) || !fits(done.adjusted.len()) {
                        return Err(BadMessage::Wrong("it is about other frames"));
                    }
                    if !done.result.iter().all(of_session) {
                        return Err(BadMessage::Wrong("its result is of another session"));
                    }
                }
                Err(failure) => shorten(failure),
            }
        }
        Ok(())
    }
}

/// What a node says may end in messages to clients.
fn shorten(failure: &mut JobFailure) {
    let (JobFailure::Model(text)
    | JobFailure::OutOfMemory(text)
    | JobFailure::Frame(text)
    | JobFailure::Prediction(text)
    | JobFailure::WorkerDied(text)
    | JobFailure::NoWorker(text)
    | JobFailure::Store { message: text, .. }) = failure
    else {
        return;
    };
    let end = (0..=MAX_TEXT.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
}
