//! What happens to the session is recorded, and what waits for that goes on.

use std::sync::Arc;

use super::State;
use crate::journal::JournalError;
use crate::mailbox::answer;
use crate::session::ledger::Record;
use crate::session::recording::Held;

impl State {
    /// Records that the session is kept, behind the images that it begins with.
    pub(super) fn keep_if_due(&mut self) {
        let oldest = self.uploads.oldest().unwrap_or(u64::MAX);
        if let Some((_, reply)) = self.keeping.take_if(|(before, _)| *before <= oldest) {
            self.ledger.apply(Record::SessionKept);
            self.recording
                .note_for(Record::SessionKept, Held::Kept(reply));
        }
    }

    /// Notes what has happened.
    pub(super) fn record(&mut self, record: Record) {
        self.ledger.apply(record.clone());
        self.recording.note(record);
    }

    /// Records are durable, or could not be written.
    pub(super) fn recorded(&mut self, through: u64, outcome: &Result<(), Arc<JournalError>>) {
        // Those that wait on: their record is tried again, with the next ones.
        let mut waiting = Vec::new();
        while let Some((number, held)) = self.recording.next_recorded(through) {
            match held {
                Held::Images(images) => self.images_recorded(images, outcome),
                Held::Answer {
                    asker,
                    event,
                    result,
                } => {
                    if let Some(result) = result.filter(|_| outcome.is_ok()) {
                        self.replace_result(result);
                    }
                    self.answer_recorded(asker, event, outcome);
                }
                Held::Announcement(event) if outcome.is_ok() => self.announcements.tell(event),
                Held::Files(names) if outcome.is_ok() => self.context.remove(names),
                Held::Reopened(reply) if outcome.is_ok() => answer(reply, Ok(())),
                held @ (Held::Announcement(_) | Held::Files(_) | Held::Reopened(_)) => {
                    waiting.push((number, held));
                }
                Held::Kept(reply) => {
                    answer(
                        reply,
                        outcome.clone().map_err(|error| error.as_ref().into()),
                    );
                }
            }
        }
        self.recording.put_back(waiting);
    }
}
