//! A node: a process that has workers and no sessions. It takes assignments from its queue, does them with
//! a [pool](crate::pool) of its own, and reports to their gateways.

mod assignment;
mod begun;
mod confirmation;
mod control;
mod files;
mod host;
mod presence;
mod queue;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::assignment::Assignments;
use self::files::NodeFiles;
use self::host::{Host, HostMessage};
use self::presence::Load;
use super::again;
use super::link::{Link, LinkError, Role};
use super::names::ModelKey;
use super::settings::NatsSettings;
use super::wire::NodeId;
use crate::blobs::{Blobs, DataDir, DataDirError, DiskLimits};
use crate::journal::Durability;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::pool::PoolDispatcher;
use crate::settings::PoolSettings;

/// How long it waits before it tries again to reach NATS.
const LINK_RETRY: Duration = Duration::from_secs(2);

/// Settings of a node, fixed for its life.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    pub nats: NatsSettings,
    /// The name of its machine, for operators.
    pub host: String,
    /// Version of the program.
    pub version: String,
    /// Folder for frames and predictions. What an earlier node left there is removed.
    pub data_dir: PathBuf,
    /// Disk space for frames and predictions, in bytes. Those of sessions that were used least recently make room.
    pub cache_bytes: u64,
    /// Bytes of the disk that stay free.
    pub disk_reserve: u64,
    pub pool: PoolSettings,
    /// How long assignments may take that run when the node shuts down. Others take them over afterwards.
    pub drain_timeout: Duration,
}

/// A node cannot start.
#[derive(Debug, Error)]
pub enum NodeStartError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A server does not take it.
    #[error("{0}")]
    Refused(String),
    #[error("the actors could not be started: {0}")]
    Actors(String),
}

/// What a node does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    pub id: NodeId,
    pub workers: usize,
    pub ready_workers: usize,
    /// Assignments that run or wait here.
    pub assignments: usize,
    /// Why a worker failed, until it is ready again.
    pub failure: Option<String>,
}

/// A running node.
pub struct Node {
    shared: Arc<Shared>,
    host: Mailbox<HostMessage>,
    metrics: Arc<Metrics>,
    drain_timeout: Duration,
    /// Cancelled when it takes no more assignments.
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What all parts of a node share.
struct Shared {
    id: NodeId,
    settings: NodeSettings,
    model: ModelKey,
    link: Arc<Link>,
    dispatcher: Arc<PoolDispatcher>,
    files: NodeFiles,
    load: Load,
    assignments: Assignments,
    /// Places for assignments: for each worker one that runs, and one that waits.
    places: Arc<Semaphore>,
    /// Tells that the record has changed.
    changed: watch::Sender<()>,
    /// Cancelled when running assignments are given back.
    give_back: CancellationToken,
    /// Assignments that run, to wait for.
    running: TaskTracker,
}

impl Node {
    /// Starts the workers and joins an installation. Waits until a server of it answers.
    ///
    /// # Errors
    /// [`NodeStartError`] if NATS or the folder cannot be used, or a server refuses the node.
    pub async fn start(settings: NodeSettings) -> Result<Self, NodeStartError> {
        let metrics = Metrics::new()?;
        let blobs: Arc<dyn Blobs> = {
            let (path, metrics) = (settings.data_dir.clone(), metrics.clone());
            let limits = DiskLimits {
                all: settings.cache_bytes,
                client: u64::MAX,
                session: u64::MAX,
                reserve: settings.disk_reserve,
            };
            let open = move || {
                let opened = DataDir::open(&path, limits, metrics.disk.clone(), Durability::None)?;
                clear(&opened);
                Ok::<_, DataDirError>(opened)
            };
            let data_dir = tokio::task::spawn_blocking(open)
                .await
                .map_err(|error| NodeStartError::Actors(error.to_string()))??;
            Arc::new(data_dir)
        };
        let name = format!("pointstream worker {}", settings.host);
        let link = loop {
            match Link::open(&settings.nats, Role::Node, &name).await {
                Err(error) if error.may_pass() => {
                    tracing::warn!(%error, retry_in = ?LINK_RETRY, "waiting for NATS");
                }
                link => break link?,
            }
            tokio::time::sleep(LINK_RETRY).await;
        };
        let dispatcher = Arc::new(PoolDispatcher::new(
            Arc::new(settings.pool.clone()),
            blobs.clone(),
            metrics.clone(),
            None,
        ));
        let host = Host::spawn(dispatcher.clone(), metrics.clone())
            .await
            .map_err(|error| NodeStartError::Actors(error.to_string()))?;
        let workers = settings.pool.devices.len() * settings.pool.workers_per_device;
        let shared = Arc::new(Shared {
            id: NodeId::new_v4(),
            model: ModelKey::of(settings.pool.model.metadata()),
            settings,
            link: Arc::new(link),
            dispatcher,
            files: NodeFiles::new(blobs),
            load: Load::default(),
            assignments: Assignments::default(),
            places: Arc::new(Semaphore::new(2 * workers)),
            changed: watch::Sender::default(),
            give_back: CancellationToken::new(),
            running: TaskTracker::new(),
        });
        shared.join().await?;
        let node = Self {
            host,
            metrics,
            drain_timeout: shared.settings.drain_timeout,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            shared,
        };
        node.spawn("presenting the worker", Shared::present);
        node.spawn("taking assignments", Shared::take_assignments);
        node.spawn("taking over assignments", Shared::take_over);
        node.spawn("listening to servers", Shared::obey);
        node.spawn("listening to operators", Shared::restart_workers);
        Ok(node)
    }

