//! Clients that watch: they see results and status of the session, and change nothing.

use super::State;
use crate::client_message::ClientMessage;
use crate::error_code::ErrorCode;
use crate::report::SessionStatus;
use crate::session::envelope::Envelope;
use crate::session_event::SessionEvent;

/// What clients that watch see of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    image_count: u32,
    status: SessionStatus,
    /// Number of the newest result.
    number: Option<u64>,
}

impl Shown {
    /// Whether clients are told of the change. They are not told of each image.
    fn differs(self, before: Self) -> bool {
        (self.status, self.number) != (before.status, before.number)
    }

    pub fn event(self) -> SessionEvent {
        let Self {
            image_count,
            status,
            number,
        } = self;
        SessionEvent::Changed {
            image_count,
            status,
            number,
        }
    }
}

impl State {
    pub(super) fn shown(&self) -> Shown {
        Shown {
            image_count: self.ledger.image_count(),
            status: self.status(),
            number: self.results.newest().map(|result| result.number),
        }
    }

    /// Tells the clients that watch what has changed since the last call.
    pub(super) fn tell_watching(&mut self) {
        let shown = self.shown();
        let before = self.told_watching.replace(shown);
        if before.is_none_or(|before| shown.differs(before)) {
            self.clients.tell_watching(&shown.event());
        }
    }

    /// A client that watches has sent a message. It does not keep the session from expiring.
    pub(super) fn watcher_sent(&mut self, envelope: Envelope, message: &ClientMessage) {
        match message {
            ClientMessage::Ping => {
                let pong = SessionEvent::Pong;
                self.clients
                    .send(envelope.client, pong, Some(envelope.permit));
            }
            ClientMessage::Map { .. } => self.poses(envelope),
            _ => {
                let message = "this connection watches the session and cannot change it; connect \
                               without watch=true, with a token of the scope use if the server asks \
                               for one";
                self.clients
                    .refuse(envelope, ErrorCode::WatchesOnly, message);
            }
        }
    }
}
