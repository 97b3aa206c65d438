//! What happens when parts fail that no client can make fail: seen through the system's door.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use image::{ImageFormat, RgbImage};
use nalgebra::{Matrix3, Matrix4};
use pointstream_reconstruction::image::DecodeLimits;
use pointstream_reconstruction::model::{
    Device, Features, FrameSize, LoadModel, Metadata, Model, ModelError, OnStep, ResolvedModel,
    Step,
};
use pointstream_reconstruction::prediction::{Camera, Prediction};
use ractor::ActorCell;

use crate::settings::Settings;
use crate::{
    ActorReport, ClientMessage, CloseReason, Events, Requests, SessionConfig, SessionEvent,
    SessionId, System,
};

/// A model that panics as often as it is told, and sees a plane otherwise.
#[derive(Debug, Clone)]
struct Faulty {
    metadata: Metadata,
    panics_in_encode: Arc<AtomicU32>,
    panics_in_predict: Arc<AtomicU32>,
}

impl Faulty {
    fn new(panics_in_encode: u32, panics_in_predict: u32) -> Self {
        Self {
            metadata: ResolvedModel::embedded().expect("embedded").metadata,
            panics_in_encode: Arc::new(AtomicU32::new(panics_in_encode)),
            panics_in_predict: Arc::new(AtomicU32::new(panics_in_predict)),
        }
    }
}

fn panic_if_told(left: &AtomicU32) {
    let told = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    assert!(told.is_err(), "told to panic");
}

impl LoadModel for Faulty {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn load(&self, _: Device) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(self.clone()))
    }
}

impl Model for Faulty {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn device(&self) -> Device {
        Device::Cpu
    }

    fn encode(&self, frame: &RgbImage) -> Result<Features, ModelError> {
        panic_if_told(&self.panics_in_encode);
        Ok(Features::new(FrameSize::of(frame), 1, Box::new(())))
    }

    fn predict(
        &self,
        features: &[&Features],
        on_step: &mut OnStep<'_>,
    ) -> Result<Prediction, ModelError> {
        if on_step(Step::Relating) == ControlFlow::Break(()) {
            return Err(ModelError::Cancelled);
        }
        panic_if_told(&self.panics_in_predict);
        let FrameSize { width, height } = features[0].size();
        let (width, height) = (width as usize, height as usize);
        let pixels = width * height * features.len();
        let camera = Camera {
            extrinsics: Matrix4::identity(),
            intrinsics: Matrix3::new(50.0, 0.0, 7.0, 0.0, 50.0, 7.0, 0.0, 0.0, 1.0),
            registered: true,
        };
        Ok(Prediction {
            width,
            height,
            cameras: vec![camera; features.len()],
            depth: vec![2.0; pixels],
            confidence: vec![5.0; pixels],
        })
    }
}

struct Fixture {
    system: System,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new(model: Faulty, workers: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = Settings {
            data_dir: folder.path().to_owned(),
            model: Arc::new(model),
            devices: vec![Device::Cpu],
            workers_per_device: workers,
            max_sessions: 10,
            session_timeout: Duration::from_secs(600),
            max_images_limit: 10,
            max_points_limit: 10_000,
            max_pending_requests: 4,
            max_connections: 4,
            max_unanswered_messages: 16,
            queue_capacity: 16,
            image_limits: DecodeLimits {
                max_bytes: 1 << 20,
                max_pixels: 1 << 20,
            },
            upload_buffer_bytes: 8 << 20,
            feature_cache_bytes: 8 << 20,
            job_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(1),
        };
        Self {
            system: System::start(settings).await.expect("it starts"),
            _folder: folder,
        }
    }

    async fn client(&self) -> Client {
        let config = SessionConfig {
            max_images: 10,
            process_res: 28,
            num_max_points: 1000,
            ..SessionConfig::default()
        };
        let id = self.system.create_session(config).await.expect("room").id;
        let session = self.system.session(id).await.expect("just created");
        let (requests, events) = session.attach(false).await.expect("room");
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
        let supervisor = self.system.supervisor().get_cell();
        let mut sessions: Vec<_> = supervisor
            .get_children()
            .into_iter()
            .filter(|child| child.get_children().is_empty())
            .collect();
        assert_eq!(
            sessions.len(),
            1,
            "the pool has workers, a session has none"
        );
        sessions.remove(0)
    }
}

