//! A model with configurable behaviour.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use image::RgbImage;
use nalgebra::{Matrix3, Matrix4};
use pointstream_reconstruction::geometry::{Distortion, FrameSize};
use pointstream_reconstruction::model::{
    AdjustedCamera, Adjustment, CONTRACT_VERSION, CameraPriors, Device, Extension, ExtensionFrame,
    Features, FramesPerCall, LoadModel, Metadata, Model, ModelError, OnStep, Precision, Scale,
    Shortage, Step, StopFlag, Workload,
};
use pointstream_reconstruction::prediction::{Camera, Prediction};
use tokio::sync::mpsc::UnboundedSender;

/// A model that predicts a plane by default.
#[derive(Debug, Clone)]
pub(crate) struct FakeModel {
    pub metadata: Metadata,
    /// Where it says that it runs.
    pub device: Device,
    pub frames_per_call: usize,
    /// Number of calls that will still panic.
    pub panics_in_encode: Arc<AtomicU32>,
    pub panics_in_predict: Arc<AtomicU32>,
    /// Number of frames of each call of `encode`.
    pub encoded: Arc<Mutex<Vec<usize>>>,
    /// If set, a call of `encode` waits for a message, unless another one does.
    pub gate: Option<Arc<Mutex<mpsc::Receiver<()>>>>,
    /// Gets the number of frames of each call of `encode` when the call begins.
    pub entered: Option<UnboundedSender<usize>>,
    /// How long a call of `predict` takes.
    pub takes: Duration,
    /// Whether `predict` fails.
    pub fails: bool,
    /// Frames that there is memory for, if it is little.
    pub most_frames: Option<usize>,
    /// Memory that each frame needs.
    pub frame_bytes: u64,
    /// Free memory of the device.
    pub free: Option<u64>,
    /// Number of frames of each call of `predict`.
    pub predicted: Arc<Mutex<Vec<usize>>>,
    /// For each call of `extend`, which of the placed frames had the model's own maps.
    pub extended: Arc<Mutex<Vec<Vec<bool>>>>,
    /// For each call of `adjust`, its number of frames.
    pub adjusted: Arc<Mutex<Vec<usize>>>,
    pub panics_in_adjust: Arc<AtomicU32>,
    /// Number of calls of `predict` that will go on until they are stopped.
    pub endless: Arc<AtomicU32>,
    /// The same for `adjust`.
    pub endless_adjust: Arc<AtomicU32>,
    pub stop: StopFlag,
}

impl FakeModel {
    pub fn new() -> Self {
        Self {
            metadata: metadata(),
            device: Device::Cpu,
            frames_per_call: 1,
            panics_in_encode: Arc::default(),
            panics_in_predict: Arc::default(),
            encoded: Arc::default(),
            gate: None,
            entered: None,
            takes: Duration::ZERO,
            fails: false,
            most_frames: None,
            frame_bytes: 0,
            free: None,
            predicted: Arc::default(),
            extended: Arc::default(),
            adjusted: Arc::default(),
            panics_in_adjust: Arc::default(),
            endless: Arc::default(),
            endless_adjust: Arc::default(),
            stop: StopFlag::default(),
        }
    }

    pub fn panicking(in_encode: u32, in_predict: u32) -> Self {
        Self {
            panics_in_encode: Arc::new(AtomicU32::new(in_encode)),
            panics_in_predict: Arc::new(AtomicU32::new(in_predict)),
            ..Self::new()
        }
    }

    /// Goes on until the call is stopped.
    fn until_stopped(&self) -> ModelError {
        while !self.stop.is_set() {
            std::thread::sleep(Duration::from_millis(1));
        }
        ModelError::Cancelled
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
        report: false,
        distortion: false,
        hints: false,
        extend: true,
        describe: true,
        adjust: false,
        watch: false,
        normalisation: None,
        source_digest: None,
        memory: None,
        digest: "sha256:0".to_owned(),
    }
}

fn panic_if_told(left: &AtomicU32) {
    assert!(!told(left), "told to panic");
}

