//! The interface of the actor system for the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pointstream_reconstruction::model::Metadata;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::actor_status::ActorStatus;
use crate::blobs::{Blobs, DataDir, DataDirError};
use crate::errors::{CreateSessionError, DeleteSessionError, Unanswered};
use crate::handle::{OwnedSession, SessionHandle};
use crate::ids::SessionId;
use crate::jobs::Dispatcher;
use crate::mailbox::{AskError, Mailbox};
use crate::metrics::Metrics;
use crate::pool::LocalDispatcher;
use crate::report::{ActorReport, SessionSummary};
use crate::session::message::SessionMessage;
use crate::session_config::{ConfigLimits, SessionConfig};
use crate::settings::Settings;
use crate::supervisor::{SessionMailbox, Supervisor, SupervisorArgs, SupervisorMessage};

/// How long removing the sessions' files may take at shutdown.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);

/// A handle of the running system; clones are cheap and refer to the same system.
#[derive(Clone)]
pub struct System {
    settings: Arc<Settings>,
    supervisor: Mailbox<SupervisorMessage>,
    dispatcher: Arc<dyn Dispatcher>,
    metrics: Arc<Metrics>,
    /// Whether the system shuts down.
    ending: Arc<AtomicBool>,
}

/// The system cannot be started.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    #[error("the actors could not be started: {0}")]
    Actors(String),
}

/// Whether requests can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Workers, ready or not.
    pub workers: usize,
    /// Workers with a loaded model.
    pub ready_workers: usize,
    /// Why a worker failed, until it is ready again.
    pub reason: Option<String>,
}

impl Readiness {
    /// Whether a worker has loaded the model.
    pub fn is_ready(&self) -> bool {
        self.ready_workers > 0
    }
}

impl System {
    /// Locks the data directory and starts the actors. The workers load their model afterwards.
    ///
    /// # Errors
    /// [`StartError`] if the directory cannot be used or an actor does not start.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let settings = Arc::new(settings);
        let path = settings.data_dir.clone();
        let data_dir = tokio::task::spawn_blocking(move || DataDir::open(&path))
            .await
            .map_err(|error| StartError::Actors(error.to_string()))??;
        let metrics = Metrics::new()?;
        let blobs: Arc<dyn Blobs> = Arc::new(data_dir);
        let dispatcher = Arc::new(LocalDispatcher::new(
            settings.clone(),
            blobs.clone(),
            metrics.clone(),
        ));
        let ending = Arc::new(AtomicBool::new(false));
        let args = SupervisorArgs {
            settings: settings.clone(),
            blobs,
            dispatcher: dispatcher.clone(),
            status: ActorStatus::new("supervisor", "supervisor".to_owned()),
            metrics: metrics.clone(),
            ending: ending.clone(),
        };
        let supervisor = Supervisor::spawn(args)
            .await
            .map_err(|error| StartError::Actors(error.to_string()))?;
        Ok(Self {
            settings,
            supervisor,
            dispatcher,
            metrics,
            ending,
        })
    }

    #[cfg(test)]
    pub(crate) fn supervisor(&self) -> &ractor::ActorRef<SupervisorMessage> {
        self.supervisor.actor()
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

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

    /// Creates a session. It ends when the returned value is dropped, unless it is kept.
    ///
    /// # Errors
    /// [`CreateSessionError`]; sessions are never ended to make room for a new one.
    pub async fn create_session(
        &self,
        config: SessionConfig,
    ) -> Result<OwnedSession, CreateSessionError> {
        config.check(&self.config_limits())?;
        self.supervisor
            .ask(|reply| SupervisorMessage::Create(config, reply))
            .await
            .map_err(|error| match error {
                AskError::Gone(_) => CreateSessionError::ShuttingDown,
                AskError::Late => CreateSessionError::Busy,
            })?
    }

    /// Finds a session.
    ///
    /// # Errors
    /// [`Unanswered::NotFound`] if it never existed, was deleted, expired or failed.
    pub async fn session(&self, id: SessionId) -> Result<SessionHandle, Unanswered> {
        let found = self
            .supervisor
            .ask(|reply| SupervisorMessage::Find(id, reply))
            .await
            .map_err(unanswered)?;
        found.ok_or(Unanswered::NotFound)
    }

    /// All sessions, the oldest first.
    ///
    /// # Errors
    /// [`Unanswered`] if the system is busy or ends.
    pub async fn sessions(&self) -> Result<Vec<SessionSummary>, Unanswered> {
        let sessions = self
            .supervisor
            .ask(SupervisorMessage::List)
            .await
            .map_err(unanswered)?;
        let mut summaries = ask_all(sessions, |session| async move {
            session.ask(SessionMessage::Summary).await.ok()
        })
        .await;
        summaries.sort_by_key(|summary| summary.created_at);
        Ok(summaries)
    }

    /// Ends a session. Returns when its files are removed.
    ///
    /// # Errors
    /// [`DeleteSessionError`] if there is none, or its files could not be removed yet.
    pub async fn delete_session(&self, id: SessionId) -> Result<(), DeleteSessionError> {
        self.supervisor
            .ask(|reply| SupervisorMessage::Delete(id, reply))
            .await
            .map_err(unanswered)?
    }

    /// The live tree of actors.
    ///
    /// # Errors
    /// [`Unanswered`] if the system is busy or ends.
    pub async fn actors(&self) -> Result<ActorReport, Unanswered> {
        self.supervisor
            .ask(SupervisorMessage::Report)
            .await
            .map_err(unanswered)
    }

    /// Whether requests can be served.
    pub fn readiness(&self) -> Readiness {
        let status = self.dispatcher.status();
        Readiness {
            workers: status.workers,
            ready_workers: status.ready_workers,
            reason: status.failure,
        }
    }

    /// Kills a worker and starts it again. Its job is retried once. Returns whether there is such a
    /// worker.
    ///
    /// # Errors
    /// [`Unanswered`] if the system is busy or ends.
    pub async fn restart_worker(&self, index: usize) -> Result<bool, Unanswered> {
        self.supervisor
            .ask(|reply| SupervisorMessage::RestartWorker(index, reply))
            .await
            .map_err(unanswered)
    }

    /// Shuts down: accepts no new work, waits a bounded time for running work, disconnects the
    /// clients and removes the files.
    pub async fn drain(&self) {
        self.ending.store(true, Ordering::Relaxed);
        let Ok(sessions) = self.supervisor.ask(SupervisorMessage::Drain).await else {
            return;
        };
        let running = ask_all(sessions, |session| async move {
            let (reply, done) = oneshot::channel();
            session.cast(SessionMessage::Drain(reply)).ok()?;
            done.await.ok()
        });
        if tokio::time::timeout(self.settings.drain_timeout, running)
            .await
            .is_err()
        {
            tracing::warn!(
                drain_timeout = ?self.settings.drain_timeout,
                "drain timeout reached; cancelling running jobs"
            );
        }
        let (reply, closed) = oneshot::channel();
        if self
            .supervisor
            .cast(SupervisorMessage::CloseAll(reply))
            .is_err()
            || tokio::time::timeout(CLEANUP_TIMEOUT, closed).await.is_err()
        {
            tracing::warn!(
                "the sessions' files were not removed in time; the next start removes them"
            );
        }
        self.supervisor.actor().stop(Some("shutdown".to_owned()));
    }
}

fn unanswered(error: AskError) -> Unanswered {
    match error {
        AskError::Gone(_) => Unanswered::ShuttingDown,
        AskError::Late => Unanswered::Busy,
    }
}

/// Asks all sessions at the same time. The answers come in any order.
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
