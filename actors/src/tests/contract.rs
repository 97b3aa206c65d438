//! The pool with workers of this machine fulfils the contract of dispatchers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use pointstream_reconstruction::cloud::MAP_POINT_NEED;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::{FakeModel, settings};
use crate::blobs::{Blobs, DataDir, DiskLimits};
use crate::jobs::contract::{self, Subject};
use crate::jobs::{Dispatcher as _, HoldFailed, JobFailure, JobKind};
use crate::journal::Durability;
use crate::metrics::Metrics;
use crate::pool::PoolDispatcher;
use crate::settings::Settings;

/// An actor that only supervises the pool.
pub(super) struct Parent;

impl Actor for Parent {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// A started pool.
pub(super) struct Local {
    pub subject: Subject,
    pub dispatcher: Arc<PoolDispatcher>,
    encoded: Arc<Mutex<Vec<usize>>>,
    pub metrics: Arc<Metrics>,
    _folder: tempfile::TempDir,
}

impl Local {
    async fn start(model: FakeModel) -> Self {
        Self::with(model, |_| {}).await
    }

    pub async fn with(model: FakeModel, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let encoded = model.encoded.clone();
        let mut settings = settings(folder.path(), model, 1);
        change(&mut settings);
        let metrics = Metrics::new().expect("valid metrics");
        let data_dir = DataDir::open(
            folder.path(),
            DiskLimits::NONE,
            metrics.disk.clone(),
            Durability::Sync,
        );
        let blobs: Arc<dyn Blobs> = Arc::new(data_dir.expect("usable"));
        let dispatcher = Arc::new(PoolDispatcher::new(
            Arc::new(settings.pool),
            blobs.clone(),
            metrics.clone(),
            None,
        ));
        let (parent, _) = Actor::spawn(None, Parent, ()).await.expect("it starts");
        dispatcher
            .start(parent.get_cell())
            .await
            .expect("it starts");
        let subject = Subject {
            dispatcher: dispatcher.clone(),
            blobs,
        };
        subject.ready().await;
        Self {
            subject,
            dispatcher,
            encoded,
            metrics,
            _folder: folder,
        }
    }

    /// Frames that the model has encoded.
    fn encoded(&self) -> usize {
        self.encoded.lock().expect("no panic").iter().sum()
    }

    /// Bytes of encoded frames that are kept.
    fn features_in_use(&self) -> u64 {
        self.metrics.feature_memory().used
    }
}

/// Controls a model whose calls of `encode` wait until `hold` is dropped.
pub(super) struct Held {
    pub hold: Sender<()>,
    pub entered: UnboundedReceiver<usize>,
}

impl Held {
    pub fn model() -> (FakeModel, Self) {
        let (hold, gate) = mpsc::channel();
        let (sender, entered) = unbounded_channel();
        let model = FakeModel {
            frames_per_call: 4,
            gate: Some(Arc::new(Mutex::new(gate))),
            entered: Some(sender),
            ..FakeModel::new()
        };
        (model, Self { hold, entered })
    }

