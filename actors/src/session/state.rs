//! Translates a session's messages into calls of its components, and decides what is next.

mod answers;
mod cancel;
mod ending;
mod images;
mod map;
mod recording;
mod requests;
mod watching;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Span;

use self::watching::Shown;
use super::SessionArgs;
use super::activity::Activity;
use super::adjusting::Adjusting;
use super::admission::Admission;
use super::adopt::StoredImages;
use super::anchoring::Anchoring;
use super::announcements::Announcements;
use super::clients::Clients;
use super::context::Context;
use super::encode_ahead::EncodeAhead;
use super::envelope::Envelope;
use super::followers::Followers;
use super::image_outcome::ImageError;
use super::ledger::{Ledger, Record};
use super::lists::Lists;
use super::mapping::{MapDemand, Mapping};
use super::message::SessionMessage;
use super::old_chunks::OldChunks;
use super::originals;
use super::recording::Recording;
use super::requests::{Request, RequestKind, Requests};
use super::restore::Restored;
use super::result_files::ResultFiles;
use super::room::Room;
use super::shutdown::Shutdown;
use super::snapshot;
use super::stored_result::StoredResult;
use super::thumbnails;
use super::uploads::Uploads;
use crate::client;
use crate::client_message::ClientMessage;
use crate::errors::{AttachError, StorageFailed};
use crate::ids::ClientId;
use crate::mailbox::{Mailbox, Reply, answer};
use crate::metrics::SessionShare;
use crate::report::{SessionStatus, SessionSummary};
use crate::session_event::{CloseReason, SessionEvent};
use crate::updates::{AttachOptions, Deltas};
use crate::upload_memory::UploadLease;

/// Who has asked for what an earlier process has not done: a client that is gone.
const NO_CLIENT: ClientId = 0;

/// The state of a session.
pub(crate) struct State {
    context: Context,
    span: Span,
    share: SessionShare,
    ledger: Ledger,
    clients: Clients,
    followers: Followers,
    uploads: Uploads,
    requests: Requests,
    /// The work of the running request; none while it waits for the map.
    generation: Option<AbortOnDropHandle<()>>,
    /// What the running request needs of the map.
    demand: Option<MapDemand>,
    mapping: Mapping,
    old_chunks: OldChunks,
    adjusting: Adjusting,
    anchoring: Anchoring,
    encode_ahead: EncodeAhead,
    results: ResultFiles,
    lists: Lists,
    activity: Activity,
    shutdown: Shutdown,
    recording: Recording,
    announcements: Announcements,
    /// A caller who keeps the session, once the uploads with a smaller number are recorded.
    keeping: Option<(u64, Reply<Result<(), StorageFailed>>)>,
    /// Whether the files stay when the session ends.
    stays: Arc<AtomicBool>,
    /// Set when the session ends.
    ends: Arc<OnceLock<CloseReason>>,
    /// What clients that watch were told last.
    told_watching: Option<Shown>,
    /// Whether the session has ended; only its mailbox is left.
    closed: bool,
    /// Whether nothing can be recorded any more.
    failed: bool,
}

impl State {
    pub fn new(args: SessionArgs, mailbox: Mailbox<SessionMessage>) -> Self {
        let max_images = args.restored.ledger.config().max_images;
        let context = Context {
            id: args.id,
            creator: args.restored.ledger.creator().cloned(),
            settings: args.settings,
            blobs: args.blobs,
            dispatcher: args.dispatcher,
            computing: args.computing,
            decoding: args.decoding,
            room: Room::new(max_images, args.restored.ledger.image_count()),
            result_files: args.result_files,
            ended: CancellationToken::new(),
            mailbox,
            metrics: args.metrics,
        };
        let Restored {
            ledger,
            mut journal,
            news,
            result,
            owed,
            had,
            tells: _,
        } = args.restored;
        let settings = &context.settings;
        let announcements = Announcements::new(args.outbox, had);
        journal.keep_untold(announcements.told().clone());
        let journal = args
            .journals
            .start(args.id, journal, context.mailbox.clone());
        let mut state = Self {
            span: tracing::info_span!("session", session_id = %args.id),
            share: SessionShare::new(context.metrics.clone(), SessionStatus::Active),
            clients: Clients::new(context.clone(), args.uploads, owed),
            followers: Followers::new(ledger.restored()),
            uploads: Uploads::new(ledger.next_upload()),
            requests: Requests::new(ledger.next_request(), settings.max_pending_requests),
            generation: None,
            demand: None,
            mapping: Mapping::new(context.clone()),
            old_chunks: OldChunks::default(),
            adjusting: Adjusting::new(context.clone()),
            anchoring: Anchoring::new(context.clone()),
            encode_ahead: EncodeAhead::new(context.clone()),
            results: ResultFiles::new(context.clone(), ledger.config()),
            lists: Lists::default(),
            activity: Activity::begin(&context, ledger.created_at(), ledger.active_at()),
            shutdown: Shutdown::default(),
            recording: Recording::new(journal),
            announcements,
            keeping: None,
            stays: args.stays,
            ends: args.ends,
            told_watching: None,
            closed: false,
            failed: false,
            ledger,
            context,
        };
        for record in news {
            state.recording.note(record);
        }
        state.go_on(result);
        state
            .context
            .mailbox
            .status()
            .state(state.status().wire_name());
        state
    }