/// Whether this call is one of those that are left.
fn told(left: &AtomicU32) -> bool {
    let fewer = |left: u32| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
        .is_ok()
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
        self.device
    }

    fn frames_per_call(&self, _: FrameSize) -> usize {
        self.frames_per_call
    }

    fn watch(&mut self, stop: &StopFlag) -> Result<(), ModelError> {
        self.stop = stop.clone();
        Ok(())
    }

    fn free_memory(&self) -> Option<u64> {
        self.free
    }

    fn check_memory(&self, work: Workload, available: Option<u64>) -> Result<u64, Shortage> {
        let (Workload::Prediction { frames, .. }
        | Workload::Encoding { frames, .. }
        | Workload::Adjustment { frames, .. }) = work;
        if let Some(fitting_frames) = self.most_frames
            && frames > fitting_frames
        {
            return Err(Shortage {
                frames,
                needed: frames as u64,
                free: fitting_frames as u64,
                fitting_frames,
                fitting_scale: None,
            });
        }
        let needed = self.frame_bytes * frames as u64;
        match available {
            Some(available) if needed > available => Err(Shortage {
                frames,
                needed,
                free: available,
                fitting_frames: (available / self.frame_bytes) as usize,
                fitting_scale: None,
            }),
            _ => Ok(needed),
        }
    }

    fn encode(&self, frames: &[RgbImage]) -> Result<Vec<Features>, ModelError> {
        if let Some(entered) = &self.entered {
            let _ = entered.send(frames.len());
        }
        if let Some(gate) = &self.gate {
            let _ = gate.try_lock().map(|gate| gate.recv());
        }
        panic_if_told(&self.panics_in_encode);
        self.encoded.lock().expect("no panic").push(frames.len());
        let features = |frame| Features::new(FrameSize::of(frame), 1, Box::new(()));
        Ok(frames.iter().map(features).collect())
    }

    fn predict(
        &self,
        features: &[&Features],
        _: CameraPriors<'_>,
        on_step: &mut OnStep<'_>,
    ) -> Result<Prediction, ModelError> {
        if on_step(Step::Relating) == ControlFlow::Break(()) {
            return Err(ModelError::Cancelled);
        }
        panic_if_told(&self.panics_in_predict);
        if told(&self.endless) {
            return Err(self.until_stopped());
        }
        if self.fails {
            return Err(ModelError::Call {
                entry_point: "relate",
                reason: "told to fail".to_owned(),
            });
        }
        std::thread::sleep(self.takes);
        self.predicted
            .lock()
            .expect("no panic")
            .push(features.len());
        let size = features[0].size();
        let pixels = size.columns() * size.rows() * features.len();
        let camera = Camera {
            extrinsics: Matrix4::identity(),
            intrinsics: Matrix3::new(50.0, 0.0, 7.0, 0.0, 50.0, 7.0, 0.0, 0.0, 1.0),
            distortion: Distortion::NONE,
            registered: true,
        };
        Ok(Prediction {
            size,
            cameras: vec![camera; features.len()],
            // Not one value: that is no plausible depth.
            depth: (0..pixels).map(|index| 2.0 + index as f32 * 1e-4).collect(),
            confidence: vec![5.0; pixels],
            report: None,
            links: None,
        })
    }

    fn describe(&self, features: &[&Features]) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(vec![vec![1.0, 0.5]; features.len()])
    }

    fn extend(
        &self,
        frames: &[ExtensionFrame<'_>],
        on_step: &mut OnStep<'_>,
    ) -> Result<Extension, ModelError> {
        let new = frames.iter().filter(|frame| frame.placed.is_none());
        let features: Vec<_> = new.map(|frame| frame.features).collect();
        let prediction = self.predict(&features, CameraPriors::default(), on_step)?;
        let placed = frames.iter().filter_map(|frame| frame.placed);
        let known = placed.map(|placed| placed.maps.is_some()).collect();
        self.extended.lock().expect("no panic").push(known);
        let maps = frames.iter().map(|frame| {
            let known = frame.placed.and_then(|placed| placed.maps);
            let size = frame.features.size();
            known
                .is_none()
                .then(|| Features::new(size, 1, Box::new(())))
        });
        Ok(Extension {
            prediction,
            maps: maps.collect(),
        })
    }

    fn adjust(
        &self,
        adjustment: &Adjustment<'_>,
    ) -> Result<Vec<Option<AdjustedCamera>>, ModelError> {
        panic_if_told(&self.panics_in_adjust);
        self.adjusted
            .lock()
            .expect("no panic")
            .push(adjustment.frames.len());
        if told(&self.endless_adjust) {
            return Err(self.until_stopped());
        }
        let frames = adjustment.frames.iter();
        let adjusted = frames.map(|frame| {
            Some(AdjustedCamera {
                camera: frame.camera.clone(),
                depth_factor: 1.0,
            })
        });
        Ok(adjusted.collect())
    }
}