    /// Waits until a call has begun. Returns its number of frames.
    pub async fn running(&mut self) -> usize {
        self.entered.recv().await.expect("the model lives")
    }
}

#[tokio::test]
async fn a_job_is_accepted_reports_progress_and_has_a_result() {
    let local = Local::start(FakeModel::new()).await;
    contract::a_job_is_accepted_reports_progress_and_has_a_result(&local.subject).await;
}

#[tokio::test]
async fn encoded_frames_are_kept_until_they_are_forgotten() {
    let local = Local::start(FakeModel::new()).await;
    contract::encoded_frames_are_kept_until_they_are_forgotten(&local.subject, || local.encoded())
        .await;
}

#[tokio::test]
async fn a_missing_frame_fails_its_own_job_only() {
    let (model, mut held) = Held::model();
    let local = Local::start(model).await;
    let running = async { held.entered.recv().await.expect("the model lives") };
    contract::a_missing_frame_fails_its_own_job_only(&local.subject, running, held.hold).await;
    let calls = local.encoded.lock().expect("no panic").clone();
    assert_eq!(
        calls,
        [1, 1, 2],
        "the two frames that can be read share a call, after the reconstruction"
    );
}

#[tokio::test]
async fn requests_come_first_and_sessions_take_turns() {
    let (model, mut held) = Held::model();
    let local = Local::start(model).await;
    let calls = || local.encoded.lock().expect("no panic").clone();
    let running = async { held.entered.recv().await.expect("the model lives") };
    let subject = &local.subject;
    contract::requests_come_first_and_sessions_take_turns(subject, running, held.hold, calls).await;
    contract::until(|| local.metrics.queued_jobs() == 0).await;
}

#[tokio::test]
async fn a_session_leaves_room_for_others() {
    let (model, mut held) = Held::model();
    let local = Local::with(model, |settings| settings.pool.queue_capacity = 4).await;
    let running = async { held.entered.recv().await.expect("the model lives") };
    contract::a_session_leaves_room_for_others(&local.subject, running, held.hold).await;
}

#[tokio::test]
async fn a_dropped_handle_cancels_its_job() {
    let (model, held) = Held::model();
    let local = Local::start(model).await;
    let encoded = || local.encoded();
    contract::a_dropped_handle_cancels_its_job(&local.subject, held.hold, encoded).await;
}

#[tokio::test]
async fn nothing_is_kept_of_a_job_that_is_cancelled_while_it_runs() {
    let (model, mut held) = Held::model();
    let local = Local::start(model).await;
    let subject = &local.subject;
    let session = subject.session(1);
    let running = subject.submit(session, JobKind::Encode, &[1]);
    held.running().await;
    drop(running);
    subject.dispatcher.forget(session);
    drop(held.hold);
    let again = subject.submit(session, JobKind::Reconstruct, &[1]);
    contract::end(again).await.expect("reconstructed");
    assert_eq!(local.encoded(), 2, "its frame was not kept");
}

#[tokio::test]
async fn a_call_of_the_model_ends_when_its_job_is_cancelled() {
    let model = FakeModel {
        endless: Arc::new(AtomicU32::new(1)),
        ..FakeModel::new()
    };
    let endless = model.endless.clone();
    let local = Local::start(model).await;
    let subject = &local.subject;
    let session = subject.session(1);
    let running = subject.submit(session, JobKind::Reconstruct, &[1]);
    contract::until(|| endless.load(Ordering::SeqCst) == 0).await;
    drop(running);
    let next = subject.submit(session, JobKind::Reconstruct, &[1]);
    contract::end(next).await.expect("reconstructed");
    assert_eq!(local.metrics.totals().worker_restarts, 0);
}

#[tokio::test]
async fn nothing_is_kept_of_a_job_whose_worker_was_killed() {
    let (model, mut held) = Held::model();
    let local = Local::start(model).await;
    let subject = &local.subject;
    let session = subject.session(1);
    let running = subject.submit(session, JobKind::Encode, &[1]);
    held.running().await;
    let (reply, restarted) = oneshot::channel();
    local.dispatcher.restart_worker(0, reply);
    restarted
        .await
        .expect("the pool lives")
        .expect("it is the first restart");
    drop(running);
    subject.dispatcher.forget(session);
    drop(held.hold);
    // Both the abandoned thread and the retry have let go of the frame.
    contract::until(|| local.features_in_use() == 0 && local.encoded() > 0).await;
    let again = subject.submit(session, JobKind::Reconstruct, &[1]);
    contract::end(again).await.expect("reconstructed");
}

#[tokio::test]
async fn a_new_worker_waits_for_the_thread_of_the_last_one() {
    let (model, mut held) = Held::model();
    let local = Local::start(model).await;
    let subject = &local.subject;
    let session = subject.session(1);
    let running = subject.submit(session, JobKind::Encode, &[1]);
    held.running().await;
    let (reply, restarted) = oneshot::channel();
    local.dispatcher.restart_worker(0, reply);
    restarted
        .await
        .expect("the pool lives")
        .expect("it is the first restart");
    contract::until(|| local.metrics.totals().worker_restarts == 1).await;
    // The old thread has its model while it is in a call of it: a second one would double the memory.
    for _ in 0..50 {
        assert_eq!(subject.dispatcher.status().ready_workers, 0);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(held.hold);
    subject.ready().await;
    contract::end(running).await.expect("it is tried again");
}

#[tokio::test]
async fn a_failing_model_is_reported_at_once_and_its_worker_restarted() {
    let model = FakeModel {
        fails: true,
        ..FakeModel::new()
    };
    let local = Local::start(model).await;
    let subject = &local.subject;
    let session = subject.session(1);
    let outcome = contract::end(subject.submit(session, JobKind::Reconstruct, &[1])).await;
    let Err(JobFailure::Model(reason)) = outcome else {
        panic!("the model's failure is due, but it is {outcome:?}");
    };
    assert!(reason.contains("told to fail"), "{reason}");
    assert_eq!(local.encoded(), 1, "it was not tried again");
    contract::until(|| local.metrics.totals().worker_restarts == 1).await;
    subject.ready().await;
}

#[tokio::test]
async fn a_full_queue_refuses_jobs() {
    let (model, mut held) = Held::model();
    let local = Local::with(model, |settings| settings.pool.queue_capacity = 1).await;
    let subject = &local.subject;
    let session = subject.session(1);
    let submit = || subject.submit(session, JobKind::Reconstruct, &[1]);
    let running = submit();
    held.running().await;
    let (waiting, refused) = (submit(), submit());
    let outcome = contract::end(refused).await;
    assert_eq!(outcome, Err(JobFailure::QueueFull { capacity: 1 }));
    drop(held.hold);
    for job in [running, waiting] {
        contract::end(job).await.expect("reconstructed");
    }
}

#[tokio::test]
async fn a_drained_dispatcher_ends_what_waits_and_accepts_nothing() {
    let (model, mut held) = Held::model();
    let local = Local::start(model).await;
    let subject = &local.subject;
    let session = subject.session(1);
    let submit = || subject.submit(session, JobKind::Reconstruct, &[1]);
    let running = submit();
    held.running().await;
    let waiting = submit();
    local.dispatcher.drain();
    let late = submit();
    for job in [waiting, late] {
        let outcome = contract::end(job).await;
        assert_eq!(outcome, Err(JobFailure::ShuttingDown));
    }
    drop(held.hold);
    contract::end(running).await.expect("a running job may end");
}

#[tokio::test]
async fn a_job_that_takes_too_long_ends_and_the_next_one_runs() {
    let (model, held) = Held::model();
    let limit = Duration::from_secs(1);
    let local = Local::with(model, |settings| settings.pool.job_timeout = limit).await;
    let subject = &local.subject;
    let session = subject.session(1);
    let stuck = subject.submit(session, JobKind::Reconstruct, &[1]);
    let outcome = contract::end(stuck).await;
    assert_eq!(outcome, Err(JobFailure::TimedOut(1)));
    drop(held.hold);
    let next = subject.submit(session, JobKind::Reconstruct, &[1]);
    contract::end(next).await.expect("reconstructed");
}

#[tokio::test]
async fn a_point_cloud_waits_for_memory_as_long_as_a_job_may_take() {
    let local = Local::with(FakeModel::new(), |settings| {
        settings.pool.job_memory_bytes = 3 * MAP_POINT_NEED;
        settings.pool.job_timeout = Duration::from_secs(1);
    });
    let dispatcher = local.await.dispatcher;
    let first = dispatcher.hold(2).await.expect("free");
    let second = dispatcher.hold(2).await;
    assert_eq!(second.err(), Some(HoldFailed::TimedOut(1)));
    drop(first);
    dispatcher.hold(2).await.expect("free again");
}
