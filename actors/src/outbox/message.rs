//! Messages of the outbox.

use std::collections::HashSet;
use std::time::SystemTime;

use rusqlite::Transaction;

use super::courier::Attempt;
use super::deliveries::{self, DeliveryFilter, DeliveryReport};
use super::error::OutboxError;
use super::event::{Event, Place};
use super::file::OutboxFile;
use super::subscriptions::{self, Subscription};
use super::turns::Turns;
use crate::blocking::WorkFailed;
use crate::error_code::ErrorCode;
use crate::ids::SessionId;
use crate::journal::Told;
use crate::mailbox::{Reply, answer};

/// Why the outbox has not done something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// The file cannot be written.
    Storage { code: ErrorCode, reason: String },
    /// Earlier events of the session are only in its journal.
    Behind,
}

/// The reply to something that is done once it is durable.
pub(crate) type DoneReply<T> = Reply<Result<T, NotDone>>;

/// Messages of the outbox.
pub(crate) enum OutboxMessage {
    /// Something to do, in its turn.
    Order(Order),
    /// Work with the file has ended.
    Worked(Box<Worked>),
    /// The thread that worked with the file has failed.
    FileLost(WorkFailed),
    /// An attempt has ended.
    Attempted { number: u64, attempt: Attempt },
    /// A message may be due, or what could not be written is tried again.
    Due,
    /// Start no more attempts. Answered when none is made any more.
    Close(Reply<()>),
}

/// Something to do with the file.
pub(crate) enum Order {
    Subscribe(Box<Subscription>, DoneReply<()>),
    /// A session was not created.
    Forget(SessionId),
    /// Events of a session, with the bodies of their messages. They are tried again if they cannot be
    /// written.
    TakeIn {
        session: SessionId,
        events: Vec<(Event, String)>,
        told: Told,
    },
    /// The end of a session, after others of its events, with the bodies of their messages.
    End {
        session: SessionId,
        events: Vec<(Event, String)>,
        /// Whether these are all events that its journal has. Otherwise those before were taken in.
        complete: bool,
        reply: DoneReply<()>,
    },
    Settle {
        number: u64,
        attempt: Attempt,
    },
    /// The operator's webhook wants no more messages.
    OperatorGone,
    List(DeliveryFilter, DoneReply<Vec<DeliveryReport>>),
    /// Answers whether there is such a message.
    Redeliver(u64, DoneReply<bool>),
}

/// What an order gave.
pub(super) enum Given {
    Done,
    Listed(Vec<DeliveryReport>),
    Found(bool),
}

/// Work with the file that has ended.
pub(crate) struct Worked {
    pub(super) file: Option<OutboxFile>,
    pub(super) orders: Vec<Order>,
    pub(super) outcome: Result<Performed, OutboxError>,
}

/// What all orders together gave.
pub(super) struct Performed {
    /// One for each order.
    pub given: Vec<Given>,
    pub turns: Turns,
    /// Whether the file was opened for this.
    pub opened: bool,
    /// Messages that wait.
    pub waiting: u64,
    /// Sessions with messages that wait, if that was asked.
    pub undelivered: Option<HashSet<SessionId>>,
    /// Sessions of which events may have been lost before the file was opened.
    pub behind: Vec<SessionId>,
}

impl Order {
    /// Does it, in a transaction. `operator` is the host of the operator's webhook.
    pub(super) fn perform(
        &self,
        tx: &Transaction<'_>,
        operator: Option<&str>,
        now: SystemTime,
    ) -> Result<Given, OutboxError> {
        match self {
            Self::Subscribe(new, _) => subscriptions::add(tx, new)?,
            Self::Forget(session) => subscriptions::remove(tx, *session)?,
            Self::TakeIn { events, .. } | Self::End { events, .. } => {
                for (event, body) in events {
                    subscriptions::take_in(tx, event, body, operator)?;
                }
            }
            Self::Settle { number, attempt } => deliveries::settle(tx, *number, attempt, now)?,
            Self::OperatorGone => deliveries::follow_operator(tx, None)?,
            Self::List(filter, _) => return Ok(Given::Listed(deliveries::list(tx, filter)?)),
            Self::Redeliver(number, _) => {
                return Ok(Given::Found(deliveries::redeliver(tx, *number)?));
            }
        }
        Ok(Given::Done)
    }

    /// Tells who waits for it that it is durable.
    pub(super) fn done(self, given: Given) {
        match (self, given) {
            (Self::TakeIn { events, told, .. }, _) => {
                for (event, _) in &events {
                    if let Place::Answer(request) = event.place() {
                        told.note(request);
                    }
                }
            }
            (Self::Subscribe(_, reply) | Self::End { reply, .. }, _) => answer(reply, Ok(())),
            (Self::List(_, reply), Given::Listed(found)) => answer(reply, Ok(found)),
            (Self::Redeliver(_, reply), Given::Found(found)) => answer(reply, Ok(found)),
            _ => {}
        }
    }

    /// It could not be done. Returns it if it has to be tried again.
    pub(super) fn failed(self, error: &NotDone) -> Option<Self> {
        match self {
            Self::Subscribe(_, reply) | Self::End { reply, .. } => {
                answer(reply, Err(error.clone()));
            }
            Self::List(_, reply) => answer(reply, Err(error.clone())),
            Self::Redeliver(_, reply) => answer(reply, Err(error.clone())),
            again => return Some(again),
        }
        None
    }
}
