//! Why a request has no point cloud.

use pointstream_reconstruction::cloud::CloudError;
use pointstream_reconstruction::formats::WriteError;
use pointstream_reconstruction::formats::glb::GlbError;
use pointstream_reconstruction::map::PointsFileError;
use pointstream_reconstruction::prediction::PredictionFileError;
use thiserror::Error;

use super::memory_advice::MemoryAdvice;
use crate::blocking::WorkFailed;
use crate::error_code::ErrorCode;
use crate::frames::FrameError;
use crate::jobs::{HoldFailed, JobFailure};

/// Why a request has no point cloud.
#[derive(Debug, Error)]
pub(crate) enum GenerationError {
    #[error(transparent)]
    Job(JobFailure),
    /// There is too little memory, so the model was not run.
    #[error("out of memory: {0}")]
    Memory(MemoryAdvice),
    /// There is too little memory for a point cloud that is made without a job.
    #[error(transparent)]
    NoMemory(#[from] HoldFailed),
    #[error("the model's output cannot be read: {0}")]
    ReadPrediction(#[source] std::io::Error),
    /// The blob of the prediction is not a prediction.
    #[error("the model's output cannot be read: {0}")]
    Prediction(#[from] PredictionFileError),
    /// The blob of a chunk's points was changed from outside.
    #[error("a stored part of the point cloud cannot be read: {0}")]
    Points(#[from] PointsFileError),
    #[error("the model's output cannot be used: {0}")]
    Cloud(#[from] CloudError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Glb(#[from] GlbError),
    #[error("the result could not be stored: {0}")]
    Npz(#[from] WriteError),
    #[error("the result could not be stored: {0}")]
    Store(#[from] std::io::Error),
    #[error("internal error: {0}")]
    Internal(String),
}

impl GenerationError {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Job(failure) => code_of_job(failure),
            Self::Memory(_)
            | Self::NoMemory(
                HoldFailed::TooLarge(_)
                | HoldFailed::MeshTooLarge(_)
                | HoldFailed::ComparisonTooLarge(_),
            ) => ErrorCode::OutOfMemory,
            Self::NoMemory(HoldFailed::TimedOut(_)) => ErrorCode::Timeout,
            Self::Store(_) | Self::Npz(_) => ErrorCode::of_files(self),
            Self::ReadPrediction(_) | Self::Prediction(_) | Self::Points(_) | Self::Frame(_) => {
                ErrorCode::StorageFailed
            }
            Self::Cloud(_) => ErrorCode::NoPointCloud,
            Self::Glb(_) | Self::Internal(_) => ErrorCode::Internal,
        }
    }
}

fn code_of_job(failure: &JobFailure) -> ErrorCode {
    match failure {
        JobFailure::OutOfMemory(_) | JobFailure::Shortage(_) | JobFailure::MemoryBusy => {
            ErrorCode::OutOfMemory
        }
        JobFailure::Model(_) | JobFailure::Cancelled => ErrorCode::ModelFailed,
        JobFailure::Frame(_)
        | JobFailure::Prediction(_)
        | JobFailure::Store {
            disk_full: false, ..
        } => ErrorCode::StorageFailed,
        JobFailure::Store {
            disk_full: true, ..
        } => ErrorCode::DiskFull,
        JobFailure::WorkerDied(_) | JobFailure::NoWorker(_) => ErrorCode::WorkerFailed,
        JobFailure::TimedOut(_) => ErrorCode::Timeout,
        JobFailure::MadeWay
        | JobFailure::QueueFull { .. }
        | JobFailure::SessionQueueFull { .. }
        | JobFailure::ClientQueueFull { .. } => ErrorCode::ServerBusy,
        JobFailure::ShuttingDown => ErrorCode::ShuttingDown,
    }
}

impl From<WorkFailed> for GenerationError {
    fn from(failed: WorkFailed) -> Self {
        Self::Internal(failed.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::CloudTooLarge;

    #[test]
    fn a_wait_for_memory_is_not_a_lack_of_it() {
        let waited = GenerationError::from(HoldFailed::TimedOut(3));
        assert_eq!(waited.code(), ErrorCode::Timeout);
        assert!(!waited.to_string().contains("out of memory"), "{waited}");
        let too_large = GenerationError::from(HoldFailed::TooLarge(CloudTooLarge {
            points: 10,
            needed: 100,
            limit: 50,
            fitting: 5,
        }));
        assert_eq!(too_large.code(), ErrorCode::OutOfMemory);
        assert!(
            too_large.to_string().starts_with("out of memory: "),
            "{too_large}"
        );
    }
}
