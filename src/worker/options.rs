//! The options of `pointstream worker`.

use std::path::PathBuf;

use clap::Args;

use crate::logging::LogOptions;
use crate::nats_options::NatsOptions;
use crate::pool_options::PoolOptions;

/// Runs jobs of servers on other machines, which it reaches through NATS. It needs the model of the servers
/// and nothing else.
#[derive(Debug, Clone, Args)]
pub struct WorkerOptions {
    #[command(flatten)]
    pub nats: NatsOptions,

    /// The name of this machine, as operators see it. Default: its host name.
    #[arg(long, env = "POINTSTREAM_WORKER_NAME", value_name = "NAME")]
    pub name: Option<String>,

    /// Folder for the images of running sessions. What it has is removed at the start. Default: a free one below
    /// $XDG_CACHE_HOME/pointstream/workers or ~/.cache/pointstream/workers.
    #[arg(long, env = "POINTSTREAM_WORKER_DIR", value_name = "FOLDER")]
    pub worker_dir: Option<PathBuf>,

    /// Disk space of these images, in MiB. Those of sessions that were used least recently make room.
    #[arg(
        long,
        env = "POINTSTREAM_WORKER_DISK_MB",
        value_name = "MIB",
        default_value_t = 4096
    )]
    pub worker_disk_mb: u64,

    /// Address and port, such as 127.0.0.1:9000, for GET /readyz, /healthz and /metrics.
    #[arg(long, env = "POINTSTREAM_OPERATOR_LISTEN", value_name = "HOST:PORT")]
    pub operator_listen: Option<String>,

    #[command(flatten)]
    pub pool: PoolOptions,

    #[command(flatten)]
    pub log: LogOptions,
}
