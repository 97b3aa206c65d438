//! The local dispatcher fulfils the contract of dispatchers.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, mpsc};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{FakeModel, settings};
use crate::blobs::{Blobs, DataDir};
use crate::jobs::contract::{self, Subject};
use crate::jobs::{JobFailure, JobKind};
use crate::metrics::Metrics;
use crate::pool::LocalDispatcher;
use crate::settings::Settings;

/// An actor that only supervises the pool.
struct Parent;

impl Actor for Parent {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// A started local dispatcher.
struct Local {
    subject: Subject,
    dispatcher: Arc<LocalDispatcher>,
    encoded: Arc<Mutex<Vec<usize>>>,
    _folder: tempfile::TempDir,
}

impl Local {
    async fn start(model: FakeModel) -> Self {
        Self::with(model, |_| {}).await
    }

    async fn with(model: FakeModel, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let encoded = model.encoded.clone();
        let mut settings = settings(folder.path(), model, 1);
        change(&mut settings);
        let data_dir = DataDir::open(folder.path()).expect("usable");
        let blobs: Arc<dyn Blobs> = Arc::new(data_dir);
        let metrics = Metrics::new().expect("valid metrics");
        let dispatcher = Arc::new(LocalDispatcher::new(
            Arc::new(settings),
            blobs.clone(),
            metrics,
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
            _folder: folder,
        }
    }

    fn encoded(&self) -> usize {
        self.encoded.lock().expect("no panic").iter().sum()
    }
}

/// A model whose calls of `encode` wait until the sender is dropped.
fn held() -> (FakeModel, Sender<()>) {
    let (hold, gate) = mpsc::channel();
    let model = FakeModel {
        frames_per_call: 4,
        gate: Some(Arc::new(Mutex::new(gate))),
        ..FakeModel::new()
    };
    (model, hold)
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
    // One by one, and encoded in one call.
    let (held, hold) = held();
    drop(hold);
    for model in [FakeModel::new(), held] {
        let local = Local::start(model).await;
        contract::a_missing_frame_fails_its_own_job_only(&local.subject).await;
    }
}

#[tokio::test]
async fn a_dropped_handle_cancels_its_job() {
    let (model, hold) = held();
    let local = Local::start(model).await;
    contract::a_dropped_handle_cancels_its_job(&local.subject, hold, || local.encoded()).await;
}

#[tokio::test]
async fn nothing_is_kept_of_a_job_that_is_cancelled_while_it_runs() {
    let (model, hold) = held();
    let local = Local::start(model).await;
    let subject = &local.subject;
    let session = subject.session(1);
    let running = subject.submit(session, JobKind::Encode, &[1]);
    // It runs when the next one does not join it.
    let neighbour = subject.session(1);
    let waiting = subject.submit(neighbour, JobKind::Reconstruct, &[1]);
    drop(running);
    subject.dispatcher.forget(session);
    drop(hold);
    contract::end(waiting).await.expect("not affected");
    let before = local.encoded();
    let again = subject.submit(session, JobKind::Reconstruct, &[1]);
    contract::end(again).await.expect("reconstructed");
    assert_eq!(local.encoded(), before + 1, "its frame was not kept");
}

#[tokio::test]
async fn a_full_queue_refuses_jobs() {
    let (model, hold) = held();
    let local = Local::with(model, |settings| settings.queue_capacity = 1).await;
    let subject = &local.subject;
    let session = subject.session(1);
    let jobs: Vec<_> = (0..3)
        .map(|_| subject.submit(session, JobKind::Reconstruct, &[1]))
        .collect();
    let mut outcomes = Vec::new();
    drop(hold);
    for job in jobs {
        outcomes.push(contract::end(job).await.map(|_| ()));
    }
    let refused = JobFailure::QueueFull { capacity: 1 };
    assert_eq!(outcomes[0], Ok(()));
    assert!(outcomes.contains(&Err(refused)), "{outcomes:?}");
}

#[tokio::test]
async fn a_drained_dispatcher_ends_what_waits_and_accepts_nothing() {
    let (model, hold) = held();
    let local = Local::start(model).await;
    let subject = &local.subject;
    let session = subject.session(1);
    let running = subject.submit(session, JobKind::Reconstruct, &[1]);
    let waiting = subject.submit(session, JobKind::Reconstruct, &[1]);
    local.dispatcher.drain();
    let late = subject.submit(session, JobKind::Reconstruct, &[1]);
    for job in [waiting, late] {
        let outcome = contract::end(job).await;
        assert_eq!(outcome, Err(JobFailure::ShuttingDown));
    }
    drop(hold);
    contract::end(running).await.expect("what runs may end");
}

#[tokio::test]
async fn a_job_that_takes_too_long_ends_and_the_next_one_runs() {
    let (model, hold) = held();
    let limit = std::time::Duration::from_millis(50);
    let local = Local::with(model, |settings| settings.job_timeout = limit).await;
    let session = local.subject.session(1);
    let stuck = local.subject.submit(session, JobKind::Reconstruct, &[1]);
    let outcome = contract::end(stuck).await;
    assert_eq!(outcome, Err(JobFailure::TimedOut(0)));
    drop(hold);
    local.subject.ready().await;
}
