//! The session: the actor that owns one reconstruction, its images and its state machine.
//!
//! Nothing here blocks or waits: files, decoding and the model are worked on elsewhere and report
//! back as messages, so a session answers at once whatever runs.

mod cloud;
mod connections;
mod exports;
mod generation;
mod idle;
mod images;
mod memory_advice;
mod message;
mod requests;
mod result;
mod uploads;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use crate::config::SessionConfig;
use crate::connection::ConnectionId;
use crate::event::{ClientMessage, CloseReason, SessionEvent, SessionId};
use crate::features::FeatureBudget;
use crate::gauge::Gauge;
use crate::mailbox::{Mailbox, Reply, answer};
use crate::memory::{MemoryBudget, MemoryLease};
use crate::metrics::{ErrorKind, Metrics, SessionShare};
use crate::pool::PoolAddress;
use crate::settings::Settings;
use crate::spool::Spool;
use crate::summary::{SessionStatus, SessionSummary};
use crate::workshop::Workshop;
use connections::{Connection, Refusal};
use exports::Exports;
pub(crate) use message::SessionMessage;
use requests::{Request, Running};
use result::StoredResult;
use uploads::{Image, NewImage, Upload};

use pointstream_reconstruction::cloud::World;

/// What a session needs.
pub(crate) struct SessionArgs {
    /// Its identifier.
    pub id: SessionId,
    /// Its client's parameters.
    pub config: SessionConfig,
    /// The operator's.
    pub settings: Arc<Settings>,
    /// Its folder, made already.
    pub spool: Spool,
    /// The workers.
    pub pool: PoolAddress,
    /// Where blocking work is done.
    pub workshop: Workshop,
    /// Where results are written in other formats.
    pub exports: Workshop,
    /// Memory for encoded frames.
    pub features: Arc<FeatureBudget>,
    /// Memory for images that are being stored.
    pub uploads: MemoryBudget,
    /// Its gauge.
    pub gauge: Arc<Gauge>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The actor.
pub(crate) struct Session;

/// Its state.
pub(crate) struct State {
    id: SessionId,
    config: SessionConfig,
    settings: Arc<Settings>,
    spool: Spool,
    pool: PoolAddress,
    workshop: Workshop,
    export_workshop: Workshop,
    budget: Arc<FeatureBudget>,
    upload_memory: MemoryBudget,
    mailbox: Mailbox<SessionMessage>,
    span: tracing::Span,
    metrics: Arc<Metrics>,
    share: SessionShare,

    created_at: SystemTime,
    last_activity: (SystemTime, Instant),
    /// Whether it ends with its owner, who is to get a result of it.
    owned: bool,
    /// Whether a `finalize` waits, runs or has succeeded.
    finalizing: bool,
    /// Whether the session is finalized.
    completed: bool,
    /// What the last generation failed with.
    error: Option<String>,
    /// Set when the system ends: who waits for the running work.
    draining: Option<Vec<Reply<()>>>,

    /// Accepted images in the order in which they came.
    images: Vec<Image>,
    /// Images that are being stored, in the order in which they came.
    uploads: VecDeque<Upload>,
    next_upload: u64,
    /// Frames that are being encoded.
    encoding: usize,
    /// Images that were offered to the pool for encoding, from the first one on.
    offered: usize,

    /// Requests that wait.
    requests: VecDeque<Request>,
    running: Option<Running>,
    /// The coordinates of the session's results, fixed by the first one.
    world: Option<Arc<World>>,
    /// The newest result.
    result: Option<Arc<StoredResult>>,
    next_result: u64,
    /// Formats of results that were asked for.
    exports: Exports,

    connections: BTreeMap<ConnectionId, Connection>,
    next_connection: ConnectionId,
    /// Answers that no client has got, oldest first.
    undelivered: VecDeque<SessionEvent>,
}

impl Session {
    /// Starts a session under the supervisor.
    pub async fn spawn(
        args: SessionArgs,
        supervisor: ActorCell,
    ) -> Result<Mailbox<SessionMessage>, SpawnErr> {
        let gauge = args.gauge.clone();
        let (actor, _) = Actor::spawn_linked(None, Self, args, supervisor).await?;
        Ok(Mailbox::new(actor, gauge))
    }
}

impl State {
    fn new(args: SessionArgs, mailbox: Mailbox<SessionMessage>) -> Self {
        Self {
            span: tracing::info_span!("session", session_id = %args.id),
            id: args.id,
            config: args.config,
            settings: args.settings,
            spool: args.spool,
            pool: args.pool,
            workshop: args.workshop,
            export_workshop: args.exports,
            budget: args.features,
            upload_memory: args.uploads,
            mailbox,
            share: SessionShare::new(args.metrics.clone(), SessionStatus::Active),
            metrics: args.metrics,
            created_at: SystemTime::now(),
            last_activity: (SystemTime::now(), Instant::now()),
            owned: true,
            finalizing: false,
            completed: false,
            error: None,
            draining: None,
            images: Vec::new(),
            uploads: VecDeque::new(),
            next_upload: 1,
            encoding: 0,
            offered: 0,
            requests: VecDeque::new(),
            running: None,
            world: None,
            result: None,
            next_result: 1,
            exports: Exports::default(),
            connections: BTreeMap::new(),
            next_connection: 1,
            undelivered: VecDeque::new(),
        }
    }

