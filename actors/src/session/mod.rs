//! The session: the actor that owns one reconstruction.
//!
//! The [ledger] has the facts about the reconstruction. Live state (clients, uploads, requests,
//! files being written) is in one component each. Components are independent of each other: the
//! [state] translates messages into calls of components and decides in one place what to do next.
//!
//! No handler blocks or waits. Files, decoding and the model are processed on other threads, which
//! report their outcome as a message, so a session answers at once while they run.

mod activity;
mod adjusting;
mod adjustment;
mod admission;
pub(crate) mod adopt;
mod anchoring;
mod announcements;
mod clients;
mod context;
mod contradictions;
mod encode_ahead;
pub(crate) mod envelope;
mod follow_ups;
mod followers;
mod generation;
mod generation_error;
mod image_outcome;
mod image_store;
mod joined_window;
pub(crate) mod ledger;
mod lists;
mod map_cloud;
mod map_poses;
mod map_update;
mod map_window;
mod mapping;
mod memory_advice;
mod memory_limits;
pub(crate) mod message;
mod old_chunks;
mod originals;
mod photos;
mod point_cloud;
mod progress;
mod recent_windows;
mod recording;
mod requests;
pub(crate) mod restore;
mod result_chunks;
mod result_files;
mod room;
mod settled;
mod shutdown;
mod snapshot;
mod state;
mod stored_result;
mod thumbnails;
mod uploads;
mod window_content;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use tracing::Instrument;

use crate::actor_status::ActorStatus;
use crate::blobs::Blobs;
use crate::blocking::BlockingPool;
use crate::decode_memory::DecodeMemory;
use crate::ids::SessionId;
use crate::jobs::Dispatcher;
use crate::journal::Journals;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::session_event::CloseReason;
use crate::settings::Settings;
use crate::upload_memory::UploadMemory;
use message::SessionMessage;
use restore::Restored;
use state::State;

/// The actor.
pub(crate) struct Session;

/// What a session needs.
pub(crate) struct SessionArgs {
    pub id: SessionId,
    pub restored: Restored,
    /// Set if the session's files stay when it ends, for a later process.
    pub stays: Arc<AtomicBool>,
    /// Set when the session ends by itself.
    pub ends: Arc<OnceLock<CloseReason>>,
    /// Who passes on what happens; `None` if nobody is told.
    pub outbox: Option<Outbox>,
    pub journals: Journals,
    pub settings: Arc<Settings>,
    /// Ready to take the session's blobs.
    pub blobs: Arc<dyn Blobs>,
    pub dispatcher: Arc<dyn Dispatcher>,
    /// For decoding images and computing point clouds.
    pub computing: BlockingPool,
    /// Memory for decoding images.
    pub decoding: DecodeMemory,
    /// For writing results in other formats.
    pub result_files: BlockingPool,
    /// Memory for images that are being stored.
    pub uploads: UploadMemory,
    pub status: Arc<ActorStatus>,
    pub metrics: Arc<Metrics>,
}

impl Session {
    /// Starts a session under the supervisor.
    pub async fn spawn(
        args: SessionArgs,
        supervisor: ActorCell,
    ) -> Result<Mailbox<SessionMessage>, SpawnErr> {
        let status = args.status.clone();
        let (actor, _) = Actor::spawn_linked(None, Self, args, supervisor).await?;
        Ok(Mailbox::new(actor, status))
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
        args.status.started(&myself.get_id());
        let mailbox = Mailbox::new(myself, args.status.clone());
        Ok(State::new(args, mailbox))
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let span = state.span().clone();
        async { state.handle(message) }.instrument(span).await;
        match state.has_failed() {
            true => Err("the session's journal is not written any more".into()),
            false => Ok(()),
        }
    }
}
