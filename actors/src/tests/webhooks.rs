//! What receivers of webhooks are told when actors fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::{Client, FakeModel, Fixture, config, settings};
use crate::jobs::contract::until;
use crate::{
    AttachOptions, Attempt, AttemptOutcome, Courier, Delivering, EventType, Letter,
    OperatorWebhook, SessionEvent, System, Webhook, WebhookEvent, WebhookSecret, Whose,
};

/// Keeps what it delivers.
#[derive(Debug, Default)]
struct Recorder {
    /// Identifier and body of each message.
    delivered: Mutex<Vec<(String, String)>>,
    /// Whether receivers do not answer.
    hangs: AtomicBool,
}

impl Recorder {
    fn delivered(&self) -> Vec<(String, String)> {
        self.delivered.lock().expect("no panic").clone()
    }

    /// Waits for so many messages.
    async fn count(&self, count: usize) {
        until(|| self.delivered().len() >= count).await;
    }
}

/// The recorder as a courier.
#[derive(Debug)]
struct To(Arc<Recorder>);

impl Courier for To {
    fn operator(&self) -> Option<&OperatorWebhook> {
        None
    }

    fn body(&self, event: &WebhookEvent) -> String {
        event.kind().to_string()
    }

    fn deliver(&self, letter: Letter) -> Delivering {
        let delivered = self.0.delivered.lock();
        delivered.expect("no panic").push((letter.id, letter.body));
        if self.0.hangs.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        Box::pin(async {
            Attempt {
                outcome: AttemptOutcome::Delivered,
                status: Some(200),
                reason: None,
                retry_after: None,
            }
        })
    }
}

fn webhook() -> Webhook {
    Webhook {
        url: "https://a.test/".to_owned(),
        host: "https://a.test".to_owned(),
        secret: WebhookSecret::new(vec![1; 32]),
        events: vec![
            EventType::ResultMade,
            EventType::SessionEnded,
            EventType::SessionFailed,
        ],
    }
}

async fn fixture(recorder: &Arc<Recorder>, folder: tempfile::TempDir) -> Fixture {
    let mut settings = settings(folder.path(), FakeModel::new(), 1);
    settings.courier = Some(Arc::new(To(recorder.clone())));
    Fixture::with(folder, settings).await
}

/// A client of a new session with a webhook.
async fn client(system: &System) -> Client {
    let session = system.create_session(config(), None, Some(webhook())).await;
    let session = session.expect("room").keep().await.expect("kept");
    let id = session.id();
    let attached = session.attach(AttachOptions::default()).await;
    let (requests, events) = attached.expect("room");
    let mut client = Client {
        id,
        requests,
        events,
    };
    let first = client.next().await;
    assert!(matches!(first, SessionEvent::Connected { .. }));
    client
}

async fn generate(client: &mut Client) {
    client.upload().await;
    let answer = client.generate().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
}

#[tokio::test]
async fn a_session_whose_actor_is_lost_is_told() {
    let recorder = Arc::default();
    let fixture = fixture(&recorder, tempfile::tempdir().expect("a folder")).await;
    let client = client(&fixture.system).await;
    fixture.session_actor().kill();
    recorder.count(1).await;
    let (id, body) = recorder.delivered().remove(0);
    assert_eq!(body, "session.failed");
    assert_eq!(id, format!("msg_{}_end", client.id.simple()));
}

/// The outbox fails, and is started again.
async fn fail(system: &System) {
    let outbox = system.outbox().expect("there is one");
    let failed = outbox.actor_cell().expect("it was started");
    failed.kill();
    until(|| {
        outbox
            .actor_cell()
            .is_some_and(|cell| cell.get_id() != failed.get_id())
    })
    .await;
}

#[tokio::test]
async fn an_outbox_that_is_started_again_sends_at_once_what_waits() {
    let recorder: Arc<Recorder> = Arc::default();
    let fixture = fixture(&recorder, tempfile::tempdir().expect("a folder")).await;
    recorder.hangs.store(true, Ordering::Relaxed);
    let mut client = client(&fixture.system).await;
    generate(&mut client).await;
    recorder.count(1).await;
    recorder.hangs.store(false, Ordering::Relaxed);
    fail(&fixture.system).await;
    recorder.count(2).await;
    let attempts = recorder.delivered();
    assert_eq!(attempts[0], attempts[1]);
}

#[tokio::test]
async fn a_session_that_ends_after_a_failure_of_the_outbox_is_told_all() {
    let recorder: Arc<Recorder> = Arc::default();
    let fixture = fixture(&recorder, tempfile::tempdir().expect("a folder")).await;
    let system = &fixture.system;
    let mut client = client(system).await;
    generate(&mut client).await;
    recorder.count(1).await;
    fail(system).await;
    // This waits in the journal.
    generate(&mut client).await;
    let deleted = system.delete_session(client.id, Whose::Anyones).await;
    assert_eq!(deleted, Ok(()));
    recorder.count(3).await;
    let mut ids: Vec<_> = recorder.delivered().into_iter().map(|(id, _)| id).collect();
    ids.sort();
    let expected = ["1", "2", "end"].map(|place| format!("msg_{}_{place}", client.id.simple()));
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn an_outbox_that_fails_is_started_again_and_loses_nothing() {
    let recorder: Arc<Recorder> = Arc::default();
    let fixture = fixture(&recorder, tempfile::tempdir().expect("a folder")).await;
    let system = &fixture.system;
    let mut one = client(system).await;
    generate(&mut one).await;
    recorder.count(1).await;

    fail(system).await;
    // An event of this session may have been lost: later ones wait for it.
    generate(&mut one).await;
    let mut other = client(system).await;
    generate(&mut other).await;
    recorder.count(2).await;
    let id = |client: &Client, request| format!("msg_{}_{request}", client.id.simple());
    let ids = || {
        recorder
            .delivered()
            .into_iter()
            .map(|(id, _)| id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(), [id(&one, 1), id(&other, 1)]);

    // The next start tells what is in the journal.
    let expected = [id(&one, 1), id(&other, 1), id(&one, 2)];
    system.drain().await;
    let Fixture { system, _folder } = fixture;
    let mut settings = settings(_folder.path(), FakeModel::new(), 1);
    settings.courier = Some(Arc::new(To(recorder.clone())));
    drop(system);
    drop((one, other));
    let mut started = System::start(settings.clone()).await;
    while started.is_err() {
        // Threads of the last system may still have its files.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        started = System::start(settings.clone()).await;
    }
    recorder.count(3).await;
    assert_eq!(ids(), expected);
}
