//! Pings of a socket. Their answers tell that the client is there, and what has reached it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::api::LEAST_SPEED;

/// Unanswered pings that are remembered, the newest.
const REMEMBERED: usize = 64;
/// Bytes on their way to a client for which it gets more time: what the buffers between here and
/// there may hold.
const ON_THE_WAY: u64 = 8 << 20;

/// Numbers the pings of one socket. Clones share it.
#[derive(Debug, Clone)]
pub struct Pings {
    interval: Duration,
    state: Arc<Mutex<State>>,
}

/// A ping that is about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ping(u64);

#[derive(Debug)]
struct State {
    next: u64,
    /// Those without an answer, the oldest first, with the bytes that were written before them.
    unanswered: VecDeque<(Ping, u64)>,
    written: u64,
    last_write: Instant,
    /// Bytes that the client has, as far as its answers tell.
    arrived: u64,
}

impl Ping {
    /// What the ping carries; its answer repeats it.
    pub fn payload(self) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_be_bytes())
    }
}

impl Pings {
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            state: Arc::new(Mutex::new(State {
                next: 0,
                unanswered: VecDeque::new(),
                written: 0,
                last_write: Instant::now(),
                arrived: 0,
            })),
        }
    }

    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Without anything from a client for so long, it is gone.
    pub fn patience(&self) -> Duration {
        2 * self.interval
    }

    /// The next ping.
    pub fn next(&self) -> Ping {
        self.with(|state| {
            let ping = Ping(state.next);
            state.next += 1;
            state.unanswered.push_back((ping, state.written));
            if state.unanswered.len() > REMEMBERED {
                state.unanswered.pop_front();
            }
            ping
        })
    }

    /// The client answered with this payload. Returns the ping that it answers; it has got
    /// everything that was sent before that.
    pub fn answered(&self, payload: &[u8]) -> Option<Ping> {
        let ping = Ping(u64::from_be_bytes(payload.try_into().ok()?));
        self.with(|state| {
            let sent = state.unanswered.iter();
            let index = sent.map(|(sent, _)| *sent).position(|sent| sent == ping)?;
            let (_, before) = state.unanswered.drain(..=index).next_back()?;
            state.arrived = before;
            Some(ping)
        })
    }

    /// So many bytes are given to the network now.
    pub fn writes(&self, bytes: usize) {
        self.with(|state| {
            state.written += bytes as u64;
            state.last_write = Instant::now();
        });
    }

    /// Bytes that the client may not have yet: an answer to a ping comes behind them.
    pub fn on_the_way(&self) -> u64 {
        self.with(|state| state.written - state.arrived)
    }

    /// When a client is gone that was heard of at `heard`. A client that still receives what was
    /// written has time for it, at the least speed that a client may have.
    pub fn deadline(&self, heard: Instant) -> Instant {
        self.with(|state| {
            let on_the_way = (state.written - state.arrived).min(ON_THE_WAY);
            let receives = Duration::from_secs_f64(on_the_way as f64 / f64::from(LEAST_SPEED));
            heard.max(state.last_write) + self.patience() + receives
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(20);

    #[test]
    fn an_answer_stands_for_all_pings_before_it() {
        let pings = Pings::new(INTERVAL);
        let (first, second, third) = (pings.next(), pings.next(), pings.next());
        assert_eq!(pings.answered(b"something"), None);
        assert_eq!(pings.answered(&second.payload()), Some(second));
        assert_eq!(pings.answered(&first.payload()), None);
        assert_eq!(pings.answered(&third.payload()), Some(third));
        assert_eq!(pings.answered(&third.payload()), None);
    }

    #[test]
    fn unanswered_pings_are_bounded() {
        let pings = Pings::new(INTERVAL);
        let sent: Vec<Ping> = (0..2 * REMEMBERED).map(|_| pings.next()).collect();
        assert_eq!(pings.answered(&sent[0].payload()), None);
        let last = sent[2 * REMEMBERED - 1];
        assert_eq!(pings.answered(&last.payload()), Some(last));
    }

    #[test]
    fn bytes_on_their_way_give_time() {
        let pings = Pings::new(INTERVAL);
        // Later than all that is written here.
        let heard = Instant::now() + Duration::from_secs(3600);
        assert_eq!(pings.deadline(heard), heard + 2 * INTERVAL);
        pings.writes(160 * LEAST_SPEED as usize);
        let later = heard + 2 * INTERVAL + Duration::from_secs(160);
        assert_eq!(pings.deadline(heard), later);
        let ping = pings.next();
        pings.answered(&ping.payload());
        assert_eq!(pings.deadline(heard), heard + 2 * INTERVAL);
        // What no buffer holds is not on its way.
        pings.writes(1 << 40);
        let most = Duration::from_secs(ON_THE_WAY / u64::from(LEAST_SPEED));
        assert_eq!(pings.deadline(heard), heard + 2 * INTERVAL + most);
    }
}
