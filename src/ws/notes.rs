//! What clients do over their sockets, for the audit log.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use pointstream_actors::{ClientMessage, OnCancelled, SessionId};

use crate::auth::{Action, Audit, Caller, Minute, OVER_A_SOCKET, Target};

/// Notes what the client of a socket ends.
pub struct Notes(Arc<Noted>);

struct Noted {
    audit: Arc<Audit>,
    caller: Caller,
    from: IpAddr,
    session: SessionId,
    minute: Mutex<Minute>,
}

impl Notes {
    pub fn new(audit: Arc<Audit>, caller: Caller, from: IpAddr, session: SessionId) -> Self {
        Self(Arc::new(Noted {
            audit,
            caller,
            from,
            session,
            minute: Mutex::new(Minute::begin()),
        }))
    }

    /// Notes a message that ends something: that a final result is asked for, and, once the session has
    /// done it, that requests have ended.
    pub fn message(&self, message: &mut ClientMessage) {
        match message {
            ClientMessage::Finalize { .. } => self.0.note(Action::FinalizeAsked),
            ClientMessage::Cancel { then, .. } => {
                let noted = self.0.clone();
                *then = OnCancelled::new(move || noted.note(Action::GenerationCancelled));
            }
            _ => {}
        }
    }
}

impl Noted {
    /// Those above [`OVER_A_SOCKET`] in a minute are not noted: the client may send them as quickly as it
    /// likes, and would fill the log.
    fn note(&self, action: Action) {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.count() <= OVER_A_SOCKET {
            drop(minute);
            let target = Target::Session(self.session);
            self.audit.done(action, &self.caller, self.from, target);
        }
    }
}
