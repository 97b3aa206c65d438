//! Translates a session's messages into calls of its components, and decides what is next.

use std::time::{Instant, SystemTime};

use tokio_util::task::AbortOnDropHandle;
use tracing::Span;

use super::SessionArgs;
use super::activity::Activity;
use super::admission::Admission;
use super::clients::{Clients, wire_text};
use super::context::Context;
use super::encode_ahead::EncodeAhead;
use super::envelope::Envelope;
use super::generation::Generation;
use super::generation_error::GenerationError;
use super::image_outcome::{ImageError, StoredImage};
use super::image_store;
use super::ledger::{FoundPlaces, Image, Ledger, Record};
use super::map_window::WindowOutcome;
use super::mapping::{MapDemand, Mapping};
use super::message::SessionMessage;
use super::progress;
use super::requests::{Request, RequestKind, Requests};
use super::result_files::ResultFiles;
use super::shutdown::Shutdown;
use super::snapshot;
use super::stored_result::Generated;
use super::thumbnails;
use super::uploads::{SettledUpload, Uploads};
use crate::actor_status::CurrentJob;
use crate::blobs::BlobName;
use crate::client;
use crate::client_message::{ClientMessage, ImageUpload};
use crate::error_kind::ErrorKind;
use crate::errors::AttachError;
use crate::jobs::JobHandle;
use crate::mailbox::{Mailbox, answer};
use crate::memory::MemoryLease;
use crate::metrics::SessionShare;
use crate::report::{SessionStatus, SessionSummary};
use crate::session_event::{CloseReason, Progress, SessionEvent};

/// The state of a session.
pub(crate) struct State {
    context: Context,
    span: Span,
    share: SessionShare,
    ledger: Ledger,
    clients: Clients,
    uploads: Uploads,
    requests: Requests,
    /// The work of the running request; none while it waits for the map.
    generation: Option<AbortOnDropHandle<()>>,
    /// What the running request needs of the map.
    demand: Option<MapDemand>,
    mapping: Mapping,
    encode_ahead: EncodeAhead,
    results: ResultFiles,
    activity: Activity,
    shutdown: Shutdown,
    /// Whether the session ends with its creator, who still waits for a result.
    owned: bool,
    /// Whether the session has ended; only its mailbox is left.
    closed: bool,
}

impl State {
    pub fn new(args: SessionArgs, mailbox: Mailbox<SessionMessage>) -> Self {
        let context = Context {
            id: args.id,
            settings: args.settings,
            blobs: args.blobs,
            dispatcher: args.dispatcher,
            computing: args.computing,
            result_files: args.result_files,
            mailbox,
            metrics: args.metrics,
        };
        let ledger = Ledger::new(args.id, SystemTime::now(), args.config);
        let settings = &context.settings;
        let state = Self {
            span: tracing::info_span!("session", session_id = %args.id),
            share: SessionShare::new(context.metrics.clone(), SessionStatus::Active),
            clients: Clients::new(context.clone(), args.uploads),
            uploads: Uploads::new(ledger.next_upload()),
            requests: Requests::new(ledger.next_request(), settings.max_pending_requests),
            generation: None,
            demand: None,
            mapping: Mapping::new(context.clone()),
            encode_ahead: EncodeAhead::new(context.clone()),
            results: ResultFiles::new(context.clone()),
            activity: Activity::begin(&context),
            shutdown: Shutdown::default(),
            owned: true,
            closed: false,
            ledger,
            context,
        };
        state
            .context
            .mailbox
            .status()
            .state(state.status().wire_name());
        state
    }

    /// The span that the session's log lines belong to.
    pub fn span(&self) -> &Span {
        &self.span
    }

