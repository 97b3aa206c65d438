//! Waiting for a session's running work when the system shuts down.

use crate::mailbox::{Reply, answer};

/// Whether the system shuts down, and the callers that wait until nothing runs.
#[derive(Default)]
pub(super) struct Shutdown {
    begun: bool,
    waiting: Vec<Reply<()>>,
}

impl Shutdown {
    pub fn begin(&mut self, reply: Reply<()>) {
        self.begun = true;
        self.waiting.push(reply);
    }

    /// The system shuts down, and nobody waits for the session.
    pub fn note(&mut self) {
        self.begun = true;
    }

    /// Whether no new work is accepted.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Nothing runs any more.
    pub fn finish(&mut self) {
        for reply in self.waiting.drain(..) {
            answer(reply, ());
        }
    }
}
