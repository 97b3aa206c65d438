//! Gateways that share their sessions.

use std::time::Duration;

use super::remote::nats_server::NatsServer;
use super::{Client, FakeModel, config, settings};
use crate::{
    AttachOptions, BlobPlace, ClientMessage, CloseReason, Location, NatsSettings, SessionEvent,
    SharingSettings, System, Whose,
};

/// Longest time until another gateway notices something.
const LIMIT: Duration = Duration::from_secs(60);

struct Gateway {
    system: System,
    folder: tempfile::TempDir,
}

impl Gateway {
    async fn start(nats: &NatsServer, name: &str) -> Self {
        Self::with_files_in(nats, name, BlobPlace::Nats).await
    }

    async fn with_files_in(nats: &NatsServer, name: &str, place: BlobPlace) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = settings(folder.path(), FakeModel::new(), 1);
        settings.nats = Some(NatsSettings {
            url: nats.url(),
            credentials: None,
            ca: None,
            certificate: None,
            prefix: "test".to_owned(),
            replicas: 1,
            blobs: place,
        });
        settings.sharing = Some(SharingSettings {
            address: format!("http://{name}"),
            host: name.to_owned(),
            version: "test".to_owned(),
        });
        let system = System::start(settings).await.expect("it starts");
        Self { system, folder }
    }

    /// A client of a new session.
    async fn client(&self) -> Client {
        let session = self.system.create_session(config(), None, None).await;
        let session = session.expect("room").keep().await.expect("kept");
        self.attach(session.id()).await.0
    }

    /// A client of a session, and the number of its images.
    async fn attach(&self, id: crate::SessionId) -> (Client, u32) {
        let session = self.system.session(id, Whose::Anyones).await.expect("here");
        let (requests, events) = session
            .attach(AttachOptions::default())
            .await
            .expect("room");
        let mut client = Client {
            id,
            requests,
            events,
        };
        match client.next().await {
            SessionEvent::Connected { image_count, .. } => (client, image_count),
            other => panic!("unexpected {other:?}"),
        }
    }

    async fn locate(&self, id: crate::SessionId) -> Location {
        self.system.locate(id).await.expect("NATS is there")
    }

    /// Waits until another gateway is known.
    async fn knows(&self, other: &Gateway) {
        let id = other.system.gateway_id().expect("it shares");
        let known = async {
            while !self
                .system
                .other_gateways()
                .iter()
                .any(|other| other.id == id)
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, known)
            .await
            .expect("known in time");
    }

    /// Takes over a session although its owner is there.
    async fn take_over(&self, id: crate::SessionId, from: &Gateway) {
        let from = from.system.gateway_id().expect("it shares");
        let taken = async {
            // It may be heard of in between.
            loop {
                self.system.gateway_is_gone(from);
                if matches!(self.locate(id).await, Location::Here) {
                    return;
                }
            }
        };
        tokio::time::timeout(LIMIT, taken)
            .await
            .expect("taken in time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_at_another_gateway_when_its_own_ends() {
    let nats = NatsServer::start();
    let (one, other) = tokio::join!(Gateway::start(&nats, "one"), Gateway::start(&nats, "other"));
    let mut client = one.client().await;
    let id = client.id;
    client.upload().await;
    client.upload().await;
    let first = client.generate().await;
    other.knows(&one).await;
    assert!(matches!(other.locate(id).await, Location::Elsewhere(_)));
    let unknown = crate::SessionId::new_v4();
    assert!(matches!(other.locate(unknown).await, Location::Nowhere));

    one.system.drain().await;
    assert!(matches!(other.locate(id).await, Location::Here));
    let (mut client, images) = other.attach(id).await;
    assert_eq!(images, 2);
    let session = other
        .system
        .session(id, Whose::Anyones)
        .await
        .expect("here");
    let kept = session.result().await.expect("alive").expect("a result");
    let SessionEvent::Result { answer, .. } = &first else {
        panic!("unexpected {first:?}");
    };
    let read = |glb: &crate::BlobView| glb.read().expect("readable");
    assert_eq!(read(&kept.glb), read(&answer.glb), "the same result");
    client.upload().await;
    assert!(matches!(
        client.generate().await,
        SessionEvent::Result { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_lost_a_session_acknowledges_nothing_more() {
    let nats = NatsServer::start();
    let (one, other) = tokio::join!(Gateway::start(&nats, "one"), Gateway::start(&nats, "other"));
    let mut old = one.client().await;
    old.upload().await;
    other.take_over(old.id, &one).await;
    let (mut new, images) = other.attach(old.id).await;
    assert_eq!(images, 1);
    new.upload().await;

    // The old owner does not know yet, and believes that the session is its own.
    let image = super::picture();
    old.send(ClientMessage::Image(image)).await;
    let told = old.next().await;
    assert!(
        matches!(told, SessionEvent::Closed(CloseReason::Moved)),
        "{told:?}"
    );
    new.upload().await;
    let session = other.system.session(old.id, Whose::Anyones).await;
    let summary = session.expect("here").summary().await.expect("alive");
    assert_eq!(summary.image_count, 3, "those that were acknowledged");
    assert!(matches!(one.locate(old.id).await, Location::Elsewhere(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_leaves_nothing() {
    let nats = NatsServer::start();
    let one = Gateway::start(&nats, "one").await;
    let mut client = one.client().await;
    client.upload().await;
    client.generate().await;
    assert!(kept(&nats).await.iter().all(|count| *count > 0));
    one.system
        .delete_session(client.id, Whose::Anyones)
        .await
        .expect("deleted");
    assert!(matches!(one.locate(client.id).await, Location::Nowhere));
    assert_eq!(kept(&nats).await, [0, 0, 0]);
    let folders = std::fs::read_dir(one.folder.path().join("sessions"));
    assert_eq!(folders.expect("there").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_taken_over_leaves_nothing() {
    let files = tempfile::tempdir().expect("a temporary folder");
    for place in [BlobPlace::Nats, BlobPlace::Folder(files.path().to_owned())] {
        let nats = NatsServer::start();
        let (one, other) = tokio::join!(
            Gateway::with_files_in(&nats, "one", place.clone()),
            Gateway::with_files_in(&nats, "other", place.clone())
        );
        let mut client = one.client().await;
        client.upload().await;
        other.take_over(client.id, &one).await;
        let (mut client, _) = other.attach(client.id).await;
        client.upload().await;
        assert!(matches!(
            client.generate().await,
            SessionEvent::Result { .. }
        ));
        let deleted = other.system.delete_session(client.id, Whose::Anyones);
        deleted.await.expect("deleted");
        assert_eq!(kept(&nats).await[1..], [0, 0]);
    }
    let left = walk(files.path());
    assert!(left.is_empty(), "{left:?}");
}

/// The files below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => walk(&path),
            false => vec![path],
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_does_not_grow_with_its_requests_and_is_read_rightly() {
    let nats = NatsServer::start();
    let (one, other) = tokio::join!(Gateway::start(&nats, "one"), Gateway::start(&nats, "other"));
    let mut client = one.client().await;
    client.upload().await;
    client.generate().await;
    client.upload().await;
    let mut counts = Vec::new();
    for _ in 0..12 {
        client.generate().await;
        counts.push(kept(&nats).await[1]);
    }
    assert!(counts[11] < counts[2] + 6, "{counts:?}");

    one.system.drain().await;
    assert!(matches!(other.locate(client.id).await, Location::Here));
    let (client, images) = other.attach(client.id).await;
    assert_eq!(images, 2);
    let session = other.system.session(client.id, Whose::Anyones).await;
    let summary = session.expect("here").summary().await.expect("alive");
    assert_eq!(summary.requests, 0, "nothing runs again");
}

/// Messages of the objects, the journals and the owners that NATS keeps. No objects if they are elsewhere.
async fn kept(nats: &NatsServer) -> [u64; 3] {
    let client = async_nats::connect(nats.url()).await.expect("there");
    let context = async_nats::jetstream::new(client);
    let mut counts = [0; 3];
    let streams = ["OBJ_test_session_files", "test_journals", "KV_test_owners"];
    for (count, stream) in counts.iter_mut().zip(streams) {
        let found = context.get_stream(stream).await;
        *count = found.map_or(0, |stream| stream.cached_info().state.messages);
    }
    counts
}
