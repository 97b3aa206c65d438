//! Answers to requests: whole results and errors as they are, and updates for clients that get only
//! what is new. Each request gets one, in their order.

use std::sync::Arc;

use pointstream_reconstruction::formats::ResultFormat;

use super::State;
use crate::blobs::BlobName;
use crate::error_code::ErrorCode;
use crate::ids::{ClientId, MessageId, RequestKey};
use crate::journal::JournalError;
use crate::session::clients::wire_text;
use crate::session::envelope::Envelope;
use crate::session::followers::{FinishedUpdate, Turn, UnknownResult, message_id};
use crate::session::generation_error::GenerationError;
use crate::session::ledger::{OwedContent, Record};
use crate::session::map_update::{KnownMap, MadeUpdate, UpdateWork};
use crate::session::message::SessionMessage;
use crate::session_event::SessionEvent;

impl State {
    /// Sends the one answer to a request. Without a client it is kept for one that resumes.
    pub(super) fn answer(&mut self, client: Option<ClientId>, event: SessionEvent) {
        match client {
            None => self.keep(event),
            Some(client) if self.followers.takes(client, &event) => {
                self.followers.push(client, event);
            }
            Some(client) => self.send_answer(client, event),
        }
    }

    /// Sends an answer as it is, with the number that its client confirms it with.
    fn send_answer(&mut self, client: ClientId, event: SessionEvent) {
        let numbered = self.followers.numbered(client, event.clone());
        self.clients.answer(client, numbered, event);
    }

    /// A client has got a result, or applied an update, and all before it.
    pub(super) fn received(&mut self, envelope: Envelope, number: u64) {
        let confirmed = match self.followers.follows(envelope.client) {
            true => self.followers.confirm(envelope.client, number),
            false if number < self.requests.next_number() => Ok(()),
            false => Err(UnknownResult(number)),
        };
        if let Err(error) = confirmed {
            let message = error.to_string();
            self.clients
                .refuse(envelope, ErrorCode::UnknownResult, &message);
        }
    }

    /// Answers a request with an error.
    pub(super) fn answer_error(
        &mut self,
        asker: ClientId,
        (request, id): (Option<RequestKey>, Option<MessageId>),
        code: ErrorCode,
        message: String,
    ) {
        let event = SessionEvent::Error {
            code,
            message,
            id,
            filename: None,
            request,
        };
        self.answer(self.clients.receiver_for(asker), event);
    }

    /// Keeps an answer for a client that resumes.
    pub(super) fn keep(&mut self, event: SessionEvent) {
        let given_up = self.clients.keep(event);
        if let Some(request) = given_up.and_then(|event| event.request()) {
            self.delivered(request);
        }
    }

    /// Sends the answer to a request when it is durable. An answer that cannot be recorded is an error.
    pub(super) fn answer_recorded(
        &mut self,
        asker: ClientId,
        event: SessionEvent,
        outcome: &Result<(), Arc<JournalError>>,
    ) {
        match (outcome, &event) {
            (Err(error), SessionEvent::Result { id, request, .. }) => {
                let message = wire_text(&format!("the result could not be stored: {error}"));
                let (metrics, code) = (&self.context.metrics, error.code());
                metrics.error(code.kind(), Some(self.context.id), &message);
                let labels = (Some(*request), id.clone());
                self.answer_error(asker, labels, code, message);
            }
            _ => self.answer(self.clients.receiver_for(asker), event),
        }
    }

    /// A client has received the answer to a request, or nobody will.
    pub(super) fn delivered(&mut self, request: RequestKey) {
        let owed = self.ledger.owed().iter();
        let mut owed = owed.filter(|owed| owed.request == request);
        let Some(owed) = owed.next() else {
            return;
        };
        if let OwedContent::Result(record) = &owed.content
            && self.ledger.result().map(|newest| newest.number) != Some(record.number)
        {
            let glb = BlobName::Result(record.number, ResultFormat::Glb);
            self.record(Record::AnswerDelivered { request });
            return self.recording.remove_later(vec![glb]);
        }
        self.record(Record::AnswerDelivered { request });
    }

    /// Sends the answers for clients that get only what is new, one after another.
    pub(super) fn take_turns(&mut self) {
        while let Some(turn) = self.followers.next_turn() {
            match turn {
                Turn::Answer(client, event) => {
                    let receiver = self.clients.receiver_for(client);
                    match receiver {
                        Some(other) if other != client => self.answer(receiver, event),
                        Some(client) => self.send_answer(client, event),
                        None => self.keep(event),
                    }
                }
                Turn::Update {
                    number,
                    client,
                    known,
                    event,
                } => self.make_update(number, client, known, event),
            }
        }
    }

    fn make_update(
        &mut self,
        number: u64,
        client: ClientId,
        known: Option<KnownMap>,
        event: SessionEvent,
    ) {
        // Updates take the place of results, so there is one.
        let Some(result) = self.results.newest_stored().cloned() else {
            return self.send_answer(client, event);
        };
        let update = UpdateWork {
            context: self.context.clone(),
            config: self.ledger.config().clone(),
            images: self.ledger.images().to_vec(),
            result,
            number,
            known,
        };
        let (computing, owner) = (self.context.computing.clone(), self.context.owner());
        let held = self.context.dispatcher.hold(update.most_points());
        let work = async move {
            let held = held.await?;
            computing
                .run(owner, move || {
                    let made = update.make().map(Box::new);
                    drop(held);
                    made
                })
                .await?
        };
        let report = move |outcome| SessionMessage::UpdateMade { number, outcome };
        let work = self.context.mailbox.work(work, report);
        self.followers.start(number, client, event, work);
    }

    pub(super) fn update_made(
        &mut self,
        number: u64,
        outcome: Result<Box<MadeUpdate>, GenerationError>,
    ) {
        self.activity.touch();
        match outcome {
            Ok(made) => {
                let Some(finished) = self.followers.finish(number, *made) else {
                    return;
                };
                let FinishedUpdate {
                    client,
                    update,
                    instead_of,
                } = finished;
                match self.clients.is_attached(client) {
                    true => self.clients.answer(client, update, instead_of),
                    false => self.answer(self.clients.newest_resuming(), instead_of),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "an update failed");
                let code = error.code();
                let message = wire_text(&error.to_string());
                let metrics = &self.context.metrics;
                metrics.error(code.kind(), Some(self.context.id), &message);
                if let Some((client, event)) = self.followers.fail(number) {
                    let labels = (event.request(), message_id(&event));
                    self.answer_error(client, labels, code, message);
                }
            }
        }
    }
}
