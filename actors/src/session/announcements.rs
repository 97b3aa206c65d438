//! What the receivers of webhooks are told of the session, once it is durable.

use std::time::SystemTime;

use super::ledger::{Ledger, Record};
use crate::journal::Told;
use crate::outbox::{Event, EventContent, Outbox};

/// Tells receivers.
pub(super) struct Announcements {
    /// `None` if nobody is told.
    outbox: Option<Outbox>,
    told: Told,
}

impl Announcements {
    /// `had` is what an earlier process may not have told.
    pub fn new(outbox: Option<Outbox>, had: Vec<Event>) -> Self {
        let told = match outbox {
            Some(_) => Told::nothing(),
            None => Told::default(),
        };
        let new = Self { outbox, told };
        new.tell_all(had);
        new
    }

    /// What the outbox has.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// Tells what is durable.
    pub fn tell(&self, event: Event) {
        self.tell_all(vec![event]);
    }

    fn tell_all(&self, events: Vec<Event>) {
        if let (Some(outbox), Some(first)) = (&self.outbox, events.first()) {
            outbox.tell(first.session, events, self.told.clone());
        }
    }
}

/// What a record tells, before it is applied to the ledger.
pub(crate) fn event_of(ledger: &Ledger, record: &Record, at: SystemTime) -> Option<Event> {
    let id_of = |key| {
        let mut requests = ledger.requests().iter();
        requests.find(|request| request.key == key)?.id.clone()
    };
    let content = match record {
        Record::ResultStored {
            request, result, ..
        } => EventContent::ResultMade {
            request: *request,
            id: id_of(*request),
            number: result.number,
            kind: result.kind,
        },
        Record::RequestFailed {
            request,
            code,
            error,
            ..
        } => EventContent::RequestFailed {
            request: *request,
            id: id_of(*request),
            code: *code,
            reason: error.clone(),
        },
        _ => return None,
    };
    Some(Event {
        session: ledger.session(),
        at,
        content,
    })
}
