//! Answers that were written to a client and are not known to have arrived.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use pointstream_actors::{Delivery, SessionEvent};
use tokio::sync::Notify;

use super::pings::{Ping, Pings};

/// Holds the answers of one socket until its client has them. Clones share it.
#[derive(Clone)]
pub struct Deliveries {
    pings: Pings,
    /// Answers that are held at the same time.
    limit: usize,
    state: Arc<Mutex<State>>,
    /// Notified when answers have arrived.
    arrived: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// The oldest first.
    held: VecDeque<Held>,
    /// Whether the client ended the connection because a message was too large for it.
    was_too_large: bool,
}

struct Held {
    /// Its answer confirms the delivery.
    ping: Ping,
    /// What the client confirms it with, if it is a result.
    number: Option<u64>,
    /// Size of the point cloud.
    bytes: usize,
    delivery: Delivery,
}

impl Deliveries {
    pub fn new(pings: Pings, limit: usize) -> Self {
        Self {
            pings,
            limit,
            state: Arc::default(),
            arrived: Arc::default(),
        }
    }

    pub fn pings(&self) -> &Pings {
        &self.pings
    }

    /// Waits until one more answer may be held.
    pub async fn room(&self) {
        loop {
            let mut arrived = pin!(self.arrived.notified());
            // From here on no notification is missed.
            arrived.as_mut().enable();
            if self.with(|state| state.held.len()) < self.limit {
                return;
            }
            arrived.await;
        }
    }

    /// Holds an answer that is written now, for which there is [room](Self::room). Send the returned ping
    /// after its last byte.
    pub fn hold(&self, delivery: Delivery) -> Ping {
        let ping = self.pings.next();
        let (number, bytes) = match &delivery.event {
            SessionEvent::Result { answer, number, .. } => (Some(*number), answer.glb.len()),
            _ => (None, 0),
        };
        let held = Held {
            ping,
            number,
            bytes,
            delivery,
        };
        self.with(|state| state.held.push_back(held));
        ping
    }

    /// Keeps an answer that is not written any more, to be given back behind those that were.
    pub fn leave(&self, delivery: Delivery) {
        let held = Held {
            ping: self.pings.next(),
            number: None,
            bytes: 0,
            delivery,
        };
        self.with(|state| state.held.push_back(held));
    }

    /// The client has answered a ping with this payload.
    pub fn answered(&self, payload: &[u8]) {
        let Some(answered) = self.pings.answered(payload) else {
            return;
        };
        let arrived = self.with(|state| {
            let count = state.held.partition_point(|held| held.ping <= answered);
            state.held.drain(..count).collect::<Vec<_>>()
        });
        self.confirm(arrived);
    }

    /// The client says that it has got the result with this number, and so all before it.
    pub fn received(&self, number: u64) {
        let arrived = self.with(|state| {
            let numbers = state.held.iter().map(|held| held.number);
            let index = numbers.into_iter().position(|held| held == Some(number));
            let count = index.map_or(0, |index| index + 1);
            state.held.drain(..count).collect::<Vec<_>>()
        });
        self.confirm(arrived);
    }

    /// The client ends the connection because a message was too large for it.
    pub fn too_large(&self) {
        self.with(|state| state.was_too_large = true);
    }

    /// The connection has ended: what has not arrived goes back to the session, in its order. If a
    /// message was too large for the client, that was the largest one.
    pub fn give_back(&self) {
        let (held, was_too_large) =
            self.with(|state| (std::mem::take(&mut state.held), state.was_too_large));
        let sizes = held.iter().map(|held| held.bytes);
        let largest = sizes.max().filter(|largest| was_too_large && *largest > 0);
        for held in held {
            match Some(held.bytes) == largest {
                true => held.delivery.too_large(),
                false => drop(held.delivery),
            }
        }
    }

    /// The client has got these.
    fn confirm(&self, arrived: Vec<Held>) {
        for held in arrived {
            held.delivery.confirm();
        }
        self.arrived.notify_waiters();
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
