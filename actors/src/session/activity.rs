//! The time of a session's last activity, and its expiry.

use std::time::{Duration, Instant, SystemTime};

use super::context::Context;
use super::message::SessionMessage;

/// Added to the timeout, so that a check is late rather than early.
const MARGIN: Duration = Duration::from_millis(10);

/// The last activity of a session.
pub(super) struct Activity {
    timeout: Duration,
    /// The timeout once a client has used the session.
    timeout_in_use: Duration,
    at: SystemTime,
    since: Instant,
}

impl Activity {
    /// A session that was created at this time, and last used at another. Checks for the first time at
    /// once.
    pub fn begin(context: &Context, created_at: SystemTime, at: SystemTime) -> Self {
        context.mailbox.notify(SessionMessage::CheckExpiry);
        let settings = &context.settings;
        let now = Instant::now();
        // A clock that was set back counts as no time.
        let ago = at.elapsed().unwrap_or_default();
        Self {
            timeout: match at > created_at {
                true => settings.session_timeout,
                false => settings.unused_session_timeout,
            },
            timeout_in_use: settings.session_timeout,
            at,
            since: now.checked_sub(ago).unwrap_or(now),
        }
    }

    /// Records activity now.
    pub fn touch(&mut self) {
        self.timeout = self.timeout_in_use;
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
