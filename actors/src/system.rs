//! The whole system, as the service sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pointstream_reconstruction::model::Metadata;
use thiserror::Error;
use tokio::task::JoinSet;

use crate::config::{ConfigLimits, SessionConfig};
use crate::event::SessionId;
use crate::gauge::Gauge;
use crate::handle::{OwnedSession, SessionHandle, Unanswered};
use crate::mailbox::{AskError, Mailbox};
use crate::metrics::Metrics;
use crate::pool::PoolStatus;
use crate::session::SessionMessage;
use crate::settings::Settings;
use crate::spool::{DataDir, DataDirError};
use crate::summary::{ActorReport, SessionSummary};
use crate::supervisor::{
    CreateSessionError, DeleteSessionError, SessionMailbox, Supervisor, SupervisorArgs,
    SupervisorMessage,
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
    /// Whether it ends.
    ending: Arc<AtomicBool>,
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
        let ending = Arc::new(AtomicBool::new(false));
        let args = SupervisorArgs {
            settings: settings.clone(),
            data_dir,
            pool_status: pool.clone(),
            gauge: Gauge::new("supervisor", "supervisor".to_owned()),
            metrics: metrics.clone(),
            ending: ending.clone(),
        };
        let supervisor = Supervisor::spawn(args)
            .await
            .map_err(|error| StartError::Actors(error.to_string()))?;
        Ok(Self {
            settings,
            supervisor,
            pool,
            metrics,
            ending,
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

    /// Makes a session, which ends with what is returned unless it is kept.
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
    /// [`Unanswered::NotFound`] if there never was such a one, or it was deleted, expired or failed.
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

    /// Ends a session; returns when its files are gone.
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
    ///
    /// # Errors
    /// [`Unanswered`] if the system is busy or ends.
    pub async fn restart_worker(&self, index: usize) -> Result<bool, Unanswered> {
        self.supervisor
            .ask(|reply| SupervisorMessage::RestartWorker(index, reply))
            .await
            .map_err(unanswered)
    }

    /// Ends everything: no new work is taken, what runs gets a bounded time, connections are told,
    /// files are removed.
    pub async fn drain(&self) {
        self.ending.store(true, Ordering::Relaxed);
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

/// Why the supervisor does not answer.
fn unanswered(error: AskError) -> Unanswered {
    match error {
        AskError::Gone(_) => Unanswered::ShuttingDown,
        AskError::Late => Unanswered::Busy,
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
