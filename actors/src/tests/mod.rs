//! The system seen through its door, with a model whose behaviour is made up.

mod faults;
mod joining;
mod owners;

use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use image::{ImageFormat, RgbImage};
use nalgebra::{Matrix3, Matrix4};
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::DecodeLimits;
use pointstream_reconstruction::model::{
    CONTRACT_VERSION, Device, Features, FramesPerCall, KnownCamera, LoadModel, Metadata, Model,
    ModelError, OnStep, Precision, Scale, Shortage, Step,
};
use pointstream_reconstruction::prediction::{Camera, Prediction};
use ractor::ActorCell;

use crate::{
    ActorReport, ClientMessage, Events, Requests, SessionConfig, SessionEvent, SessionId, Settings,
    System,
};

/// A model that sees a plane, unless it is told otherwise.
#[derive(Debug, Clone)]
struct FakeModel {
    metadata: Metadata,
    frames_per_call: usize,
    /// How often it is still to panic.
    panics_in_encode: Arc<AtomicU32>,
    panics_in_predict: Arc<AtomicU32>,
    /// How many frames each call of `encode` got.
    encoded: Arc<Mutex<Vec<usize>>>,
    /// If there is one, each call of `encode` waits for something to come out.
    gate: Option<Arc<Mutex<mpsc::Receiver<()>>>>,
}

impl FakeModel {
    fn new() -> Self {
        Self {
            metadata: metadata(),
            frames_per_call: 1,
            panics_in_encode: Arc::default(),
            panics_in_predict: Arc::default(),
            encoded: Arc::default(),
            gate: None,
        }
    }

    fn panicking(in_encode: u32, in_predict: u32) -> Self {
        Self {
            panics_in_encode: Arc::new(AtomicU32::new(in_encode)),
            panics_in_predict: Arc::new(AtomicU32::new(in_predict)),
            ..Self::new()
        }
    }
}

fn metadata() -> Metadata {
    Metadata {
        contract_version: CONTRACT_VERSION,
        name: "fake".to_owned(),
        version: "1".to_owned(),
        license: "Apache-2.0".to_owned(),
        patch_size: 14,
        default_process_res: 504,
        max_process_res: 1008,
        scale: Scale::Relative,
        precision: Precision::Fp32,
        head_precision: Precision::Fp32,
        fuse: false,
        align: false,
        poses: false,
        normalisation: None,
        source_digest: None,
        memory: None,
        digest: "sha256:0".to_owned(),
    }
}

fn panic_if_told(left: &AtomicU32) {
    let told = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    assert!(told.is_err(), "told to panic");
}

impl LoadModel for FakeModel {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn load(&self, _: Device, _: FramesPerCall) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(self.clone()))
    }
}

impl Model for FakeModel {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn device(&self) -> Device {
        Device::Cpu
    }

    fn frames_per_call(&self, _: FrameSize) -> usize {
        self.frames_per_call
    }

    fn check_memory(&self, _: usize, _: FrameSize) -> Result<(), Shortage> {
        Ok(())
    }

    fn encode(&self, frames: &[RgbImage]) -> Result<Vec<Features>, ModelError> {
        if let Some(gate) = &self.gate {
            let _ = gate.lock().expect("one worker").recv();
        }
        panic_if_told(&self.panics_in_encode);
        self.encoded.lock().expect("no panic").push(frames.len());
        let features = |frame| Features::new(FrameSize::of(frame), 1, Box::new(()));
        Ok(frames.iter().map(features).collect())
    }

    fn predict(
        &self,
        features: &[&Features],
        _: Option<&[KnownCamera]>,
        on_step: &mut OnStep<'_>,
    ) -> Result<Prediction, ModelError> {
        if on_step(Step::Relating) == ControlFlow::Break(()) {
            return Err(ModelError::Cancelled);
        }
        panic_if_told(&self.panics_in_predict);
        let size = features[0].size();
        let pixels = size.columns() * size.rows() * features.len();
        let camera = Camera {
            extrinsics: Matrix4::identity(),
            intrinsics: Matrix3::new(50.0, 0.0, 7.0, 0.0, 50.0, 7.0, 0.0, 0.0, 1.0),
            registered: true,
        };
        Ok(Prediction {
            size,
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
    async fn new(model: FakeModel, workers: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = Settings {
            data_dir: folder.path().to_owned(),
            devices: vec![Device::Cpu],
            workers_per_device: workers,
            max_sessions: 10,
            session_timeout: Duration::from_secs(600),
            max_images_limit: 10,
            max_points_limit: 10_000,
            max_pending_requests: 4,
            max_connections: 4,
            max_unanswered_messages: 16,
            frames_per_call: FramesPerCall::Fixed(model.frames_per_call),
            model: Arc::new(model),
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
        let session = self
            .system
            .create_session(config())
            .await
            .expect("room")
            .keep();
        let id = session.id();
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

/// A session that suits the model.
fn config() -> SessionConfig {
    SessionConfig {
        max_images: 10,
        process_res: 28,
        num_max_points: 1000,
        ..SessionConfig::default()
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
            camera: None,
            id: None,
        })
        .await;
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
