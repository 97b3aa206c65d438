//! Requests for a point cloud: started one at a time, and answered.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::State;
use crate::actor_status::CurrentJob;
use crate::error_code::ErrorCode;
use crate::ids::ClientId;
use crate::jobs::{JobFailure, JobHandle};
use crate::session::announcements::event_of;
use crate::session::clients::wire_text;
use crate::session::envelope::Envelope;
use crate::session::followers::message_id;
use crate::session::generation::Generation;
use crate::session::generation_error::GenerationError;
use crate::session::image_outcome::Refusal;
use crate::session::ledger::{OwedContent, Record, RequestRecord};
use crate::session::message::SessionMessage;
use crate::session::recording::Held;
use crate::session::requests::{Request, RequestKind};
use crate::session::stored_result::{Generated, StoredResult};
use crate::session_event::{CloseReason, Progress, SessionEvent};

impl State {
    pub(super) fn request(&mut self, envelope: Envelope, kind: RequestKind) {
        let resumes = self.clients.resumes(envelope.client);
        if let Err(Refusal { code, reason }) = self.admission().of_request(resumes) {
            return self.clients.refuse(envelope, code, &reason);
        }
        // From now on it counts as a waiting request, not as an unanswered message: its permit is
        // dropped with the envelope.
        let record = RequestRecord {
            key: self.ledger.next_key(),
            id: envelope.id,
            kind,
            before: self.uploads.next_number(),
        };
        self.requests.push(Request::new(&record, envelope.client));
        self.record(Record::RequestMade(record));
    }

    pub(super) fn start(&mut self, request: Request) {
        let finalizes = request.kind == RequestKind::Finalize;
        let demand = self.mapping.demand(&self.ledger, request.before, finalizes);
        if demand.is_some() {
            return self.start_on_map(request, demand);
        }
        if finalizes {
            self.mapping.stop();
            self.adjusting.stop();
        }
        let number = self.requests.next_number();
        let Some(generation) = Generation::new(&self.context, &self.ledger, &request, number)
        else {
            let message = "none of the images could be used; send at least one that can";
            let number = self.requests.take_number();
            return self.fail(number, request, ErrorCode::InvalidImage, message);
        };
        self.note_start(&request, generation.frames.len());
        let parts = self.mapping.demand_in_parts(&self.ledger, request.before);
        let job = generation.submit(finalizes && parts.is_some());
        self.requests.start(request, Some(job.cancel_guard()));
        self.run(generation, job);
    }

    pub(super) fn note_start(&self, request: &Request, frames: usize) {
        tracing::info!(frames, request = request.kind.name(), "generation starts");
        self.context.mailbox.status().job(Some(CurrentJob {
            kind: request.kind.name(),
            session: self.context.id,
            frames,
            since: Instant::now(),
        }));
    }

    /// Runs the model over all frames of the running request.
    pub(super) fn run(&mut self, generation: Generation, job: JobHandle) {
        let number = generation.number;
        let work = async move { generation.run(job).await.map(Box::new) };
        self.answer_with(number, work);
    }

