//! The progress of a request, as clients see it.

use pointstream_reconstruction::model::Step;

use super::mapping::MapProgress;
use crate::jobs::JobProgress;
use crate::session_event::{Progress, Stage};

/// The share of the whole request that is done when each part begins. The parts of the model are
/// weighted by the time that the embedded model takes for them.
mod share {
    pub const ENCODE: f32 = 0.05;
    pub const RELATE: f32 = 0.15;
    pub const DENSE: f32 = 0.40;
    pub const FUSE: f32 = 0.80;
    pub const EXPORT: f32 = 0.90;
    pub const FINALIZE: f32 = 0.97;
}

fn progress(stage: Stage, fraction: f32, message: impl Into<String>) -> Progress {
    Progress {
        stage,
        fraction,
        message: message.into(),
    }
}

pub(super) fn waiting() -> Progress {
    progress(
        Stage::LoadingModel,
        0.0,
        "Waiting for a worker with the model",
    )
}

pub(super) fn accepted() -> Progress {
    progress(Stage::LoadingModel, share::ENCODE, "Model is loaded")
}

pub(super) fn of_job(job: JobProgress) -> Progress {
    let part = |from: f32, to: f32, done: usize, total: usize| {
        from + (to - from) * done as f32 / total.max(1) as f32
    };
    let (fraction, message) = match job {
        JobProgress::Encoded { done, total } => (
            part(share::ENCODE, share::RELATE, done, total),
            format!("Encoded frame {done}/{total}"),
        ),
        JobProgress::Model(Step::Relating) => (share::RELATE, "Finding the cameras".to_owned()),
        JobProgress::Model(Step::Dense { done, total }) => (
            part(share::DENSE, share::FUSE, done, total),
            format!("Processing frame {}/{total}", (done + 1).min(total)),
        ),
        JobProgress::Model(Step::Fused { done, total }) => (
            part(share::FUSE, share::EXPORT, done, total),
            format!("Checking frame {}/{total}", (done + 1).min(total)),
        ),
    };
    progress(Stage::Inference, fraction, message)
}

/// Progress of a request that waits for the map.
pub(super) fn of_map(map: MapProgress) -> Progress {
    let total = map.total.max(1);
    let done = (map.done as f32 + map.running).min(total as f32);
    let fraction = share::ENCODE + (share::EXPORT - share::ENCODE) * done / total as f32;
    let message = format!("Placing frame {}/{total}", (map.done + 1).min(total));
    progress(Stage::Inference, fraction, message)
}

/// Frames of different runs of the model are compared.
pub(super) fn comparing(frames: usize) -> Progress {
    let message = format!("Comparing {frames} frames");
    progress(Stage::Exporting, share::EXPORT, message)
}

pub(super) fn exporting(frames: usize) -> Progress {
    let message = format!("Making the point cloud of {frames} frames");
    progress(Stage::Exporting, share::EXPORT, message)
}

pub(super) fn storing(points: usize) -> Progress {
    let message = format!("Storing {points} points");
    progress(Stage::Finalizing, share::FINALIZE, message)
}

pub(super) fn done() -> Progress {
    progress(Stage::Finalizing, 1.0, "Done")
}
