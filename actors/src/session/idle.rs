//! When a session ends by itself, and how it gives way to a shutdown.

use std::time::{Duration, Instant, SystemTime};

use super::connections::wire_text;
use super::{SessionMessage, State};
use crate::event::CloseReason;
use crate::mailbox::{Reply, answer};
use crate::metrics::ErrorKind;

/// Time-outs are checked this much late rather than early.
const GRACE: Duration = Duration::from_millis(10);

impl State {
    /// Notes that something happens.
    pub(super) fn touch(&mut self) {
        self.last_activity = (SystemTime::now(), Instant::now());
    }

    /// Looks again after a while.
    pub(super) fn watch_idle(&self, delay: Duration) {
        self.mailbox
            .cast_after(delay + GRACE, SessionMessage::CheckIdle);
    }

    pub(super) fn check_idle(&mut self) {
        let busy = self.running.is_some()
            || !self.requests.is_empty()
            || !self.uploads.is_empty()
            || self.exports.are_written();
        if busy {
            self.touch();
        }
        let timeout = self.settings.session_timeout;
        match timeout.checked_sub(self.last_activity.1.elapsed()) {
            Some(left) if !left.is_zero() => self.watch_idle(left),
            Some(_) | None => self.close(CloseReason::Expired),
        }
    }

    /// The system ends: requests that wait are refused, what runs may end.
    pub(super) fn drain(&mut self, reply: Reply<()>) {
        while let Some(request) = self.requests.pop_front() {
            let message = wire_text(&CloseReason::ShuttingDown.to_string());
            self.refuse_request(request, ErrorKind::Refused, message);
        }
        self.draining.get_or_insert_default().push(reply);
        self.drained();
    }

    /// Whether somebody still waits for what this session has begun: for a result, for a file, or, as
    /// its owner, until the result is sent.
    fn is_awaited(&self) -> bool {
        self.running.is_some()
            || self.exports.are_written()
            || (self.owned && self.result.is_some())
    }

    /// Tells those who wait for the running work if there is none any more.
    pub(super) fn drained(&mut self) {
        if self.is_awaited() {
            return;
        }
        if let Some(waiting) = &mut self.draining {
            for reply in waiting.drain(..) {
                answer(reply, ());
            }
        }
    }
}
