//! The whole system, as the service sees it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pointstream_reconstruction::export::ResultFormat;
use pointstream_reconstruction::model::Metadata;
use thiserror::Error;
use tokio::task::JoinSet;

use crate::config::{ConfigLimits, SessionConfig};
use crate::connection::{AttachError, Events, Requests, SessionNotFound};
use crate::event::{Answer, SessionId};
use crate::export::{ExportFailed, ResultFile};
use crate::gauge::Gauge;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::pool::PoolStatus;
use crate::session::SessionMessage;
use crate::settings::Settings;
use crate::spool::{DataDir, DataDirError};
use crate::summary::{ActorReport, ImageSummary, SessionSummary, ThumbnailFailed};
use crate::supervisor::{
    CreateSessionError, SessionMailbox, Supervisor, SupervisorArgs, SupervisorMessage,
};

/// How long the sessions' files may take to be removed at the end.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);

/// A handle of the running system; clones are cheap and mean the same system.
#[derive(Clone)]
pub struct System {
    settings: Arc<Settings>,
    supervisor: Mailbox<SupervisorMessage>,
    pool: Arc<PoolStatus>,
    metrics: Arc<Metrics>,
}

/// Why the system does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The figures for operators cannot be set up.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// An actor could not be started.
    #[error("the actors could not be started: {0}")]
    Actors(String),
}

/// Whether requests can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Workers altogether.
    pub workers: usize,
    /// Those with a loaded model.
    pub ready_workers: usize,
    /// Why one of the others is not ready, if it failed.
    pub reason: Option<String>,
}

impl Readiness {
    /// Whether a model is loaded and a worker is up.
    pub fn is_ready(&self) -> bool {
        self.ready_workers > 0
    }
}

impl System {
    /// Takes the data directory and starts the actors. The workers load their model afterwards.
    ///
    /// # Errors
    /// [`StartError`] if the directory cannot be used or an actor does not start.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let settings = Arc::new(settings);
        let path = settings.data_dir.clone();
        let data_dir = tokio::task::spawn_blocking(move || DataDir::open(&path))
            .await
            .map_err(|error| StartError::Actors(error.to_string()))??;
        let pool = Arc::new(PoolStatus::default());
        let metrics = Metrics::new()?;
        let args = SupervisorArgs {
            settings: settings.clone(),
            data_dir,
            pool_status: pool.clone(),
            gauge: Gauge::new("supervisor", "supervisor".to_owned()),
            metrics: metrics.clone(),
        };
        let supervisor = Supervisor::spawn(args)
            .await
            .map_err(|error| StartError::Actors(error.to_string()))?;
        Ok(Self {
            settings,
            supervisor,
            pool,
            metrics,
        })
    }

    /// The actor at the root.
    #[cfg(test)]
    pub(crate) fn supervisor(&self) -> &ractor::ActorRef<SupervisorMessage> {
        self.supervisor.actor()
    }

    /// The operator's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the system counts and measures.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The model that the workers load.
    pub fn model(&self) -> &Metadata {
        self.settings.model.metadata()
    }

    /// Largest values that a session may ask for.
    pub fn config_limits(&self) -> ConfigLimits {
        let model = self.model();
        ConfigLimits {
            max_images: self.settings.max_images_limit,
            min_process_res: model.patch_size,
            max_process_res: model.max_process_res,
            num_max_points: self.settings.max_points_limit,
        }
    }

    /// Makes a session.
    ///
    /// # Errors
    /// [`CreateSessionError`]; sessions are never ended to make room for a new one.
    pub async fn create_session(
        &self,
        config: SessionConfig,
    ) -> Result<SessionSummary, CreateSessionError> {
        config.check(&self.config_limits())?;
        let gone = |_| CreateSessionError::ShuttingDown;
        let session = self
            .supervisor
            .ask(|reply| SupervisorMessage::Create(config, reply))
            .await
            .map_err(gone)??;
        session.ask(SessionMessage::Summary).await.map_err(gone)
    }

    /// Finds a session. None if there never was such a one, or it was deleted, expired or failed.
    pub async fn session(&self, id: SessionId) -> Option<SessionHandle> {
        let found = self
            .supervisor
            .ask(|reply| SupervisorMessage::Find(id, reply))
            .await;
        found
            .ok()
            .flatten()
            .map(|mailbox| SessionHandle { id, mailbox })
    }

    /// All sessions, the oldest first.
    pub async fn sessions(&self) -> Vec<SessionSummary> {
        let Ok(sessions) = self.supervisor.ask(SupervisorMessage::List).await else {
            return Vec::new();
        };
        let mut summaries = ask_all(sessions, |session| async move {
            session.ask(SessionMessage::Summary).await.ok()
        })
        .await;
        summaries.sort_by_key(|summary| summary.created_at);
        summaries
    }

    /// Ends a session; returns when its files are gone.
    ///
    /// # Errors
    /// [`SessionNotFound`].
    pub async fn delete_session(&self, id: SessionId) -> Result<(), SessionNotFound> {
        self.supervisor
            .ask(|reply| SupervisorMessage::Delete(id, reply))
            .await
            .map_err(|_| SessionNotFound)?
    }

    /// The live tree of actors, or none if the supervisor is gone.
    pub async fn actors(&self) -> Option<ActorReport> {
        self.supervisor.ask(SupervisorMessage::Report).await.ok()
    }

    /// Whether requests can be served.
    pub fn readiness(&self) -> Readiness {
        let ready_workers = self.pool.ready.load(Ordering::Relaxed);
        let reason = self
            .pool
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Readiness {
            workers: self.settings.devices.len() * self.settings.workers_per_device,
            ready_workers,
            reason,
        }
    }

    /// Kills a worker and starts it again; its job is tried once more. Answers whether there is
    /// such a worker.
    pub async fn restart_worker(&self, index: usize) -> bool {
        let restarted = self
            .supervisor
            .ask(|reply| SupervisorMessage::RestartWorker(index, reply))
            .await;
        restarted.unwrap_or(false)
    }

    /// Ends everything: no new work is taken, what runs gets a bounded time, connections are told,
    /// files are removed.
    pub async fn drain(&self) {
        let Ok(sessions) = self.supervisor.ask(SupervisorMessage::Drain).await else {
            return;
        };
        let running = ask_all(sessions, |session| async move {
            let (reply, done) = tokio::sync::oneshot::channel();
            session.cast(SessionMessage::Drain(reply)).ok()?;
            done.await.ok()
        });
        if tokio::time::timeout(self.settings.drain_timeout, running)
            .await
            .is_err()
        {
            tracing::warn!("work that still runs is given up");
        }
        let (reply, closed) = tokio::sync::oneshot::channel();
        if self
            .supervisor
            .cast(SupervisorMessage::CloseAll(reply))
            .is_err()
            || tokio::time::timeout(CLEANUP_TIMEOUT, closed).await.is_err()
        {
            tracing::warn!("some files of sessions may be left");
        }
        self.supervisor.actor().stop(Some("shutdown".to_owned()));
    }
}

