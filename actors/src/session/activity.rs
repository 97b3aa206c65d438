//! The time of a session's last activity, and its expiry.

use std::time::{Duration, Instant, SystemTime};

use super::context::Context;
use super::message::SessionMessage;

/// Added to the timeout, so that a check is late rather than early.
const MARGIN: Duration = Duration::from_millis(10);

/// The last activity of a session.
pub(super) struct Activity {
    timeout: Duration,
    at: SystemTime,
    since: Instant,
}

impl Activity {
    /// Begins now, and checks for the first time after the timeout.
    pub fn begin(context: &Context) -> Self {
        let timeout = context.settings.session_timeout;
        let check = SessionMessage::CheckExpiry;
        context.mailbox.notify_after(timeout + MARGIN, check);
        Self {
            timeout,
            at: SystemTime::now(),
            since: Instant::now(),
        }
    }

    /// Records activity now.
    pub fn touch(&mut self) {
        self.at = SystemTime::now();
        self.since = Instant::now();
    }

    pub fn last(&self) -> SystemTime {
        self.at
    }

    /// Checks again when the session may have expired. Returns false if it has expired now.
    pub fn check_later(&self, context: &Context) -> bool {
        match self.timeout.checked_sub(self.since.elapsed()) {
            Some(left) if !left.is_zero() => {
                let check = SessionMessage::CheckExpiry;
                context.mailbox.notify_after(left + MARGIN, check);
                true
            }
            _ => false,
        }
    }
}
