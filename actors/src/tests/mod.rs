//! Tests of the system through its public interface, with a fake model.

mod acknowledged;
mod adjusting;
mod cloud_memory;
mod contract;
mod extending;
mod fake_model;
mod faults;
mod joining;
mod long_jobs;
mod memory;
mod order;
mod owners;
mod remote;
mod sharing;
mod watched_blobs;
mod webhooks;

use std::io::{self, Cursor};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use image::{ImageFormat, RgbImage};
use pointstream_reconstruction::image::DecodeLimits;
use pointstream_reconstruction::model::{Device, FramesPerCall};
use ractor::ActorCell;

pub(crate) use fake_model::FakeModel;
use watched_blobs::{Access, WatchedBlobs};

use crate::blobs::Blobs;
use crate::settings::PoolSettings;
use crate::{
    ActorReport, AttachOptions, ClientMessage, Events, ImageUpload, Requests, SessionConfig,
    SessionEvent, SessionId, Settings, System,
};

struct Fixture {
    system: System,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new(model: FakeModel, workers: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = settings(folder.path(), model, workers);
        Self::with(folder, settings).await
    }

    async fn with(folder: tempfile::TempDir, settings: Settings) -> Self {
        Self {
            system: System::start(settings).await.expect("it starts"),
            _folder: folder,
        }
    }

    /// A system whose blobs are watched.
    async fn watched(
        folder: tempfile::TempDir,
        settings: Settings,
        watch: impl Fn(Access<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let watched = |blobs| -> Arc<dyn Blobs> { Arc::new(WatchedBlobs { blobs, watch }) };
        Self {
            system: System::start_with(settings, watched)
                .await
                .expect("it starts"),
            _folder: folder,
        }
    }

    async fn client(&self) -> Client {
        self.client_of(config()).await
    }

    async fn client_of(&self, config: SessionConfig) -> Client {
        self.client_with(config, AttachOptions::default()).await
    }

    async fn client_with(&self, config: SessionConfig, options: AttachOptions) -> Client {
        let session = self
            .system
            .create_session(config, None, None)
            .await
            .expect("room")
            .keep()
            .await
            .expect("kept");
        let id = session.id();
        let (requests, events) = session.attach(options).await.expect("room");
        let mut client = Client {
            id,
            requests,
            events,
        };
        assert!(matches!(
            client.next().await,
            SessionEvent::Connected { .. }
        ));
        client
    }

    async fn pool(&self) -> ActorReport {
        let root = self.system.actors().await.expect("alive");
        let pool = root.children.into_iter().find(|child| child.kind == "pool");
        pool.expect("there is always a pool")
    }

    /// The actor of the only session.
    fn session_actor(&self) -> ActorCell {
        let mut sessions = self.sessions();
        assert_eq!(sessions.len(), 1);
        sessions.remove(0)
    }

    /// The actors of all sessions.
    fn sessions(&self) -> Vec<ActorCell> {
        let children = self.system.supervisor().get_cell().get_children();
        let outbox = self.system.outbox();
        let is_outbox = |child: &ActorCell| outbox.is_some_and(|outbox| outbox.is_outbox(child));
        // The pool has workers, a session has none.
        let sessions = children
            .into_iter()
            .filter(|child| child.get_children().is_empty());
        sessions.filter(|child| !is_outbox(child)).collect()
    }
}

/// Settings that suit the model.
fn settings(folder: &Path, model: FakeModel, workers: usize) -> Settings {
    Settings {
        data_dir: folder.to_owned(),
        pool: PoolSettings {
            devices: vec![Device::Cpu],
            workers_per_device: workers,
            max_jobs_of_creator: None,
            frames_per_call: FramesPerCall::Fixed(model.frames_per_call),
            model: Arc::new(model),
            queue_capacity: 16,
            job_memory_bytes: u64::MAX,
            free_memory: || None,
            feature_cache_bytes: 8 << 20,
            job_timeout: Duration::from_secs(60),
            long_turn: Duration::from_secs(60),
        },
        nats: None,
        sharing: None,
        max_sessions: 10,
        durability: crate::journal::Durability::Sync,
        disk: crate::blobs::DiskLimits::NONE,
        unused_session_timeout: Duration::from_secs(3600),
        session_timeout: Duration::from_secs(600),
        max_images_limit: 10,
        max_points_limit: 10_000,
        max_pending_requests: 4,
        max_connections: 4,
        max_watchers: 2,
        max_unanswered_messages: 16,
        image_limits: DecodeLimits {
            max_bytes: 1 << 20,
            max_pixels: 1 << 20,
        },
        upload_buffer_bytes: 8 << 20,
        decode_memory_bytes: 32 << 20,
        drain_timeout: Duration::from_secs(1),
        courier: None,
    }
}

/// A session that suits the model.
fn config() -> SessionConfig {
    SessionConfig {
        max_images: 10,
        process_res: 28,
        num_max_points: 1000,
        ..SessionConfig::default()
    }
}

fn picture() -> ImageUpload {
    let picture = RgbImage::from_fn(28, 28, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 7]));
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("a PNG");
    ImageUpload::new(bytes.into_inner().into())
}

struct Client {
    id: SessionId,
    requests: Requests,
    events: Events,
}

impl Client {
    /// The next event other than progress.
    async fn next(&mut self) -> SessionEvent {
        loop {
            let delivery = self.maybe_next().await.expect("an event is due");
            if !matches!(delivery, SessionEvent::Progress { .. }) {
                return delivery;
            }
        }
    }

    async fn maybe_next(&mut self) -> Option<SessionEvent> {
        let delivery = tokio::time::timeout(Duration::from_secs(60), self.events.next())
            .await
            .expect("an event or the end comes")?;
        let event = delivery.event.clone();
        delivery.confirm();
        Some(event)
    }

    async fn send(&self, message: ClientMessage) {
        self.requests.send(message).await.expect("it lives");
    }

    async fn upload(&mut self) {
        self.send(ClientMessage::Image(picture())).await;
        let event = self.next().await;
        assert!(matches!(event, SessionEvent::Acknowledged { .. }));
    }

    async fn generate(&mut self) -> SessionEvent {
        self.send(ClientMessage::Generate {
            incremental: true,
            id: None,
        })
        .await;
        self.next().await
    }
}
