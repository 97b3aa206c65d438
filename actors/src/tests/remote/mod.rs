//! Workers of other processes fulfil the contract of dispatchers, and lose no job.

mod faults;
mod figures;
pub(super) mod nats_server;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::Actor;
use tokio_util::task::AbortOnDropHandle;

use self::nats_server::NatsServer;
use super::contract::{Held, Parent};
use super::{FakeModel, settings};
use crate::blobs::{Blobs, DataDir, DiskLimits};
use crate::jobs::contract::{self, Subject};
use crate::jobs::{Dispatcher as _, JobKind};
use crate::journal::Durability;
use crate::metrics::Metrics;
use crate::pool::PoolDispatcher;
use crate::remote::gateway::Gateway;
use crate::settings::Settings;
use crate::{BlobPlace, NatsSettings, Node, NodeSettings};

/// A gateway without workers of its own, and its NATS server.
struct Remote {
    subject: Subject,
    dispatcher: Arc<PoolDispatcher>,
    gateway: Arc<Gateway>,
    metrics: Arc<Metrics>,
    nats: NatsServer,
    settings: NatsSettings,
    _receiving: AbortOnDropHandle<()>,
    _folder: tempfile::TempDir,
}

/// A node with the folder of its files.
struct TestNode {
    node: Node,
    encoded: Arc<Mutex<Vec<usize>>>,
    folder: tempfile::TempDir,
}

impl Remote {
    async fn start(model: &FakeModel, change: impl FnOnce(&mut Settings)) -> Self {
        Self::with_blobs(model, BlobPlace::Nats, change).await
    }

    async fn with_blobs(
        model: &FakeModel,
        place: BlobPlace,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let nats = NatsServer::start();
        let nats_settings = NatsSettings {
            url: nats.url(),
            credentials: None,
            ca: None,
            certificate: None,
            prefix: "test".to_owned(),
            replicas: 1,
            blobs: place,
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = settings(folder.path(), model.clone(), 0);
        settings.pool.devices.clear();
        change(&mut settings);
        let metrics = Metrics::new().expect("valid metrics");
        let data_dir = DataDir::open(
            folder.path(),
            DiskLimits::NONE,
            metrics.disk.clone(),
            Durability::None,
        );
        let blobs: Arc<dyn Blobs> = Arc::new(data_dir.expect("usable"));
        let gateway = Gateway::new(
            nats_settings.clone(),
            settings.pool.model.clone(),
            blobs.clone(),
        );
        let receiving = gateway.start();
        let dispatcher = Arc::new(PoolDispatcher::new(
            Arc::new(settings.pool),
            blobs.clone(),
            metrics.clone(),
            Some(gateway.clone()),
        ));
        let (parent, _) = Actor::spawn(None, Parent, ()).await.expect("it starts");
        dispatcher
            .start(parent.get_cell())
            .await
            .expect("it starts");
        Self {
            subject: Subject {
                dispatcher: dispatcher.clone(),
                blobs,
            },
            dispatcher,
            gateway,
            metrics,
            nats,
            settings: nats_settings,
            _receiving: receiving,
            _folder: folder,
        }
    }

    /// A gateway with one node.
    async fn with_node(model: FakeModel, change: impl FnOnce(&mut Settings)) -> (Self, TestNode) {
        let remote = Self::start(&model, change).await;
        let node = remote.node(model).await;
        remote.subject.ready().await;
        (remote, node)
    }

    fn dispatcher_status(&self) -> crate::jobs::DispatcherStatus {
        self.dispatcher.status()
    }

    async fn node(&self, model: FakeModel) -> TestNode {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let encoded = model.encoded.clone();
        let pool = settings(folder.path(), model, 1).pool;
        let settings = NodeSettings {
            nats: self.settings.clone(),
            host: "test".to_owned(),
            version: "1".to_owned(),
            data_dir: folder.path().join("files"),
            cache_bytes: 1 << 20,
            disk_reserve: 0,
            pool,
            drain_timeout: Duration::from_secs(10),
        };
        TestNode {
            node: Box::pin(Node::start(settings)).await.expect("it joins"),
            encoded,
            folder,
        }
    }
}

impl TestNode {
    /// Frames that the model has encoded.
    fn encoded(&self) -> usize {
        self.calls().iter().sum()
    }

