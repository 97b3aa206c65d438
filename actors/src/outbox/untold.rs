//! Answers that the outbox has and receivers have not.
//!
//! The file of the outbox is on this machine. If another server may go on with a session, the session's journal
//! keeps its answers until their messages are delivered or given up.

use std::collections::{HashMap, HashSet};

use super::event::Place;
use super::message::Order;
use crate::ids::{RequestKey, SessionId};
use crate::journal::Told;

/// The last answer of each session that not all receivers have.
#[derive(Default)]
pub(super) struct Untold(HashMap<SessionId, (RequestKey, Told)>);

impl Untold {
    /// Messages of these answers wait now. Returns whether the order is one of answers.
    pub fn note(&mut self, order: &Order) -> bool {
        let Order::TakeIn {
            session,
            events,
            told,
        } = order
        else {
            return false;
        };
        let requests = events.iter().filter_map(|(event, _)| match event.place() {
            Place::Answer(request) => Some(request),
            Place::End => None,
        });
        if let Some(last) = requests.max() {
            self.0.insert(*session, (last, told.clone()));
        }
        true
    }

    /// No messages of sessions wait but of these: their journals need not keep the others' answers.
    pub fn delivered(&mut self, waiting: &HashSet<SessionId>) {
        self.0.retain(|session, (request, told)| {
            let waits = waiting.contains(session);
            if !waits {
                told.note(*request);
            }
            waits
        });
    }
}
