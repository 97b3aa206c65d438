//! The memory of a point cloud is promised until the cloud is stored.

use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use pointstream_reconstruction::formats::ResultFormat;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::watched_blobs::Access;
use super::{Client, FakeModel, Fixture, config, settings};
use crate::blobs::BlobName;
use crate::jobs::contract::until;
use crate::{AttachOptions, ClientMessage, Deltas, ErrorCode, OnCancelled, SessionEvent, Whose};

const MIB: u64 = 1 << 20;

/// A system whose point clouds wait before they are stored, with memory for one of them.
struct Held {
    fixture: Fixture,
    /// Numbers of frames of the model's predictions.
    predicted: Arc<Mutex<Vec<usize>>>,
    /// Clouds that are about to be stored.
    begun: UnboundedReceiver<()>,
    release: mpsc::Sender<io::Result<()>>,
}

impl Held {
    /// `watched` says which blobs of point clouds wait.
    async fn start(watched: fn(BlobName) -> bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let model = FakeModel::new();
        let predicted = model.predicted.clone();
        let mut settings = settings(folder.path(), model, 1);
        settings.pool.job_memory_bytes = 2 * MIB;
        settings.pool.feature_cache_bytes = 0;
        let (sender, begun) = unbounded_channel();
        let (release, gate) = mpsc::channel();
        let gate = Mutex::new(gate);
        let watch = move |access: Access<'_>| match access {
            Access::Draft(key) if watched(key.name) => {
                sender.send(()).expect("the test watches");
                let released = gate.lock().expect("no panic").recv();
                released.expect("the test goes on")
            }
            _ => Ok(()),
        };
        Self {
            fixture: Fixture::watched(folder, settings, watch).await,
            predicted,
            begun,
            release,
        }
    }

    /// A client whose point cloud is about to be stored.
    async fn exporting(&mut self) -> Client {
        let client = self.asking().await;
        self.begun.recv().await.expect("a point cloud");
        client
    }

    /// A client that waits for a point cloud.
    async fn asking(&self) -> Client {
        self.asking_for(Deltas::Cumulative).await
    }

    async fn asking_for(&self, deltas: Deltas) -> Client {
        let options = AttachOptions::Use {
            resume: false,
            deltas,
        };
        let mut client = self.fixture.client_with(config(), options).await;
        client.upload().await;
        let generate = ClientMessage::Generate {
            incremental: true,
            id: None,
        };
        client.send(generate).await;
        client
    }

    fn used(&self) -> u64 {
        let memory = self.fixture.system.metrics().job_memory();
        memory.used
    }

    fn runs(&self) -> usize {
        self.predicted.lock().expect("no panic").len()
    }
}

fn of_result(name: BlobName) -> bool {
    matches!(name, BlobName::Result(_, ResultFormat::Npz))
}

#[tokio::test]
async fn the_update_of_a_client_that_keeps_the_cloud_holds_its_memory() {
    let of_update = |name| matches!(name, BlobName::Update(_));
    let mut held = Held::start(of_update).await;
    let mut client = held.asking_for(Deltas::Append { since: None }).await;
    held.begun.recv().await.expect("an update");
    assert!(held.used() > 0);
    held.release.send(Ok(())).expect("it waits");
    let answer = client.next().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    assert_eq!(held.used(), 0);
}

#[tokio::test]
async fn another_job_gets_the_memory_when_the_point_cloud_is_stored() {
    let mut held = Held::start(of_result).await;
    let mut first = held.exporting().await;
    let needed = held.used();
    assert!((MIB..2 * MIB).contains(&needed), "{needed}");
    let mut second = held.asking().await;
    // The worker is free, but there is no memory for a second cloud.
    until_busy(&held.fixture).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((held.runs(), held.used()), (1, needed));

    held.release.send(Ok(())).expect("it waits");
    let answer = first.next().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    held.begun.recv().await.expect("the other point cloud");
    assert_eq!(held.runs(), 2);
    held.release.send(Ok(())).expect("it waits");
    let answer = second.next().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    assert_eq!(held.used(), 0);
}

async fn until_busy(fixture: &Fixture) {
    while fixture.pool().await.children[0].state != "busy" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_memory_is_given_back_however_it_ends() {
    let mut held = Held::start(of_result).await;
    let mut failing = held.exporting().await;
    held.release
        .send(Err(io::Error::other("told to fail")))
        .expect("it waits");
    let answer = failing.next().await;
    let SessionEvent::Error { code, .. } = answer else {
        panic!("it fails, but the answer is {answer:?}")
    };
    assert_eq!(code, ErrorCode::StorageFailed);
    assert_eq!(held.used(), 0);

    let mut cancelling = held.exporting().await;
    let then = OnCancelled::default();
    cancelling
        .send(ClientMessage::Cancel { id: None, then })
        .await;
    let answer = cancelling.next().await;
    assert!(matches!(answer, SessionEvent::Error { .. }), "{answer:?}");
    // What is computed already still takes its memory.
    assert!(held.used() > 0);
    held.release.send(Ok(())).expect("it waits");
    until(|| held.used() == 0).await;

    let deleted = held.exporting().await;
    let system = &held.fixture.system;
    let deletion = system.delete_session(deleted.id, Whose::Anyones).await;
    assert_eq!(deletion, Ok(()));
    held.release.send(Ok(())).expect("it waits");
    until(|| held.used() == 0).await;
    let mut last = held.exporting().await;
    held.release.send(Ok(())).expect("it waits");
    let answer = last.next().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
}