struct Client {
    id: SessionId,
    requests: Requests,
    events: Events,
}

impl Client {
    /// The next event that is no progress.
    async fn next(&mut self) -> SessionEvent {
        loop {
            let delivery = self.maybe_next().await.expect("an event is due");
            if !matches!(delivery, SessionEvent::Progress(_)) {
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
        let picture = RgbImage::from_fn(28, 28, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 7]));
        let mut bytes = Cursor::new(Vec::new());
        picture
            .write_to(&mut bytes, ImageFormat::Png)
            .expect("a PNG");
        self.send(ClientMessage::Image {
            bytes: bytes.into_inner().into(),
            name: None,
        })
        .await;
        let event = self.next().await;
        assert!(matches!(event, SessionEvent::Acknowledged { .. }));
    }

    async fn generate(&mut self) -> SessionEvent {
        self.send(ClientMessage::Generate { incremental: true })
            .await;
        self.next().await
    }
}

#[tokio::test]
async fn a_panicking_model_restarts_its_worker_and_the_job_is_tried_again() {
    let fixture = Fixture::new(Faulty::new(0, 1), 1).await;
    let mut client = fixture.client().await;
    client.upload().await;
    let answer = client.generate().await;
    let SessionEvent::Result(answer) = answer else {
        panic!("the second attempt succeeds, but it is {answer:?}");
    };
    assert_eq!(answer.image_count, 1);
    let pool = fixture.pool().await;
    assert_eq!(pool.restarts, 0, "the pool itself is untouched");
    assert_eq!(pool.children[0].restarts, 1);
}

#[tokio::test]
async fn a_model_that_always_panics_is_a_clear_error_and_its_neighbour_works() {
    let fixture = Fixture::new(Faulty::new(0, 2), 2).await;
    let (mut client, mut neighbour) = (fixture.client().await, fixture.client().await);
    client.upload().await;
    neighbour.upload().await;
    let answer = client.generate().await;
    let SessionEvent::Error { message } = answer else {
        panic!("an error is due, but it is {answer:?}");
    };
    assert!(message.contains("told to panic"), "{message}");
    let answer = neighbour.generate().await;
    assert!(matches!(answer, SessionEvent::Result(_)), "{answer:?}");
    // And the one that failed is served again.
    let answer = client.generate().await;
    assert!(matches!(answer, SessionEvent::Result(_)), "{answer:?}");
}

#[tokio::test]
async fn a_panic_while_frames_are_encoded_ahead_costs_no_answer() {
    let fixture = Fixture::new(Faulty::new(2, 0), 1).await;
    let mut client = fixture.client().await;
    client.upload().await;
    client.upload().await;
    let answer = client.generate().await;
    assert!(matches!(answer, SessionEvent::Result(_)), "{answer:?}");
}

#[tokio::test]
async fn a_session_that_dies_tells_its_client_and_touches_nobody_else() {
    let fixture = Fixture::new(Faulty::new(0, 0), 1).await;
    let mut client = fixture.client().await;
    client.upload().await;
    let victim = fixture.session_actor();
    let mut neighbour = fixture.client().await;
    neighbour.upload().await;

    victim.kill();
    match client.maybe_next().await {
        None | Some(SessionEvent::Closed(CloseReason::Failed)) => {}
        other => panic!("the end is due, but it is {other:?}"),
    }
    assert!(client.requests.send(ClientMessage::Ping).await.is_err());
    assert!(fixture.system.session(client.id).await.is_none());

    let answer = neighbour.generate().await;
    assert!(matches!(answer, SessionEvent::Result(_)), "{answer:?}");
    let left = fixture.system.sessions().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, neighbour.id);
    fixture.client().await;
}