    /// Goes on where an earlier process has stopped.
    fn go_on(&mut self, result: Option<Arc<StoredResult>>) {
        let map = result.as_ref().and_then(|result| result.map());
        self.old_chunks.note_of_result(&self.ledger, map);
        self.results.restore(result);
        for image in self.ledger.images() {
            self.share.image_accepted(image.bytes);
        }
        for request in self.ledger.requests() {
            self.requests.push(Request::new(request, NO_CLIENT));
        }
        if self.ledger.is_completed() {
            self.encode_ahead.finish();
        }
        self.mapping.note_map(&self.ledger, false);
    }

    /// The span that the session's log lines belong to.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Whether the session cannot go on.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    pub fn handle(&mut self, message: SessionMessage) {
        self.context.mailbox.status().message_taken();
        if self.closed {
            return;
        }
        match message {
            SessionMessage::Attach { options, reply } => answer(reply, self.attach(options)),
            SessionMessage::Detach(client) => {
                self.followers.detach(client);
                let used = !self.clients.watches(client);
                if self.clients.detach(client) && used {
                    self.activity.touch();
                }
            }
            SessionMessage::Client {
                envelope,
                message,
                memory,
            } => self.client_sent(envelope, message, memory),
            SessionMessage::UploadSettled { number, outcome } => {
                self.uploads.settle(number, outcome);
            }
            SessionMessage::EncodeEnded { job, outcome } => {
                if let Some((number, place)) = self.encode_ahead.ended(job, outcome) {
                    self.record(Record::PlaceFound { number, place });
                }
            }
            SessionMessage::WindowProgress { number, progress } => {
                self.mapping.progress(number, &progress);
                self.show_map_progress();
            }
            SessionMessage::WindowEnded { number, outcome } => {
                self.window_ended(number, outcome);
            }
            SessionMessage::AdjustmentAccepted { number, accepted } => {
                self.adjusting.accepted(number, accepted);
            }
            SessionMessage::AdjustmentEnded { number, outcome } => {
                self.adjustment_ended(number, outcome);
            }
            SessionMessage::Progress { number, progress } => self.progress(number, progress),
            SessionMessage::GenerationEnded { number, outcome } => {
                self.generation_ended(number, outcome);
            }
            SessionMessage::UpdateMade { number, outcome } => self.update_made(number, outcome),
            SessionMessage::Undelivered(event) => {
                self.answer(self.clients.newest_resuming(), event);
            }
            SessionMessage::Delivered(request) => self.delivered(request),
            SessionMessage::Recorded { through, outcome } => self.recorded(through, &outcome),
            SessionMessage::JournalLost => self.failed = true,
            SessionMessage::Summary(reply) => answer(reply, self.summary()),
            SessionMessage::Result(reply) => answer(reply, self.results.newest().cloned()),
            SessionMessage::Images(reply) => answer(reply, self.lists.images(&self.ledger)),
            SessionMessage::Thumbnail { index, reply } => {
                thumbnails::request(&self.context, self.ledger.images().get(index), reply);
            }
            SessionMessage::Original { index, reply } => {
                originals::request(&self.context, self.ledger.images().get(index), reply);
            }
            SessionMessage::File { format, reply } => self.results.request(format, reply),
            SessionMessage::FileWritten { file, outcome } => {
                // It is made once, so there is an end to it.
                if outcome.is_ok() {
                    self.activity.touch();
                }
                self.results.written(file, outcome);
            }
            SessionMessage::Cancel(reply) => answer(reply, self.cancel(None)),
            SessionMessage::StoredImages(reply) => {
                answer(reply, StoredImages::of(self.context.id, &self.ledger));
            }
            SessionMessage::TakeOver(images, reply) => {
                let envelopes = images.envelopes().into_iter();
                let numbers = envelopes.map(|envelope| self.uploads.begin(envelope));
                let numbers = numbers.collect();
                let memory = self.clients.upload_memory().clone();
                let config = self.ledger.config();
                images.take_over(&self.context, config, memory, numbers, reply);
            }
            SessionMessage::Reopen(reply) => self.reopen(reply),
            SessionMessage::FileUnwanted => self.results.cancel_unwanted(),
            SessionMessage::FileLate(file) => self.results.time_out(file),
            SessionMessage::Keep(reply) => {
                self.keeping = Some((self.uploads.next_number(), reply));
            }
            SessionMessage::CheckExpiry => self.check_expiry(),
            SessionMessage::Drain(reply) => {
                self.shutdown.begin(reply);
                self.refuse_waiting_requests();
            }
            SessionMessage::Close(reason) => self.close(reason),
        }
        if !self.closed {
            self.advance();
        }
    }

    /// Decides what is next, after each message: what waits in a queue starts here and nowhere else.
    fn advance(&mut self) {
        self.answer_uploads();
        let oldest = self.uploads.oldest();
        let oldest = oldest.unwrap_or(self.uploads.next_number());
        self.context
            .room
            .answered(self.ledger.image_count(), oldest);
        self.keep_if_due();
        self.take_turns();
        // Answers keep the order of their requests.
        while !(self.followers.is_busy() || self.goes_on_later())
            && let Some(request) = self.requests.next_ready(self.uploads.oldest())
        {
            self.start(request);
        }
        if !self.requests.is_running() && !self.ledger.is_completed() {
            self.encode_ahead.advance(&self.ledger);
        }
        self.advance_map();
        self.remove_old_chunks();
        let awaited = self.requests.is_running()
            || self.followers.is_busy()
            || self.recording.is_busy()
            || self.results.is_writing()
            || (!self.ledger.is_kept() && self.results.has_result());
        if !awaited {
            self.shutdown.finish();
        }
        let status = self.status();
        self.context.mailbox.status().state(status.wire_name());
        self.share.state(status);
        self.tell_watching();
    }

    fn status(&self) -> SessionStatus {
        // An answer is not there before its record is durable.
        if self.followers.is_busy() || self.recording.has_answer() {
            return SessionStatus::Processing;
        }
        snapshot::status(&self.ledger, &self.requests)
    }

    fn summary(&self) -> SessionSummary {
        SessionSummary {
            last_activity: self.activity.last(),
            pending_images: self.uploads.pending_images(),
            connections: self.clients.count(),
            has_result: self.results.has_result(),
            status: self.status(),
            ..snapshot::summary(&self.ledger, &self.requests)
        }
    }

    fn attach(
        &mut self,
        options: AttachOptions,
    ) -> Result<(client::Requests, client::Events), AttachError> {
        let config = self.ledger.config();
        let connected = SessionEvent::Connected {
            image_count: self.ledger.image_count(),
            max_images: config.max_images,
            joined: options,
        };
        let AttachOptions::Use { resume, deltas } = options else {
            let (client, requests, events) = self.clients.attach(options, connected)?;
            let now = self.shown().event();
            self.clients.send(client, now, None);
            return Ok((requests, events));
        };
        if matches!(deltas, Deltas::Append { .. }) && config.points.voxel_size > 0.0 {
            return Err(AttachError::AppendWithVoxels);
        }
        let (client, requests, events) = self.clients.attach(options, connected)?;
        if let Deltas::Append { since } = deltas {
            self.followers.attach(client, since);
        }
        if resume {
            while let Some(event) = self.clients.next_undelivered() {
                self.answer(Some(client), event);
            }
        }
        self.activity.touch();
        Ok((requests, events))
    }

    fn client_sent(
        &mut self,
        envelope: Envelope,
        message: ClientMessage,
        memory: Option<UploadLease>,
    ) {
        if self.clients.watches(envelope.client) {
            return self.watcher_sent(envelope, &message);
        }
        self.activity.touch();
        match message {
            ClientMessage::Ping => {
                let pong = SessionEvent::Pong;
                self.clients
                    .send(envelope.client, pong, Some(envelope.permit));
            }
            // In its turn: the message may have been meant as an image.
            ClientMessage::Invalid { reason, .. } => {
                self.uploads.refuse(envelope, ImageError::Invalid(reason));
            }
            ClientMessage::Image(image) => self.upload(envelope, image, memory),
            ClientMessage::Generate { incremental, .. } => {
                self.request(envelope, RequestKind::Generate { incremental });
            }
            ClientMessage::Cancel { then, .. } => self.cancel_for(envelope, then),
            ClientMessage::Finalize { .. } => self.request(envelope, RequestKind::Finalize),
            ClientMessage::Map { .. } => self.poses(envelope),
            ClientMessage::Received { number, .. } => self.received(envelope, number),
        }
    }

    /// Answers with all poses.
    fn poses(&mut self, envelope: Envelope) {
        let poses = SessionEvent::Poses {
            poses: self.lists.poses(&self.ledger),
            id: envelope.id,
        };
        self.clients
            .send(envelope.client, poses, Some(envelope.permit));
    }

    fn admission(&self) -> Admission<'_> {
        Admission {
            settings: &self.context.settings,
            ledger: &self.ledger,
            uploads: &self.uploads,
            requests: &self.requests,
            shutdown: &self.shutdown,
        }
    }
}

impl Drop for State {
    /// However the session ends, its work ends with it.
    fn drop(&mut self) {
        self.context.ended.cancel();
        if let Some(request) = self.requests.cancel_running() {
            let generations = &self.context.metrics.generations;
            generations.cancelled(request.kind.answer());
        }
    }
}