    fn handle(&mut self, message: SessionMessage) {
        match message {
            SessionMessage::Attach { resume, reply } => answer(reply, self.attach(resume)),
            SessionMessage::Detach(connection) => self.detach(connection),
            SessionMessage::Client {
                connection,
                message,
                permit,
                memory,
            } => self.on_client(connection, message, permit, memory),
            SessionMessage::UploadSettled { number, outcome } => {
                self.on_upload_settled(number, outcome);
            }
            SessionMessage::EncodeEnded => self.on_encode_ended(),
            SessionMessage::Progress { number, progress } => self.on_progress(number, progress),
            SessionMessage::GenerationEnded(result) => self.on_generation_ended(result),
            SessionMessage::Undelivered(event) => self.on_undelivered(event),
            SessionMessage::Summary(reply) => answer(reply, self.summary()),
            SessionMessage::Result(reply) => {
                let result = self.result.as_ref();
                answer(reply, result.map(|result| result.answer().clone()));
            }
            SessionMessage::Images(reply) => answer(reply, self.list_images()),
            SessionMessage::Thumbnail { index, reply } => self.on_thumbnail(index, reply),
            SessionMessage::Export { format, reply } => self.on_export(format, reply),
            SessionMessage::ExportEnded {
                number,
                format,
                outcome,
            } => self.on_export_ended(number, format, outcome),
            SessionMessage::ExportLeft => self.on_export_left(),
            SessionMessage::ExportLate { number, format } => self.on_export_late(number, format),
            SessionMessage::Kept => {
                self.owned = false;
                self.drained();
            }
            SessionMessage::CheckIdle => self.check_idle(),
            SessionMessage::Drain(reply) => self.drain(reply),
            SessionMessage::Close(reason) => self.close(reason),
        }
        let status = self.status();
        self.mailbox.gauge().state(status.into());
        self.share.state(status);
    }

    fn on_client(
        &mut self,
        connection: ConnectionId,
        message: ClientMessage,
        permit: OwnedSemaphorePermit,
        memory: Option<MemoryLease>,
    ) {
        self.touch();
        match message {
            ClientMessage::Ping => self.tell(connection, SessionEvent::Pong, Some(permit)),
            ClientMessage::Invalid {
                reason,
                id,
                filename,
            } => {
                let refusal = Refusal {
                    kind: ErrorKind::Message,
                    message: reason,
                    id,
                    filename,
                };
                self.on_invalid(connection, refusal, permit);
            }
            ClientMessage::Image {
                bytes,
                name,
                camera,
                id,
            } => {
                let image = NewImage {
                    bytes,
                    memory,
                    name,
                    camera,
                    id,
                };
                self.on_image(connection, image, permit);
            }
            ClientMessage::Generate { incremental, id } => {
                self.on_generate(connection, incremental, id, permit);
            }
            ClientMessage::Finalize { id } => self.on_finalize(connection, id, permit),
        }
    }

    fn status(&self) -> SessionStatus {
        if self.running.is_some() {
            SessionStatus::Processing
        } else if self.completed {
            SessionStatus::Completed
        } else if self.error.is_some() {
            SessionStatus::Error
        } else {
            SessionStatus::Active
        }
    }

    fn image_count(&self) -> u32 {
        // Never more than `max_images`, which is a u32.
        u32::try_from(self.images.len()).unwrap_or(u32::MAX)
    }

    fn summary(&self) -> SessionSummary {
        SessionSummary {
            id: self.id,
            created_at: self.created_at,
            last_activity: self.last_activity.0,
            status: self.status(),
            image_count: self.image_count(),
            pending_images: self.pending_images(),
            image_bytes: self.images.iter().map(|image| image.bytes).sum(),
            config: self.config.clone(),
            connections: self.connections.len(),
            requests: self.requests.len() + usize::from(self.running.is_some()),
            has_result: self.result.is_some(),
            error_message: self.error.clone(),
        }
    }

    /// Ends the session; the supervisor removes its files.
    fn close(&mut self, reason: CloseReason) {
        tracing::info!(%reason, "session ends");
        self.metrics.sessions.ended(reason);
        self.cancel_running();
        let connections: Vec<_> = self.connections.keys().copied().collect();
        for connection in connections {
            self.tell(connection, SessionEvent::Closed(reason), None);
        }
        self.connections.clear();
        self.mailbox.actor().stop(Some(reason.to_string()));
    }
}

impl Drop for State {
    /// However the session ends, its running generation and exports are given up.
    fn drop(&mut self) {
        self.cancel_running();
        self.exports.cancel();
    }
}

impl Actor for Session {
    type Msg = SessionMessage;
    type State = State;
    type Arguments = SessionArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        args.gauge.started(&myself.get_id());
        let mailbox = Mailbox::new(myself, args.gauge.clone());
        let state = State::new(args, mailbox);
        state.watch_idle(state.settings.session_timeout);
        state.mailbox.gauge().state(state.status().into());
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let span = state.span.clone();
        state.mailbox.gauge().message_taken();
        async { state.handle(message) }.instrument(span).await;
        Ok(())
    }
}