    pub fn handle(&mut self, message: SessionMessage) {
        self.context.mailbox.status().message_taken();
        if self.closed {
            return;
        }
        match message {
            SessionMessage::Attach { resume, reply } => answer(reply, self.attach(resume)),
            SessionMessage::Detach(client) => {
                if self.clients.detach(client) {
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
                    self.ledger.apply(Record::PlaceFound { number, place });
                }
            }
            SessionMessage::WindowProgress { number, progress } => {
                self.mapping.progress(number, &progress);
                self.show_map_progress();
            }
            SessionMessage::WindowEnded { number, outcome } => {
                self.window_ended(number, outcome);
            }
            SessionMessage::Progress { number, progress } => self.progress(number, progress),
            SessionMessage::GenerationEnded { number, outcome } => {
                self.generation_ended(number, outcome);
            }
            SessionMessage::Undelivered(event) => self.clients.return_undelivered(event),
            SessionMessage::Summary(reply) => answer(reply, self.summary()),
            SessionMessage::Result(reply) => answer(reply, self.results.newest().cloned()),
            SessionMessage::Images(reply) => answer(reply, snapshot::images(&self.ledger)),
            SessionMessage::Thumbnail { index, reply } => {
                thumbnails::request(&self.context, self.ledger.images().get(index), reply);
            }
            SessionMessage::File { format, reply } => self.results.request(format, reply),
            SessionMessage::FileWritten { file, outcome } => {
                self.activity.touch();
                self.results.written(file, outcome);
            }
            SessionMessage::FileUnwanted => self.results.cancel_unwanted(),
            SessionMessage::FileLate(file) => self.results.time_out(file),
            SessionMessage::Kept => self.owned = false,
            SessionMessage::CheckExpiry => self.check_expiry(),
            SessionMessage::Drain(reply) => {
                self.refuse_waiting_requests();
                self.shutdown.begin(reply);
            }
            SessionMessage::Close(reason) => self.close(reason),
        }
        if !self.closed {
            self.advance();
        }
    }

    /// Decides what is next, after each message: what waits in a queue starts here and nowhere else.
    fn advance(&mut self) {
        while let Some(upload) = self.uploads.next_settled() {
            self.answer_upload(upload);
        }
        while let Some(request) = self.requests.next_ready(self.uploads.oldest()) {
            self.start(request);
        }
        if !self.requests.is_running() && !self.ledger.is_completed() {
            self.encode_ahead.advance(self.ledger.images());
        }
        self.advance_map();
        let awaited = self.requests.is_running()
            || self.results.is_writing()
            || (self.owned && self.results.has_result());
        if !awaited {
            self.shutdown.finish();
        }
        let status = self.status();
        self.context.mailbox.status().state(status.wire_name());
        self.share.state(status);
    }

    fn status(&self) -> SessionStatus {
        snapshot::status(&self.ledger, &self.requests)
    }

    fn summary(&self) -> SessionSummary {
        SessionSummary {
            last_activity: self.activity.last(),
            pending_images: self.uploads.pending_images(),
            connections: self.clients.count(),
            has_result: self.results.has_result(),
            ..snapshot::summary(&self.ledger, &self.requests)
        }
    }

    fn attach(&mut self, resume: bool) -> Result<(client::Requests, client::Events), AttachError> {
        let connected = SessionEvent::Connected {
            image_count: self.ledger.image_count(),
            max_images: self.ledger.config().max_images,
        };
        let attached = self.clients.attach(resume, connected)?;
        self.activity.touch();
        Ok(attached)
    }

    fn client_sent(
        &mut self,
        envelope: Envelope,
        message: ClientMessage,
        memory: Option<MemoryLease>,
    ) {
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
            ClientMessage::Finalize { .. } => self.request(envelope, RequestKind::Finalize),
        }
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

    fn upload(&mut self, envelope: Envelope, image: ImageUpload, memory: Option<MemoryLease>) {
        match self.admission().of_image(envelope.filename.as_deref()) {
            Err(error) => self.uploads.refuse(envelope, error),
            Ok(()) => {
                let number = self.uploads.begin(envelope);
                image_store::store(&self.context, self.ledger.config(), number, image, memory);
            }
        }
    }

    fn answer_upload(&mut self, upload: SettledUpload) {
        let SettledUpload {
            number,
            envelope,
            outcome,
        } = upload;
        let outcome = match (outcome, self.admission().full()) {
            (Ok(_), Some(reason)) => {
                let blobs = [BlobName::Original(number), BlobName::Prepared(number)];
                self.context.remove(blobs);
                Err(ImageError::Refused(reason))
            }
            (outcome, _) => outcome,
        };
        match outcome {
            Ok(stored) => self.accept(number, envelope, stored),
            Err(error) => {
                if !matches!(error, ImageError::Invalid(_)) {
                    self.context.metrics.sessions.image_refused();
                }
                self.clients
                    .refuse(envelope, error.kind(), &error.to_string());
            }
        }
    }