/// Asks all sessions at once and gathers what they answer, in any order.
async fn ask_all<T, F>(
    sessions: Vec<SessionMailbox>,
    question: impl Fn(SessionMailbox) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = Option<T>> + Send + 'static,
{
    let mut asked: JoinSet<_> = sessions.into_iter().map(question).collect();
    let mut answers = Vec::with_capacity(asked.len());
    while let Some(answered) = asked.join_next().await {
        if let Ok(Some(answer)) = answered {
            answers.push(answer);
        }
    }
    answers
}

/// A handle of one session.
#[derive(Clone)]
pub struct SessionHandle {
    id: SessionId,
    mailbox: SessionMailbox,
}

impl SessionHandle {
    /// Its identifier.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What there is to know about it.
    ///
    /// # Errors
    /// [`SessionNotFound`] if it has ended meanwhile.
    pub async fn summary(&self) -> Result<SessionSummary, SessionNotFound> {
        self.mailbox
            .ask(SessionMessage::Summary)
            .await
            .map_err(|_| SessionNotFound)
    }

    /// Its newest result, if it has one.
    ///
    /// # Errors
    /// [`SessionNotFound`] if it has ended meanwhile.
    pub async fn result(&self) -> Result<Option<Arc<Answer>>, SessionNotFound> {
        self.mailbox
            .ask(SessionMessage::Result)
            .await
            .map_err(|_| SessionNotFound)
    }

    /// Its images, in the order in which they were stored.
    ///
    /// # Errors
    /// [`SessionNotFound`] if it has ended meanwhile.
    pub async fn images(&self) -> Result<Vec<ImageSummary>, SessionNotFound> {
        self.mailbox
            .ask(SessionMessage::Images)
            .await
            .map_err(|_| SessionNotFound)
    }

    /// A small copy of an image as a JPEG file, or nothing if it has no image at this place.
    ///
    /// # Errors
    /// [`ThumbnailFailed`] if it has ended meanwhile or the image cannot be read.
    pub async fn thumbnail(&self, index: usize) -> Result<Option<Bytes>, ThumbnailFailed> {
        self.mailbox
            .ask(|reply| SessionMessage::Thumbnail { index, reply })
            .await
            .map_err(|_| SessionNotFound)?
    }

    /// Its newest result in a format, or nothing if it has none. Written at the first request for
    /// the format, which may take long; from then on the file is there.
    ///
    /// # Errors
    /// [`ExportFailed`] if the session has ended meanwhile or the file cannot be written.
    pub async fn export(&self, format: ResultFormat) -> Result<Option<ResultFile>, ExportFailed> {
        let (reply, file) = tokio::sync::oneshot::channel();
        self.mailbox
            .cast(SessionMessage::Export { format, reply })
            .map_err(|_| SessionNotFound)?;
        file.await.map_err(|_| SessionNotFound)?
    }

    /// Connects to it. The first event is always
    /// [`Connected`](crate::event::SessionEvent::Connected). With `resume`, answers that no client
    /// has got follow, and so will those of requests whose client has gone.
    ///
    /// # Errors
    /// [`AttachError`] if it has ended meanwhile or has too many connections.
    pub async fn attach(&self, resume: bool) -> Result<(Requests, Events), AttachError> {
        self.mailbox
            .ask(|reply| SessionMessage::Attach { resume, reply })
            .await
            .map_err(|_| SessionNotFound)?
    }
}
