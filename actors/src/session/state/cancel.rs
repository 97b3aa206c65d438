//! Requests that clients take back, and sessions that they take up again.

use super::State;
use crate::client_message::OnCancelled;
use crate::error_code::ErrorCode;
use crate::errors::NotCompleted;
use crate::ids::MessageId;
use crate::mailbox::{Reply, answer};
use crate::session::envelope::Envelope;
use crate::session::generation_error::GenerationError;
use crate::session::ledger::Record;
use crate::session::recording::Held;
use crate::session::requests::Request;
use crate::session::stored_result::{Generated, StoredResult};
use crate::session_event::SessionEvent;

impl State {
    /// A client takes back the requests with the identifier of its message, or all without one.
    pub(super) fn cancel_for(&mut self, envelope: Envelope, then: OnCancelled) {
        if self.cancel(envelope.id.as_ref()) > 0 {
            return then.call();
        }
        let message = "there is nothing to cancel: no such request waits or runs";
        let code = ErrorCode::NothingToCancel;
        self.clients.refuse(envelope, code, message);
    }

    /// Ends the requests with this identifier, or all, and answers them. Returns how many. Everything
    /// else stays; a worker goes on to the end of its step.
    pub(super) fn cancel(&mut self, id: Option<&MessageId>) -> usize {
        let number = self.requests.running().map(|(number, _)| number);
        let (running, waiting) = self.requests.cancel(id);
        let count = usize::from(running.is_some()) + waiting.len();
        if let Some(request) = running {
            // It reports its end, so that what it has stored by then can be removed.
            if let Some(work) = self.generation.take() {
                drop(work.detach());
            }
            self.demand = None;
            self.context.mailbox.status().job(None);
            self.answer_cancelled(number, request);
        }
        for request in waiting {
            self.answer_cancelled(None, request);
        }
        count
    }

    /// `number` is that of a request that has begun to run.
    fn answer_cancelled(&mut self, number: Option<u64>, request: Request) {
        tracing::info!(request = request.kind.name(), "request cancelled");
        let generations = &self.context.metrics.generations;
        generations.cancelled(request.kind.answer());
        let message = "Request was cancelled".to_owned();
        let record = Record::RequestCancelled {
            request: request.key,
            number,
            message: message.clone(),
        };
        let event = SessionEvent::Error {
            code: ErrorCode::Cancelled,
            message,
            id: request.id,
            filename: None,
            request: Some(request.key),
        };
        self.record_answer(record, request.client, event, None);
    }

    /// The work of a request that was cancelled has ended: nobody gets its result.
    pub(super) fn forget(&self, number: u64, outcome: Result<Box<Generated>, GenerationError>) {
        if let Ok(generated) = outcome {
            drop(generated);
            self.context.remove(StoredResult::files(number));
        }
    }

    /// The completed session takes images and requests again, in the same coordinates.
    pub(super) fn reopen(&mut self, reply: Reply<Result<(), NotCompleted>>) {
        if !self.ledger.is_completed() {
            return answer(reply, Err(NotCompleted));
        }
        tracing::info!("session reopened");
        self.ledger.apply(Record::Reopened);
        let held = Held::Reopened(reply);
        self.recording.note_for(Record::Reopened, held);
        self.activity.touch();
    }
}
