//! The interface of the actor system for the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pointstream_reconstruction::model::Metadata;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::actor_status::ActorStatus;
use crate::blobs::{Blobs, DataDirError};
use crate::creator::{Creator, Whose};
use crate::errors::{CreateSessionError, DeleteSessionError, RestartError, Unanswered};
use crate::handle::{OwnedSession, SessionHandle};
use crate::ids::SessionId;
use crate::jobs::Dispatcher;
use crate::journal::Journals;
use crate::mailbox::{AskError, Mailbox};
use crate::metrics::Metrics;
use crate::outbox::{DeliveryFilter, DeliveryReport, Outbox, OutboxError, Webhook, WebhookError};
use crate::pool::PoolDispatcher;
use crate::remote::LinkError;
use crate::remote::gateway::Gateway;
use crate::report::{ActorReport, SessionSummary};
use crate::session::message::SessionMessage;
use crate::session_config::{ConfigLimits, SessionConfig};
use crate::settings::Settings;
use crate::sharing::{Adopting, GatewayRecord, Location, Sharing, SharingError};
use crate::stored::Stored;
use crate::supervisor::{SessionMailbox, Supervisor, SupervisorArgs, SupervisorMessage};

/// How long the end of the sessions may take at shutdown.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long attempts to deliver webhooks may take at shutdown. Later ones are made by the next process.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// A handle of the running system; clones are cheap and refer to the same system.
#[derive(Clone)]
pub struct System {
    settings: Arc<Settings>,
    blobs: Arc<dyn Blobs>,
    journals: Journals,
    supervisor: Mailbox<SupervisorMessage>,
    dispatcher: Arc<dyn Dispatcher>,
    outbox: Option<Outbox>,
    metrics: Arc<Metrics>,
    /// Whether the system shuts down.
    ending: Arc<AtomicBool>,
    /// The sessions are shared with other gateways.
    sharing: Option<Arc<SharedSystem>>,
    /// Receives what other machines send, as long as the system lives.
    _receiving: Option<Arc<AbortOnDropHandle<()>>>,
}

/// What shares the sessions.
struct SharedSystem {
    sharing: Arc<Sharing>,
    _adopting: Adopting,
}

