//! Settings of the actor system, which the service derives from its options.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::DecodeLimits;
use pointstream_reconstruction::model::{Device, FramesPerCall, LoadModel};

use crate::blobs::DiskLimits;
use crate::journal::Durability;
use crate::outbox::Courier;
use crate::remote::NatsSettings;
use crate::sharing::SharingSettings;

/// Settings of a pool of workers, fixed for its life.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// The model that every worker loads.
    pub model: Arc<dyn LoadModel>,
    /// Devices to run on, each with `workers_per_device` workers. None if all workers are on other machines.
    pub devices: Vec<Device>,
    /// Workers, each with its own copy of the model, per device.
    pub workers_per_device: usize,
    /// The most memory that jobs of the model on the CPU may take together, in bytes, if it is free.
    pub job_memory_bytes: u64,
    /// Tells how many bytes of main memory are free, `None` if unknown.
    pub free_memory: fn() -> Option<u64>,
    /// Frames that a model encodes, or estimates the depth of, in one call.
    pub frames_per_call: FramesPerCall,
    /// Jobs that may wait for a worker, over all sessions.
    pub queue_capacity: usize,
    /// Jobs of all sessions of one creator that may run at the same time; others wait. `None` for no limit.
    pub max_jobs_of_creator: Option<usize>,
    /// Memory for encoded frames that wait for a generation, over all sessions, in bytes.
    pub feature_cache_bytes: usize,
    /// A job that takes longer is cancelled and its worker restarted; the same bounds the writing of
    /// a result's file.
    pub job_timeout: Duration,
    /// How long a long job may keep a worker from others that wait.
    pub long_turn: Duration,
}

/// Settings of the actor system, fixed for its life.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its model, and the workers of this machine.
    pub pool: PoolSettings,
    /// Where workers of other machines are, if there are any.
    pub nats: Option<NatsSettings>,
    /// How the sessions are shared with other gateways, over NATS. `None` if this one has all.
    pub sharing: Option<SharingSettings>,
    /// Folder for the sessions' files. Only one running system may use it.
    pub data_dir: PathBuf,
    /// What an acknowledgement survives.
    pub durability: Durability,
    /// How much disk space the sessions' files may take.
    pub disk: DiskLimits,
    /// Sessions at the same time; one more is refused.
    pub max_sessions: usize,
    /// Time after which a session ends that no client has ever connected to.
    pub unused_session_timeout: Duration,
    /// A session ends after this long without activity.
    pub session_timeout: Duration,
    /// The most that a session may ask for as its `max_images`.
    pub max_images_limit: u32,
    /// The most that a session may ask for as its `num_max_points`.
    pub max_points_limit: u64,
    /// `generate` and `finalize` requests that may wait in a session beside the one that runs.
    pub max_pending_requests: usize,
    /// Connections to one session at the same time, of clients that use it.
    pub max_connections: usize,
    /// The same of clients that watch it.
    pub max_watchers: usize,
    /// Messages of one connection that may be unanswered before no more are read from it.
    pub max_unanswered_messages: usize,
    /// Memory for received images that are not stored yet, over all sessions, in bytes. Uploads wait
    /// while it is used up; a single larger image may use all of it.
    pub upload_buffer_bytes: usize,
    /// Memory for decoding images, over all sessions, in bytes. Images wait while it is used up; one
    /// that needs more than all of it is refused.
    pub decode_memory_bytes: usize,
    /// Limits of images, checked before they are decoded.
    pub image_limits: DecodeLimits,
    /// How long running work may take when the system shuts down.
    pub drain_timeout: Duration,
    /// Delivers the messages of webhooks; without it there are none.
    pub courier: Option<Arc<dyn Courier>>,
}

impl PoolSettings {
    /// The size of frames with which the model gives the best results, as most images have it: for figures that
    /// depend on the size.
    pub(crate) fn usual_size(&self) -> FrameSize {
        let model = self.model.metadata();
        let side = |length: u32| (length / model.patch_size).max(1) * model.patch_size;
        let longest = model.default_process_res;
        FrameSize::new(side(longest), side(longest * 3 / 4))
    }

    /// Frames of this size that the model encodes on this device in one call.
    pub(crate) fn frames_per_call(&self, device: Device, size: FrameSize) -> usize {
        let memory = self.model.metadata().memory.as_ref();
        self.frames_per_call.encoded(device, memory, size)
    }
}
