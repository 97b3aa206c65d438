//! What waits for the session's journal: a client is told of an image or an answer when it is durable.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ledger::{Image, Record};
use super::stored_result::StoredResult;
use crate::blobs::BlobName;
use crate::errors::{NotCompleted, StorageFailed};
use crate::ids::ClientId;
use crate::journal::Journal;
use crate::mailbox::Reply;
use crate::outbox::Event;
use crate::session_event::SessionEvent;

/// The session's journal, and what waits for it.
pub(super) struct Recording {
    journal: Journal,
    /// In the order of their records.
    held: VecDeque<(u64, Held)>,
}

/// Something that waits for its record.
pub(super) enum Held {
    /// Images that the session has once they are recorded.
    Images(Vec<Image>),
    /// The answer to a request, and the result that is the newest then.
    Answer {
        asker: ClientId,
        event: SessionEvent,
        result: Option<Arc<StoredResult>>,
    },
    /// What receivers of webhooks are told.
    Announcement(Event),
    /// Files that nobody needs any more then.
    Files(Vec<BlobName>),
    /// A caller who waits until the session is reopened.
    Reopened(Reply<Result<(), NotCompleted>>),
    /// A caller who waits until the session is kept.
    Kept(Reply<Result<(), StorageFailed>>),
}

impl Recording {
    pub fn new(journal: Journal) -> Self {
        Self {
            journal,
            held: VecDeque::new(),
        }
    }

    /// Records what holds already.
    pub fn note(&mut self, record: Record) {
        self.journal.note(record);
    }

    /// The same for something that a client is told then.
    pub fn note_for(&mut self, record: Record, held: Held) {
        let number = self.journal.note(record);
        self.held.push_back((number, held));
    }

    /// Keeps files until the last record is durable: an earlier state may need them.
    pub fn remove_later(&mut self, names: Vec<BlobName>) {
        self.hold(Held::Files(names));
    }

    /// Something waits for the last record, or if that is written for the next.
    pub fn hold(&mut self, held: Held) {
        self.held.push_back((self.journal.last(), held));
    }

    /// Records images that the session has then.
    pub fn propose(&mut self, images: Vec<Image>) {
        let records = images.iter().cloned();
        let records = records.map(|image| Record::ImageStored(Box::new(image)));
        let number = self.journal.propose(records.collect());
        self.held.push_back((number, Held::Images(images)));
    }

    /// The oldest of what has waited for the records up to this number.
    pub fn next_recorded(&mut self, through: u64) -> Option<(u64, Held)> {
        self.held.pop_front_if(|(number, _)| *number <= through)
    }

    /// Some of these wait on, in their order: their records are tried again.
    pub fn put_back(&mut self, waiting: Vec<(u64, Held)>) {
        for held in waiting.into_iter().rev() {
            self.held.push_front(held);
        }
    }

    /// Whether the answer to a request waits.
    pub fn has_answer(&self) -> bool {
        let mut held = self.held.iter().map(|(_, held)| held);
        held.any(|held| matches!(held, Held::Answer { .. }))
    }

    /// Whether a client waits to be told something.
    pub fn is_busy(&self) -> bool {
        let mut held = self.held.iter().map(|(_, held)| held);
        held.any(|held| !matches!(held, Held::Files(_)))
    }
}