    fn accept(&mut self, number: u64, envelope: Envelope, stored: StoredImage) {
        let name = envelope
            .filename
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| format!("image_{:03}", self.ledger.image_count() + 1));
        self.ledger.apply(Record::ImageStored(Box::new(Image {
            number,
            name: name.clone(),
            id: envelope.id.clone(),
            bytes: stored.bytes,
            size: stored.size,
            camera: stored.camera,
            statistics: stored.statistics,
            hint: stored.hint,
        })));
        self.share.image_accepted(stored.bytes);
        let acknowledged = SessionEvent::Acknowledged {
            image_count: self.ledger.image_count(),
            image_path: name,
            id: envelope.id,
        };
        self.clients
            .send(envelope.client, acknowledged, Some(envelope.permit));
    }

    fn request(&mut self, envelope: Envelope, kind: RequestKind) {
        if let Err(reason) = self.admission().of_request() {
            return self.clients.refuse(envelope, ErrorKind::Refused, &reason);
        }
        // From now on it counts as a waiting request, not as an unanswered message: its permit is
        // dropped with the envelope.
        self.requests.push(Request {
            client: envelope.client,
            id: envelope.id,
            kind,
            before: self.uploads.next_number(),
            asked: Instant::now(),
        });
    }

    fn start(&mut self, request: Request) {
        let finalizes = request.kind == RequestKind::Finalize;
        let demand = self.mapping.demand(&self.ledger, request.before, finalizes);
        if demand.is_some() {
            return self.start_on_map(request, demand);
        }
        if finalizes {
            self.mapping.stop();
        }
        let number = self.requests.next_number();
        let Some(generation) = Generation::new(&self.context, &self.ledger, &request, number)
        else {
            let message = "none of the images could be used; send at least one that can";
            return self.fail(request, ErrorKind::Image, message);
        };
        self.note_start(&request, generation.frames.len());
        let job = generation.submit();
        self.requests.start(request, Some(job.cancel_guard()));
        self.run(generation, job);
    }

    fn note_start(&self, request: &Request, frames: usize) {
        tracing::info!(frames, request = request.kind.name(), "generation starts");
        self.context.mailbox.status().job(Some(CurrentJob {
            kind: request.kind.name(),
            session: self.context.id,
            frames,
            since: Instant::now(),
        }));
    }

    /// Runs the model over all frames of the running request.
    fn run(&mut self, generation: Generation, job: JobHandle) {
        let number = generation.number;
        let work = async move { generation.run(job).await.map(Box::new) };
        self.answer_with(number, work);
    }

    /// The work ends the running request.
    fn answer_with(
        &mut self,
        number: u64,
        work: impl Future<Output = Result<Box<Generated>, GenerationError>> + Send + 'static,
    ) {
        let work =
            self.context
                .mailbox
                .work(work, move |outcome| SessionMessage::GenerationEnded {
                    number,
                    outcome,
                });
        self.generation = Some(work);
    }

    /// A request that the map answers, once it has all images.
    fn start_on_map(&mut self, request: Request, demand: Option<MapDemand>) {
        self.note_start(&request, self.ledger.images().len());
        self.demand = demand;
        self.requests.start(request, None);
    }

    /// Starts the next window if it is due, and answers the running request when the map has all
    /// that it needs.
    fn advance_map(&mut self) {
        if self.shutdown.has_begun() && self.demand.is_none() {
            return;
        }
        if let Some(demand) = self.demand
            && self.generation.is_none()
            && self.mapping.satisfies(&self.ledger, demand)
        {
            return self.answer_from_map();
        }
        let demand = self.demand.filter(|_| self.generation.is_none());
        self.mapping.advance(&self.ledger, demand);
        self.show_map_progress();
    }

    fn answer_from_map(&mut self) {
        let (Some((number, request)), Some(stored)) =
            (self.requests.running(), self.ledger.map().cloned())
        else {
            return;
        };
        let generation =
            Generation::of_map(&self.context, &self.ledger, &stored.map, request, number);
        let work = async move { generation.run_on_map(stored).await.map(Box::new) };
        self.answer_with(number, work);
    }

    fn show_map_progress(&mut self) {
        let waits = self.demand.filter(|_| self.generation.is_none());
        if let (Some(demand), Some((number, _))) = (waits, self.requests.running()) {
            let found = self.mapping.progress_of(&self.ledger, demand);
            self.progress(number, progress::of_map(found));
        }
    }

    fn window_ended(&mut self, number: u64, outcome: Result<WindowOutcome, GenerationError>) {
        match self.mapping.ended(number, outcome, &self.ledger) {
            None => {}
            Some(Ok(WindowOutcome::Described(places))) => self.note_places(places),
            Some(Ok(WindowOutcome::Chunk(chunk, places))) => {
                self.note_places(places);
                self.ledger.apply(Record::ChunkStored(chunk));
                self.mapping.forget_old_frames(&self.ledger);
                self.activity.touch();
            }
            Some(Err(error)) => {
                let waiting = self.demand.is_some() && self.generation.is_none();
                if waiting && let Some((number, _)) = self.requests.running() {
                    self.generation_ended(number, Err(error));
                }
            }
        }
    }

    fn note_places(&mut self, places: FoundPlaces) {
        for (number, place) in places {
            self.ledger.apply(Record::PlaceFound { number, place });
        }
    }

    fn progress(&mut self, number: u64, progress: Progress) {
        if let Some((client, progress)) = self.requests.progress(number, progress) {
            self.clients
                .show_progress(client, SessionEvent::Progress(progress));
        }
    }

    fn generation_ended(&mut self, number: u64, outcome: Result<Box<Generated>, GenerationError>) {
        let Some(request) = self.requests.finish(number) else {
            return;
        };
        self.activity.touch();
        self.generation = None;
        self.demand = None;
        self.context.mailbox.status().job(None);
        match outcome {
            Ok(generated) => self.succeed(request, *generated),
            Err(error) => {
                tracing::warn!(%error, "generation failed");
                self.fail(request, error.kind(), &error.to_string());
            }
        }
    }

    fn succeed(&mut self, request: Request, generated: Generated) {
        let metadata = &generated.record.metadata;
        let verdict = metadata.quality.verdict;
        tracing::info!(
            points = metadata.num_points,
            seconds = metadata.timings.total,
            %verdict,
            "generation ends"
        );
        self.context.metrics.generations.answered(
            generated.record.kind,
            metadata.num_frames,
            &metadata.timings,
            verdict,
        );
        let answer = generated.result.answer().clone();
        let completes = request.kind == RequestKind::Finalize;
        self.ledger.apply(Record::ResultStored {
            result: generated.record,
            world: generated.world,
            completes,
        });
        self.results.replace(generated.result);
        if completes {
            self.encode_ahead.finish();
        }
        let id = request.id;
        self.clients
            .answer(request.client, SessionEvent::Result { answer, id });
    }

    fn fail(&mut self, request: Request, kind: ErrorKind, message: &str) {
        let error = wire_text(message);
        let metrics = &self.context.metrics;
        metrics.generations.failed(request.kind.answer());
        metrics.error(kind, Some(self.context.id), &error);
        self.ledger.apply(Record::RequestFailed {
            error: error.clone(),
        });
        self.clients.fail(request.client, request.id, kind, error);
    }

    fn refuse_waiting_requests(&mut self) {
        for request in self.requests.take_waiting() {
            let message = wire_text(&CloseReason::ShuttingDown.to_string());
            self.clients
                .fail(request.client, request.id, ErrorKind::Refused, message);
        }
    }

    fn check_expiry(&mut self) {
        let busy =
            !self.requests.is_empty() || !self.uploads.is_empty() || self.results.is_writing();
        if busy {
            self.activity.touch();
        }
        if !self.activity.check_later(&self.context) {
            self.close(CloseReason::Expired);
        }
    }

    /// Ends the session. The supervisor removes its files.
    fn close(&mut self, reason: CloseReason) {
        tracing::info!(%reason, "session ends");
        self.context.metrics.sessions.ended(reason);
        self.closed = true;
        self.clients.close(reason);
        let reason = Some(reason.to_string());
        self.context.mailbox.actor().stop(reason);
    }
}

impl Drop for State {
    /// However the session ends, its running request is cancelled with it.
    fn drop(&mut self) {
        if let Some(request) = self.requests.cancel_running() {
            let generations = &self.context.metrics.generations;
            generations.cancelled(request.kind.answer());
        }
    }
}
