//! Nodes and NATS fail, and each job has one end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pointstream_reconstruction::geometry::FrameSize;

use super::super::contract::Held;
use super::{FakeModel, Remote};
use crate::NodeStartError;
use crate::jobs::contract;
use crate::jobs::{Dispatcher as _, JobFailure, JobKind};
use crate::remote::wire::{NodeId, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_model_is_refused() {
    let (remote, _node) = Remote::with_node(FakeModel::new(), |_| {}).await;
    let mut other = FakeModel::new();
    other.metadata.digest = "sha256:1".to_owned();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = crate::NodeSettings {
        nats: remote.settings.clone(),
        host: "other".to_owned(),
        version: "1".to_owned(),
        data_dir: folder.path().join("files"),
        cache_bytes: 1 << 20,
        disk_reserve: 0,
        pool: super::settings(folder.path(), other, 1).pool,
        drain_timeout: std::time::Duration::from_secs(1),
    };
    let refused = Box::pin(crate::Node::start(settings)).await.err();
    let Some(NodeStartError::Refused(reason)) = refused else {
        panic!("it must be refused: {refused:?}");
    };
    assert!(reason.contains("same --model"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_for_the_first_node() {
    let model = FakeModel::new();
    let remote = Remote::start(&model, |_| {}).await;
    let session = remote.subject.session(2);
    let job = remote
        .subject
        .submit(session, JobKind::Reconstruct, &[1, 2]);
    let _node = remote.node(model).await;
    contract::end(job).await.expect("reconstructed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_shuts_down_gives_its_job_back() {
    let (model, mut held) = Held::model();
    let (remote, first) = Remote::with_node(model, |_| {}).await;
    let session = remote.subject.session(1);
    let job = remote.subject.submit(session, JobKind::Reconstruct, &[1]);
    held.running().await;
    let second = remote.node(FakeModel::new()).await;
    // The first one's model does not end in time.
    first.node.drain().await;
    contract::end(job).await.expect("reconstructed");
    assert_eq!(second.encoded(), 1);
    drop(held.hold);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_a_node_that_has_left_is_done_by_another_one() {
    let (remote, node) = Remote::with_node(FakeModel::new(), |_| {}).await;
    let job = contract::spec(remote.subject.session(1), JobKind::Reconstruct, &[1]);
    let files = remote.gateway.send_files(&job).await.expect("sent");
    // As from a gateway that was cut off: the node's queue has been removed.
    let gone = NodeId::new_v4();
    let assigned = remote.gateway.assign(gone, &[&job], files).await;
    let mut assigned = assigned.expect("posted");
    let report = tokio::time::timeout(Duration::from_secs(60), &mut assigned.report).await;
    let report = report
        .expect("it is done in time")
        .expect("it is waited for");
    assert!(matches!(report.outcome, Outcome::Ended(_)));
    assigned.reported();
    assert_eq!(node.encoded(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_node_refuses_is_answered() {
    let (remote, _node) = Remote::with_node(FakeModel::new(), |_| {}).await;
    let session = remote.subject.session(1);
    let mut job = contract::spec(session, JobKind::Reconstruct, &[1]);
    // Not a multiple of the model's patches.
    job.size = FrameSize::new(27, 14);
    let outcome = contract::end(remote.dispatcher.submit(job)).await;
    let Err(JobFailure::WorkerDied(reason)) = outcome else {
        panic!("a refusal is due, but it is {outcome:?}");
    };
    assert!(reason.contains("size of its frames"), "{reason}");
    let next = remote.subject.submit(session, JobKind::Reconstruct, &[1]);
    contract::end(next).await.expect("reconstructed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_may_be_killed_while_a_job_runs() {
    let (model, mut held) = Held::model();
    let (mut remote, node) = Remote::with_node(model, |_| {}).await;
    let session = remote.subject.session(2);
    let job = remote
        .subject
        .submit(session, JobKind::Reconstruct, &[1, 2]);
    held.running().await;
    remote.nats.kill();
    let waiting = remote.subject.submit(session, JobKind::Reconstruct, &[2]);
    drop(held.hold);
    tokio::time::sleep(Duration::from_secs(1)).await;
    remote.nats.restart();
    contract::end(job).await.expect("reconstructed");
    contract::end(waiting).await.expect("reconstructed");
    assert_eq!(node.encoded(), 2, "nothing ran twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_model_is_reported_at_once() {
    let model = FakeModel {
        fails: true,
        ..FakeModel::new()
    };
    let (remote, node) = Remote::with_node(model, |_| {}).await;
    let session = remote.subject.session(1);
    let job = remote.subject.submit(session, JobKind::Reconstruct, &[1]);
    let outcome = contract::end(job).await;
    let Err(JobFailure::Model(reason)) = outcome else {
        panic!("the model's failure is due, but it is {outcome:?}");
    };
    assert!(reason.contains("told to fail"), "{reason}");
    assert_eq!(node.encoded(), 1, "it was not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_model_ends_when_its_job_is_cancelled() {
    let model = FakeModel {
        endless: std::sync::Arc::new(1.into()),
        ..FakeModel::new()
    };
    let endless = model.endless.clone();
    let (remote, _node) = Remote::with_node(model, |_| {}).await;
    let session = remote.subject.session(1);
    let running = remote.subject.submit(session, JobKind::Reconstruct, &[1]);
    contract::until(|| endless.load(Ordering::SeqCst) == 0).await;
    drop(running);
    let next = remote.subject.submit(session, JobKind::Reconstruct, &[1]);
    contract::end(next).await.expect("reconstructed");
    assert_eq!(remote.dispatcher.status().ready_workers, 1);
}
