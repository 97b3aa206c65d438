//! Has jobs done by a node.

use std::sync::Arc;

use futures_util::future::join_all;
use pointstream_reconstruction::model::Workload;
use tokio_util::sync::CancellationToken;

use crate::jobs::{JobDone, JobEvent, JobFailure, JobKind, JobSpec};
use crate::pool::DeviceMemory;
use crate::pool::task::{JobOutcomes, TaskJob};
use crate::remote::NodeId;
use crate::remote::gateway::{Assigned, Gateway};
use crate::remote::sealed::SealedBlob;
use crate::remote::wire::{Outcome, RemoteDone};

/// How often jobs are sent again because files of theirs were lost.
const MAX_SENDS: usize = 3;

/// Has jobs done by a node, and waits for their ends. Dropping the future withdraws them.
pub(super) async fn carry_out(
    gateway: &Arc<Gateway>,
    node: NodeId,
    jobs: &[TaskJob],
    memory: Arc<DeviceMemory>,
) -> JobOutcomes {
    let unwanted = join_all(jobs.iter().map(|job| job.reporter.cancelled().cancelled()));
    let ends = tokio::select! {
        ends = send(gateway, node, jobs) => ends,
        _ = unwanted => jobs.iter().map(|_| Err(JobFailure::Cancelled)).collect(),
    };
    let mut outcomes = Vec::with_capacity(jobs.len());
    for (job, end) in jobs.iter().zip(ends) {
        let outcome = match end {
            Ok(done) => receive(gateway, job, done, &memory).await,
            // Its node had another one to do first. The pool lets it begin again, or its submitter go on.
            Err(JobFailure::MadeWay) => {
                job.turn.over().cancel();
                Err(JobFailure::Cancelled)
            }
            Err(failure) => Err(failure),
        };
        outcomes.push(outcome);
    }
    outcomes
}

/// The end of a job on a node.
type End = Result<RemoteDone, JobFailure>;

/// Gives jobs to a node, and waits for their ends. A job whose files cannot be read does not affect the others.
async fn send(gateway: &Arc<Gateway>, node: NodeId, jobs: &[TaskJob]) -> Vec<End> {
    let mut ends: Vec<Option<End>> = jobs.iter().map(|_| None).collect();
    for _ in 0..MAX_SENDS {
        let (mut sent, mut blobs) = (Vec::new(), Vec::new());
        for (index, job) in jobs.iter().enumerate() {
            match gateway.send_files(&job.spec).await {
                Ok(files) => {
                    sent.push(index);
                    blobs.extend(files);
                }
                Err(error) => ends[index] = Some(Err(error.into())),
            }
        }
        if sent.is_empty() {
            break;
        }
        let outcome = assign(gateway, node, jobs, &sent, blobs).await;
        let missing = match outcome {
            Ok(Outcome::Missing(keys)) => keys,
            Ok(Outcome::Ended(ended)) => {
                for (index, end) in sent.into_iter().zip(ended) {
                    ends[index] = Some(end);
                }
                break;
            }
            Err(failure) => {
                for index in sent {
                    ends[index] = Some(Err(failure.clone()));
                }
                break;
            }
        };
        tracing::warn!(
            files = missing.len(),
            "shared files were lost; sending them again"
        );
        gateway.lost(&missing);
    }
    let lost = || {
        let message = "the files of the job are lost again and again on their way";
        Err(JobFailure::WorkerDied(message.to_owned()))
    };
    ends.into_iter()
        .map(|end| end.unwrap_or_else(lost))
        .collect()
}

/// Puts some of the jobs into the queue of a node, and waits for its report.
async fn assign(
    gateway: &Arc<Gateway>,
    node: NodeId,
    jobs: &[TaskJob],
    sent: &[usize],
    blobs: Vec<SealedBlob>,
) -> Result<Outcome, JobFailure> {
    let jobs: Vec<&TaskJob> = sent.iter().map(|index| &jobs[*index]).collect();
    let specs: Vec<&JobSpec> = jobs.iter().map(|job| job.spec.as_ref()).collect();
    let mut assigned = gateway.assign(node, &specs, blobs).await?;
    let mut outcome = wait(gateway, &mut assigned, &jobs).await?;
    assigned.reported();
    outcome
        .check(&specs)
        .map_err(|error| JobFailure::WorkerDied(format!("its report is wrong: {error}")))?;
    Ok(outcome)
}

/// Passes progress on until the report comes.
async fn wait(
    gateway: &Gateway,
    assigned: &mut Assigned,
    jobs: &[&TaskJob],
) -> Result<Outcome, JobFailure> {
    let over = match jobs {
        [job] => job.turn.over().clone(),
        _ => CancellationToken::new(),
    };
    let mut is_told = false;
    loop {
        tokio::select! {
            report = &mut assigned.report => {
                let gone = |_| JobFailure::WorkerDied("nobody waits for its report".to_owned());
                return Ok(report.map_err(gone)?.outcome);
            }
            Some(progress) = assigned.progress.recv() => {
                let Some(job) = jobs.get(progress.job) else {
                    continue;
                };
                match progress.event {
                    JobEvent::Accepted => {
                        job.turn.begin();
                        job.reporter.report(progress.event);
                    }
                    JobEvent::Waiting | JobEvent::Progress(_) => job.reporter.report(progress.event),
                    // The end is in the report.
                    JobEvent::Done(_) | JobEvent::Failed(_) => {}
                }
            }
            () = over.cancelled(), if !is_told => {
                is_told = true;
                gateway.make_way(assigned.id());
            }
        }
    }
}

/// Fetches the result of a job. Its point cloud is promised memory first.
async fn receive(
    gateway: &Gateway,
    job: &TaskJob,
    done: RemoteDone,
    memory: &Arc<DeviceMemory>,
) -> Result<JobDone, JobFailure> {
    let spec = job.spec.as_ref();
    let (result, held) = match (&done.result, spec.kind) {
        (Some(blob), JobKind::Reconstruct) => {
            let placed = spec.frames.iter().filter(|frame| frame.placed.is_some());
            let frames = match placed.count() {
                0 => spec.frames.len(),
                placed => spec.frames.len() - placed,
            };
            let size = spec.size;
            let work = Workload::Prediction { frames, size };
            let held = memory.clone().take_for_cloud(work).await;
            let held = held.map_err(JobFailure::Shortage)?;
            (Some(gateway.fetch(blob, frames, size).await?), held)
        }
        (None, JobKind::Reconstruct) => {
            let message = "its worker sent no prediction".to_owned();
            return Err(JobFailure::WorkerDied(message));
        }
        (_, JobKind::Encode | JobKind::Adjust) => (None, crate::jobs::Held::default()),
    };
    Ok(JobDone {
        result,
        places: done.places,
        adjusted: done.adjusted,
        timings: done.timings,
        held,
    })
}