    /// Frames of each call.
    fn calls(&self) -> Vec<usize> {
        self.encoded.lock().expect("no panic").clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_accepted_reports_progress_and_has_a_result() {
    let (remote, _node) = Remote::with_node(FakeModel::new(), |_| {}).await;
    contract::a_job_is_accepted_reports_progress_and_has_a_result(&remote.subject).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_may_travel_through_a_shared_folder() {
    let shared = tempfile::tempdir().expect("a temporary folder");
    let place = BlobPlace::Folder(shared.path().join("blobs"));
    let model = FakeModel::new();
    let remote = Remote::with_blobs(&model, place, |_| {}).await;
    let _node = remote.node(model).await;
    remote.subject.ready().await;
    contract::a_job_is_accepted_reports_progress_and_has_a_result(&remote.subject).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encoded_frames_are_kept_until_they_are_forgotten() {
    let (remote, node) = Remote::with_node(FakeModel::new(), |_| {}).await;
    contract::encoded_frames_are_kept_until_they_are_forgotten(&remote.subject, || node.encoded())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_frame_fails_its_own_job_only() {
    let (model, mut held) = Held::model();
    let (remote, node) = Remote::with_node(model, |_| {}).await;
    let running = async { held.entered.recv().await.expect("the model lives") };
    contract::a_missing_frame_fails_its_own_job_only(&remote.subject, running, held.hold).await;
    assert_eq!(
        node.calls(),
        [1, 1, 2],
        "the two frames that can be read share a call, after the reconstruction"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_come_first_and_sessions_take_turns() {
    let (model, mut held) = Held::model();
    let (remote, node) = Remote::with_node(model, |_| {}).await;
    let calls = || node.calls();
    let running = async { held.entered.recv().await.expect("the model lives") };
    let subject = &remote.subject;
    contract::requests_come_first_and_sessions_take_turns(subject, running, held.hold, calls).await;
    contract::until(|| remote.metrics.queued_jobs() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_leaves_room_for_others() {
    let (model, mut held) = Held::model();
    let (remote, _node) =
        Remote::with_node(model, |settings| settings.pool.queue_capacity = 4).await;
    let running = async { held.entered.recv().await.expect("the model lives") };
    contract::a_session_leaves_room_for_others(&remote.subject, running, held.hold).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_handle_cancels_its_job() {
    let (model, held) = Held::model();
    let (remote, node) = Remote::with_node(model, |_| {}).await;
    let encoded = || node.encoded();
    contract::a_dropped_handle_cancels_its_job(&remote.subject, held.hold, encoded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_leaves_nothing() {
    let shared = tempfile::tempdir().expect("a temporary folder");
    let model = FakeModel::new();
    let place = BlobPlace::Folder(shared.path().to_owned());
    let remote = Remote::with_blobs(&model, place, |_| {}).await;
    let node = remote.node(model).await;
    remote.subject.ready().await;
    let session = remote.subject.session(2);
    let job = remote
        .subject
        .submit(session, JobKind::Reconstruct, &[1, 2]);
    contract::end(job).await.expect("reconstructed");
    let of_node = || count_files(&node.folder.path().join("files/sessions"));
    let between = || count_files(shared.path());
    assert_eq!((of_node(), between()), (2, 2), "both have the frames");
    remote.dispatcher.forget(session);
    contract::until(|| of_node() == 0 && between() == 0).await;
}

/// Files below a folder.
fn count_files(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => count_files(&path),
            _ => 1,
        })
        .sum()
}
