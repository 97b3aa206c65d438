//! `pointstream worker`: a process that runs jobs of servers on other machines.

mod operators;
mod options;

use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use pointstream_actors::{DataDirError, Node, NodeSettings, NodeStartError};
use pointstream_inference::resolve_devices;
use pointstream_reconstruction::model::DeviceError;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub use self::options::WorkerOptions;
use crate::base_dirs::base_dir;
use crate::models::{self, ModelsError};
use crate::signals::Signals;

/// Worker processes of one user on a machine with folders that nobody chose.
const MAX_FOLDERS: usize = 256;
/// Free space that is left on the disk.
const DISK_RESERVE: u64 = 512 << 20;

/// Why a worker process did not start.
#[derive(Debug, Error)]
pub enum WorkerError {
    #[error("a worker needs the address of NATS: --nats nats://HOST:4222")]
    NoAddress,
    #[error("--workers-per-device must be at least 1 for a worker")]
    NoWorkers,
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Model(#[from] ModelsError),
    #[error("the folder {path} cannot be made: {source}; choose another with --worker-dir", path = path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot listen on --operator-listen {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error(transparent)]
    Node(#[from] NodeStartError),
    /// The system refused signals or threads.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs until a signal ends it. The error says why it did not start.
pub async fn run(options: WorkerOptions) -> Result<(), WorkerError> {
    let mut signals = Signals::new()?;
    let nats = options.nats.settings().ok_or(WorkerError::NoAddress)?;
    if options.pool.workers_per_device == 0 {
        return Err(WorkerError::NoWorkers);
    }
    let operators = match &options.operator_listen {
        Some(address) => Some(operators::bind(address).await?),
        None => None,
    };
    let device = options.pool.model.device.clone();
    let devices = tokio::task::spawn_blocking(move || resolve_devices(&device))
        .await
        .map_err(io::Error::other)??;
    let stop = CancellationToken::new();
    let model = tokio::select! {
        model = models::resolve(&options.pool.model, &devices, &stop) => model?,
        () = signals.next() => return Ok(()),
    };
    let settings = NodeSettings {
        nats,
        host: options.name.clone().unwrap_or_else(host_name),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data_dir: PathBuf::new(),
        cache_bytes: options.worker_disk_mb.saturating_mul(1 << 20),
        disk_reserve: DISK_RESERVE,
        pool: options.pool.settings(Arc::new(model), devices, None),
        drain_timeout: options.pool.drain_timeout,
    };
    let node = tokio::select! {
        node = start(settings, options.worker_dir) => Arc::new(node?),
        () = signals.next() => return Ok(()),
    };
    let serving = operators
        .map(|listener| tokio::spawn(operators::serve(listener, node.clone(), stop.clone())));
    let status = node.status();
    tracing::info!(id = %status.id, workers = status.workers, "working for servers");
    let _ = writeln!(io::stdout(), "worker {} joined", status.id);
    signals.next().await;
    tracing::info!(
        "shutting down; running jobs have {:?} to finish, then other workers take them over; a second signal ends \
         the program at once",
        options.pool.drain_timeout
    );
    tokio::select! {
        () = node.drain() => tracing::info!("shut down"),
        () = signals.next() => tracing::warn!("second signal: ending without waiting for running jobs"),
    }
    stop.cancel();
    if let Some(serving) = serving {
        let _ = serving.await;
    }
    Ok(())
}

/// Starts with the chosen folder, or with the first one that no other worker has.
async fn start(settings: NodeSettings, chosen: Option<PathBuf>) -> Result<Node, WorkerError> {
    let is_chosen = chosen.is_some();
    let folders = match chosen {
        Some(folder) => vec![folder],
        None => {
            let base = base_dir("XDG_CACHE_HOME", ".cache").unwrap_or_else(std::env::temp_dir);
            let base = base.join("pointstream").join("workers");
            let numbers = 0..MAX_FOLDERS;
            numbers
                .map(|number| base.join(number.to_string()))
                .collect()
        }
    };
    let last = folders.len().saturating_sub(1);
    for (number, path) in folders.into_iter().enumerate() {
        // Other users must not see the photos.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| WorkerError::Folder {
            path: path.clone(),
            source,
        })?;
        let settings = NodeSettings {
            data_dir: path,
            ..settings.clone()
        };
        match Box::pin(Node::start(settings)).await {
            Err(NodeStartError::DataDir(DataDirError::InUse(_))) if !is_chosen && number < last => {
            }
            node => return Ok(node?),
        }
    }
    Err(WorkerError::Folder {
        path: PathBuf::new(),
        source: io::ErrorKind::NotFound.into(),
    })
}

/// The host name of this machine.
pub fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
