//! The options of the model and its workers, which servers and workers on other machines have.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pointstream_actors::PoolSettings;
use pointstream_inference::{ResolvedModel, free_memory, machine_memory};
use pointstream_reconstruction::model::{Device, FramesPerCall};

use crate::models::ModelOptions;
use crate::values::{at_least_one, seconds};

/// Which model runs, where, and with how much memory.
#[derive(Debug, Clone, Args)]
pub struct PoolOptions {
    #[command(flatten)]
    pub model: ModelOptions,

    /// Workers per device, each with its own copy of the model. 0 with --nats: all workers are on other
    /// machines.
    #[arg(
        long,
        visible_alias = "workers-local",
        env = "POINTSTREAM_WORKERS_PER_DEVICE",
        value_name = "COUNT",
        default_value_t = 1
    )]
    pub workers_per_device: usize,

    /// Frames that the model encodes, or estimates the depth of, together. Default on the CPU: as many as
    /// there are cores and fit into 512 MiB, or 1 if the model does not say how much memory it needs; on
    /// a GPU a power of two up to 32 that fits into 2 GiB, or 8, and a quarter of that for depth.
    #[arg(long, env = "POINTSTREAM_FRAMES_PER_CALL", value_name = "COUNT",
          value_parser = at_least_one)]
    pub frames_per_call: Option<usize>,

    /// Jobs of all sessions that may wait for a worker; a session may have half of them, and so may all
    /// sessions of a client.
    #[arg(long, env = "POINTSTREAM_QUEUE_CAPACITY", value_name = "COUNT", default_value_t = 256,
          value_parser = at_least_one)]
    pub queue_capacity: usize,

    /// Memory for the encoded frames of all sessions that wait for a generation, in MiB.
    #[arg(
        long,
        env = "POINTSTREAM_FEATURE_CACHE_MB",
        value_name = "MIB",
        default_value_t = 1024
    )]
    pub feature_cache_mb: usize,

    /// The most memory that the jobs of the model on the CPU may take together, in MiB, by what the model
    /// says that they need. They never get more than is free, less what uploads and decoding may take.
    /// Default: all of the machine's memory.
    #[arg(long, env = "POINTSTREAM_JOB_MEMORY_MB", value_name = "MIB")]
    pub job_memory_mb: Option<u64>,

    /// Seconds after which a job of the model, or the writing of a result's file, is cancelled.
    #[arg(long, env = "POINTSTREAM_JOB_TIMEOUT", value_name = "SECONDS", default_value = "1800",
          value_parser = seconds)]
    pub job_timeout: Duration,

    /// Seconds that a job of more than 24 images may keep a worker while others wait. Then it makes way: it
    /// begins again later with twice the time, or a final result comes from the map.
    #[arg(long, env = "POINTSTREAM_LONG_TURN", value_name = "SECONDS", default_value = "5",
          value_parser = seconds)]
    pub long_turn: Duration,

    /// Seconds that running jobs have to finish when the program is stopped; then they are cancelled.
    #[arg(long, env = "POINTSTREAM_DRAIN_TIMEOUT", value_name = "SECONDS", default_value = "30",
          value_parser = seconds)]
    pub drain_timeout: Duration,
}

impl PoolOptions {
    /// The settings of a pool, with the model and the devices that were resolved at the start.
    pub fn settings(
        &self,
        model: Arc<ResolvedModel>,
        mut devices: Vec<Device>,
        max_jobs_of_creator: Option<usize>,
    ) -> PoolSettings {
        if self.workers_per_device == 0 {
            devices.clear();
        }
        let frames_per_call = self.frames_per_call;
        PoolSettings {
            model,
            devices,
            workers_per_device: self.workers_per_device,
            frames_per_call: frames_per_call.map_or(FramesPerCall::Automatic, FramesPerCall::Fixed),
            queue_capacity: self.queue_capacity,
            max_jobs_of_creator,
            job_memory_bytes: self.job_memory_mb.map_or_else(
                || machine_memory().unwrap_or(u64::MAX),
                |count| count.saturating_mul(1 << 20),
            ),
            free_memory,
            feature_cache_bytes: self.feature_cache_mb.saturating_mul(1 << 20),
            job_timeout: self.job_timeout,
            long_turn: self.long_turn,
        }
    }
}
