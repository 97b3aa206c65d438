//! What clients ask for over their sockets, for the audit log.

use std::net::IpAddr;
use std::sync::Arc;

use pointstream_actors::{ClientMessage, SessionId};

use crate::auth::{ASKED, Action, Audit, Caller, Minute, Target};

/// Notes what the client of a socket asks for. Whether it gets it is said in the answer alone.
pub struct Notes {
    audit: Arc<Audit>,
    caller: Caller,
    from: IpAddr,
    session: SessionId,
    minute: Minute,
}

impl Notes {
    pub fn new(audit: Arc<Audit>, caller: Caller, from: IpAddr, session: SessionId) -> Self {
        Self {
            audit,
            caller,
            from,
            session,
            minute: Minute::begin(),
        }
    }

    /// Notes a message that ends something. Those above [`ASKED`] in a minute are not noted: the client may
    /// send them as quickly as it likes, and would fill the log.
    pub fn message(&mut self, message: &ClientMessage) {
        let action = match message {
            ClientMessage::Finalize { .. } => Action::FinalizeAsked,
            ClientMessage::Cancel { .. } => Action::CancelAsked,
            _ => return,
        };
        if self.minute.count() <= ASKED {
            let target = Target::Session(self.session);
            self.audit.done(action, &self.caller, self.from, target);
        }
    }
}