/// The system cannot be started.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    #[error(transparent)]
    Nats(#[from] LinkError),
    #[error("sessions are shared over NATS: --nats nats://HOST:4222")]
    SharingWithoutNats,
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
    /// The devices of all workers, each once.
    pub devices: Vec<String>,
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
        Self::start_with(settings, std::convert::identity).await
    }

    /// The same with a layer around the stored files.
    pub(crate) async fn start_with(
        settings: Settings,
        around: impl FnOnce(Arc<dyn Blobs>) -> Arc<dyn Blobs> + Send + 'static,
    ) -> Result<Self, StartError> {
        let settings = Arc::new(settings);
        let metrics = Metrics::new()?;
        let sharing = match (&settings.nats, &settings.sharing) {
            (Some(nats), Some(sharing)) => {
                Some(Box::pin(Sharing::open(nats, sharing.clone())).await?)
            }
            (None, Some(_)) => return Err(StartError::SharingWithoutNats),
            (_, None) => None,
        };
        let stored = {
            let (settings, metrics) = (settings.clone(), metrics.clone());
            let sharing = sharing.clone();
            let open = move || Stored::open(&settings, &metrics, sharing, around);
            tokio::task::spawn_blocking(open)
                .await
                .map_err(|error| StartError::Actors(error.to_string()))??
        };
        let Stored {
            blobs,
            journals,
            restored,
            outbox,
            shared,
        } = stored;
        let outbox = outbox.map(|stored| stored.into_outbox(metrics.clone(), shared.is_some()));
        let model = settings.pool.model.clone();
        let gateway = settings
            .nats
            .clone()
            .map(|nats| Gateway::new(nats, model, blobs.clone()));
        let receiving = gateway.as_ref().map(|gateway| Arc::new(gateway.start()));
        let dispatcher = Arc::new(PoolDispatcher::new(
            Arc::new(settings.pool.clone()),
            blobs.clone(),
            metrics.clone(),
            gateway,
        ));
        let ending = Arc::new(AtomicBool::new(false));
        let args = SupervisorArgs {
            settings: settings.clone(),
            blobs: blobs.clone(),
            journals: journals.clone(),
            restored,
            dispatcher: dispatcher.clone(),
            outbox: outbox.clone(),
            status: ActorStatus::new("supervisor", "supervisor".to_owned()),
            metrics: metrics.clone(),
            ending: ending.clone(),
            shared,
        };
        let supervisor = Supervisor::spawn(args)
            .await
            .map_err(|error| StartError::Actors(error.to_string()))?;
        let sharing = sharing.map(|sharing| {
            let adopting = Adopting::start(sharing.clone(), Arc::new(supervisor.clone()));
            Arc::new(SharedSystem {
                sharing,
                _adopting: adopting,
            })
        });
        Ok(Self {
            sharing,
            settings,
            blobs,
            journals,
            supervisor,
            dispatcher,
            outbox,
            metrics,
            ending,
            _receiving: receiving,
        })
    }

    #[cfg(test)]
    pub(crate) fn supervisor(&self) -> &ractor::ActorRef<SupervisorMessage> {
        self.supervisor.actor()
    }

    #[cfg(test)]
    pub(crate) fn outbox(&self) -> Option<&Outbox> {
        self.outbox.as_ref()
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The model that the workers load.
    pub fn model(&self) -> &Metadata {
        self.settings.pool.model.metadata()
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

    /// Creates a session. It ends when the returned value is dropped, unless it is kept. Without a
    /// creator only the limit of all sessions counts. The webhook is told of what happens to it.
    ///
    /// # Errors
    /// [`CreateSessionError`]; sessions are never ended to make room for a new one.
    pub async fn create_session(
        &self,
        config: SessionConfig,
        creator: Option<Creator>,
        webhook: Option<Webhook>,
    ) -> Result<OwnedSession, CreateSessionError> {
        config.check(&self.config_limits())?;
        self.supervisor
            .ask(|reply| SupervisorMessage::Create {
                config,
                creator,
                webhook,
                reply,
            })
            .await
            .map_err(|error| match error {
                AskError::Gone(_) => CreateSessionError::ShuttingDown,
                AskError::Late => CreateSessionError::Busy,
            })?
    }

    /// Finds a session among those that the caller may reach.
    ///
    /// # Errors
    /// [`Unanswered::NotFound`] if it never existed, was deleted, expired or failed, or is not among
    /// them.
    pub async fn session(&self, id: SessionId, whose: Whose) -> Result<SessionHandle, Unanswered> {
        let found = self
            .supervisor
            .ask(|reply| SupervisorMessage::Find(id, whose, reply))
            .await
            .map_err(unanswered)?;
        found.ok_or(Unanswered::NotFound)
    }

    /// Where a session is. One that no other gateway has any more is taken over.
    ///
    /// # Errors
    /// [`SharingError`] if that cannot be told now, or the session not be restored now.
    pub async fn locate(&self, id: SessionId) -> Result<Location, SharingError> {
        match &self.sharing {
            Some(shared) => shared.sharing.locate(id, &self.supervisor).await,
            None => Ok(Location::Here),
        }
    }

    /// Whether this gateway has a session. Always true if it shares nothing.
    pub fn has_session(&self, id: SessionId) -> bool {
        let shared = self.sharing.as_ref();
        shared.is_none_or(|shared| shared.sharing.has(id))
    }

    /// Identifies this life of a gateway that shares its sessions.
    pub fn gateway_id(&self) -> Option<Uuid> {
        self.sharing.as_ref().map(|shared| shared.sharing.id())
    }

    /// The other gateways that share the sessions.
    pub fn other_gateways(&self) -> Vec<Arc<GatewayRecord>> {
        let shared = self.sharing.as_ref();
        shared.map_or_else(Vec::new, |shared| shared.sharing.others())
    }

    /// Another gateway does not exist any more, although it was there a moment ago.
    pub fn gateway_is_gone(&self, gateway: Uuid) {
        if let Some(shared) = &self.sharing {
            shared.sharing.is_gone(gateway);
        }
    }

    /// A secret that all gateways know that share the sessions. `None` if they are not shared.
    ///
    /// # Errors
    /// [`SharingError`] if it cannot be read.
    pub async fn shared_secret(&self, name: &str) -> Result<Option<[u8; 32]>, SharingError> {
        match &self.sharing {
            Some(shared) => shared.sharing.secret(name).await.map(Some),
            None => Ok(None),
        }
    }

    /// All sessions of this gateway that the caller may reach, the oldest first.
    ///
    /// # Errors
    /// [`Unanswered`] if the system is busy or ends.
    pub async fn sessions(&self, whose: Whose) -> Result<Vec<SessionSummary>, Unanswered> {
        let sessions = self
            .supervisor
            .ask(|reply| SupervisorMessage::List(whose, reply))
            .await
            .map_err(unanswered)?;
        let summaries = ask_all(sessions, |session| async move {
            session.ask(SessionMessage::Summary).await.ok()
        })
        .await;
        Ok(summaries)
    }

    /// Ends a session that the caller may reach. Returns when its files are removed.
    ///
    /// # Errors
    /// [`DeleteSessionError`] if there is none, or its files could not be removed yet.
    pub async fn delete_session(
        &self,
        id: SessionId,
        whose: Whose,
    ) -> Result<(), DeleteSessionError> {
        self.supervisor
            .ask(|reply| SupervisorMessage::Delete(id, whose, reply))
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
            devices: status.devices,
        }
    }

    /// Whether there is space on the disk for more images and results.
    ///
    /// # Errors
    /// Why there is not.
    pub async fn check_disk(&self) -> std::io::Result<()> {
        let blobs = self.blobs.clone();
        tokio::task::spawn_blocking(move || blobs.check_space())
            .await
            .map_err(std::io::Error::other)?
    }

    /// Brings the metrics of the disk up to date.
    ///
    /// # Errors
    /// If the system does not tell how much is free.
    pub async fn measure_disk(&self) -> std::io::Result<()> {
        let blobs = self.blobs.clone();
        tokio::task::spawn_blocking(move || blobs.measure_space())
            .await
            .map_err(std::io::Error::other)?
    }

    /// Kills a worker and starts it again. Its job runs again, as if it had not begun.
    ///
    /// # Errors
    /// [`RestartError`] if there is no such worker, or it cannot be restarted now.
    pub async fn restart_worker(&self, index: usize) -> Result<(), RestartError> {
        self.supervisor
            .ask(|reply| SupervisorMessage::RestartWorker(index, reply))
            .await
            .map_err(unanswered)?
    }

    /// The messages of webhooks, the newest first.
    ///
    /// # Errors
    /// [`WebhookError`] if they cannot be read.
    pub async fn deliveries(
        &self,
        filter: DeliveryFilter,
    ) -> Result<Vec<DeliveryReport>, WebhookError> {
        match &self.outbox {
            Some(outbox) => outbox.list(filter).await,
            None => Ok(Vec::new()),
        }
    }

    /// Tries to deliver a message again, whatever has become of it.
    ///
    /// # Errors
    /// [`WebhookError`] if there is no such message, or it cannot be changed.
    pub async fn redeliver(&self, number: u64) -> Result<(), WebhookError> {
        match &self.outbox {
            Some(outbox) => outbox.redeliver(number).await,
            None => Err(WebhookError::NoSuchDelivery(number)),
        }
    }

    /// Shuts down: accepts no new work, waits a bounded time for running work, disconnects the
    /// clients. Sessions stay for the next server.
    pub async fn drain(&self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(shared) = &self.sharing {
            shared.sharing.begin_to_end();
        }
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
        let written = async {
            self.supervisor
                .cast(SupervisorMessage::CloseAll(reply))
                .ok()?;
            closed.await.ok()?;
            self.journals.written().await;
            Some(())
        };
        let written = tokio::time::timeout(CLEANUP_TIMEOUT, written).await;
        if !matches!(written, Ok(Some(()))) {
            tracing::warn!("the sessions did not end in time; the next start goes on with them");
        }
        if let Some(shared) = &self.sharing {
            // Whatever was not written is lost to nobody else, so the others need not wait.
            shared.sharing.leave().await;
        }
        if let Some(outbox) = &self.outbox {
            // What is not done then is done by the next process.
            let _ = tokio::time::timeout(DELIVERY_TIMEOUT, outbox.close()).await;
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

/// Asks all sessions at the same time. The answers are in the order of the sessions.
async fn ask_all<T, F>(
    sessions: Vec<SessionMailbox>,
    question: impl Fn(SessionMailbox) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = Option<T>> + Send + 'static,
{
    let sessions = sessions.into_iter().enumerate();
    let mut asked: JoinSet<_> = sessions
        .map(|(index, session)| {
            let answer = question(session);
            async move { Some((index, answer.await?)) }
        })
        .collect();
    let mut answers = Vec::with_capacity(asked.len());
    while let Some(answered) = asked.join_next().await {
        if let Ok(Some(answer)) = answered {
            answers.push(answer);
        }
    }
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}