    /// The work ends the running request.
    pub(super) fn answer_with(
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

    pub(super) fn progress(&mut self, number: u64, progress: Progress) {
        let Some(progress) = self.requests.progress(number, progress) else {
            return;
        };
        if let Some((_, request)) = self.requests.running() {
            let id = request.id.clone();
            let event = SessionEvent::Progress { progress, id };
            self.clients.show_progress(request.client, event);
        }
    }

    pub(super) fn generation_ended(
        &mut self,
        number: u64,
        outcome: Result<Box<Generated>, GenerationError>,
    ) {
        let Some(request) = self.requests.finish(number) else {
            return self.forget(number, outcome);
        };
        self.activity.touch();
        self.generation = None;
        self.demand = None;
        self.context.mailbox.status().job(None);
        match outcome {
            Ok(generated) => self.succeed(request, *generated),
            // It runs again in the next process.
            Err(GenerationError::Job(JobFailure::ShuttingDown)) if self.ledger.is_kept() => {}
            Err(GenerationError::Job(JobFailure::Cancelled)) if self.goes_on_later() => {}
            Err(GenerationError::Job(JobFailure::MadeWay)) => {
                let demand = self.mapping.demand_in_parts(&self.ledger, request.before);
                self.start_on_map(request, demand);
            }
            Err(error) => {
                if self.fits_in_smaller_windows(&error) {
                    let finalizes = request.kind == RequestKind::Finalize;
                    let demand = self.mapping.demand(&self.ledger, request.before, finalizes);
                    if demand.is_some() {
                        return self.start_on_map(request, demand);
                    }
                }
                tracing::warn!(%error, "generation failed");
                self.fail(number, request, error.code(), &error.to_string());
            }
        }
    }

    pub(super) fn succeed(&mut self, request: Request, generated: Generated) {
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
        let record = Record::ResultStored {
            request: request.key,
            result: generated.record,
            world: generated.world,
            completes,
        };
        let event = SessionEvent::result(answer, request.id, request.key);
        let result = Some(generated.result);
        self.record_answer(record, request.client, event, result);
        if completes {
            self.encode_ahead.finish();
        }
    }

    /// Records the answer to a request, which is sent then. Its result is the newest then.
    pub(super) fn record_answer(
        &mut self,
        record: Record,
        asker: ClientId,
        event: SessionEvent,
        result: Option<Arc<StoredResult>>,
    ) {
        let announcement = event_of(&self.ledger, &record, SystemTime::now());
        self.ledger.apply(record.clone());
        let held = Held::Answer {
            asker,
            event,
            result,
        };
        self.recording.note_for(record, held);
        if let Some(event) = announcement {
            self.recording.hold(Held::Announcement(event));
        }
    }

    /// There is a newer result. What a client has not received of the previous one stays.
    pub(super) fn replace_result(&mut self, result: Arc<StoredResult>) {
        let previous = self.results.newest().map(|previous| previous.number);
        let owed = self.ledger.owed().iter();
        let mut owed = owed.filter_map(|owed| match &owed.content {
            OwedContent::Result(record) => Some(record.number),
            OwedContent::Error { .. } => None,
        });
        let is_owed = owed.any(|number| Some(number) == previous);
        let names = self.results.replace(result, is_owed);
        self.old_chunks.note_result();
        self.recording.remove_later(names);
    }

    pub(super) fn fail(&mut self, number: u64, request: Request, code: ErrorCode, message: &str) {
        let error = wire_text(message);
        let metrics = &self.context.metrics;
        metrics.generations.failed(request.kind.answer());
        metrics.error(code.kind(), Some(self.context.id), &error);
        let record = Record::RequestFailed {
            request: request.key,
            number: Some(number),
            code,
            error: error.clone(),
        };
        let event = SessionEvent::Error {
            code,
            message: error,
            id: request.id,
            filename: None,
            request: Some(request.key),
        };
        self.record_answer(record, request.client, event, None);
    }

    /// Whether the session's requests run in the next process if they cannot in this one.
    pub(super) fn goes_on_later(&self) -> bool {
        self.shutdown.has_begun() && self.ledger.is_kept()
    }

    /// The system shuts down. Nobody asks for the answers of a session that does not go on later.
    pub(super) fn refuse_waiting_requests(&mut self) {
        if self.goes_on_later() {
            return;
        }
        for request in self.requests.take_waiting() {
            let message = wire_text(&CloseReason::ShuttingDown.to_string());
            let labels = (Some(request.key), request.id);
            self.answer_error(request.client, labels, ErrorCode::ShuttingDown, message);
        }
    }

    /// The time for running work is over. Its client gets an answer before the connection is closed.
    pub(super) fn give_up_running_request(&mut self) {
        if self.goes_on_later() {
            return;
        }
        for (client, event) in self.followers.give_up() {
            let message = wire_text(&CloseReason::ShuttingDown.to_string());
            let labels = (event.request(), message_id(&event));
            self.answer_error(client, labels, ErrorCode::ShuttingDown, message);
        }
        if let Some(request) = self.requests.cancel_running() {
            let generations = &self.context.metrics.generations;
            generations.cancelled(request.kind.answer());
            let message = wire_text(&CloseReason::ShuttingDown.to_string());
            let labels = (Some(request.key), request.id);
            self.answer_error(request.client, labels, ErrorCode::ShuttingDown, message);
        }
    }
}