    fn spawn<F>(
        &self,
        what: &'static str,
        part: impl Fn(Arc<Shared>, CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (shared, stop) = (self.shared.clone(), self.stop.clone());
        self.tasks
            .spawn(again(what, move || part(shared.clone(), stop.clone())));
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub fn status(&self) -> NodeStatus {
        use crate::jobs::Dispatcher as _;
        let status = self.shared.dispatcher.status();
        NodeStatus {
            id: self.shared.id,
            workers: status.workers,
            ready_workers: status.ready_workers,
            assignments: self.shared.load.assignments(),
            failure: status.failure,
        }
    }

    /// Shuts down: takes no more assignments, waits a bounded time for those that run, and gives the others back.
    pub async fn drain(&self) {
        self.shared.load.end();
        self.stop.cancel();
        self.shared.running.close();
        let ended = tokio::time::timeout(self.drain_timeout, self.shared.running.wait());
        if ended.await.is_err() {
            tracing::warn!("drain timeout reached; giving running assignments back");
            self.shared.give_back.cancel();
            // Giving back takes a few messages.
            let _ = tokio::time::timeout(Duration::from_secs(10), self.shared.running.wait()).await;
        }
        self.tasks.close();
        self.tasks.wait().await;
        // Others take over what waits in its queue at once, instead of after its lease.
        if let Err(error) = self
            .shared
            .link
            .nodes
            .delete(self.shared.id.to_string())
            .await
        {
            tracing::debug!(%error, "the node leaves by the end of its lease");
        }
        self.shared.dispatcher.drain();
        self.host.actor().stop(Some("shutdown".to_owned()));
        let flushed = self.shared.link.client.flush();
        let _ = tokio::time::timeout(Duration::from_secs(5), flushed).await;
    }
}

/// Removes what an earlier node has left. Blocks.
fn clear(folder: &DataDir) {
    let sessions = std::fs::read_dir(folder.sessions());
    for entry in sessions.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let session = name.to_str().and_then(|name| name.parse().ok());
        if let Some(session) = session
            && let Err(error) = folder.remove_session(session)
        {
            tracing::warn!(%error, "cannot remove files of an earlier run");
        }
    }
}
