//! Which clients of a session are still there, when another one finds no place.
//!
//! A client whose address has changed leaves a socket behind that looks open for a while. When a session has
//! all the connections that it may have of clients that use it, or of those that watch it, these are pinged, and
//! the sockets of those that do not answer are closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pointstream_actors::SessionId;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pings::Pings;
use super::receive_memory::ReceiveMeter;

/// How long a client has for its answer: several round trips of a slow network, and more for a program that is
/// busy with something else.
pub const TIME_TO_ANSWER: Duration = Duration::from_secs(5);

/// Bytes that a client has within that time. Who still receives more is not asked.
const SOON: u64 = 80 << 10;

/// The clients of a session that share its places: those that use it, or those that watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Group {
    pub session: SessionId,
    pub watches: bool,
}

/// The connected sockets of all sessions. Clones share them.
#[derive(Clone, Default)]
pub struct Presences(Arc<Mutex<HashMap<Group, Vec<Presence>>>>);

/// A connected socket. Clones belong to the same one.
#[derive(Clone)]
pub struct Presence(Arc<State>);

struct State {
    meter: ReceiveMeter,
    pings: Pings,
    /// Whether the server reads from the client. If not, its silence says nothing.
    is_read: AtomicBool,
    asked: Notify,
    /// Whether the ping was sent that was asked for last.
    is_pinged: AtomicBool,
    is_gone: AtomicBool,
    stop_reading: CancellationToken,
}

/// Takes a socket off the list when it is dropped.
pub struct Listed {
    presences: Presences,
    group: Group,
    presence: Presence,
}

impl Presences {
    /// Lists a socket that is connected to a session. `stop_reading` is cancelled when its client is gone.
    pub fn add(
        &self,
        group: Group,
        meter: ReceiveMeter,
        pings: Pings,
        stop_reading: CancellationToken,
    ) -> Listed {
        let presence = Presence(Arc::new(State {
            meter,
            pings,
            is_read: AtomicBool::new(true),
            asked: Notify::new(),
            is_pinged: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            stop_reading,
        }));
        self.lock().entry(group).or_default().push(presence.clone());
        Listed {
            presences: self.clone(),
            group,
            presence,
        }
    }

    /// Pings these clients, and ends the sockets of those that do not answer. Returns how many.
    pub async fn end_silent(&self, group: Group) -> usize {
        let asked: Vec<_> = self.lock().get(&group).cloned().unwrap_or_default();
        let since = Instant::now();
        asked.iter().for_each(Presence::ask);
        tokio::time::sleep(TIME_TO_ANSWER).await;
        let silent = asked.iter().filter(|one| one.is_silent(since));
        silent.inspect(|one| one.end()).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Group, Vec<Presence>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    fn ask(&self) {
        self.0.is_pinged.store(false, Ordering::Relaxed);
        self.0.asked.notify_one();
    }

    /// A ping was sent.
    pub fn pinged(&self) {
        self.0.is_pinged.store(true, Ordering::Relaxed);
    }

    /// Waits until the client is to be pinged.
    pub async fn asked(&self) {
        self.0.asked.notified().await;
    }

    fn end(&self) {
        self.0.is_gone.store(true, Ordering::Relaxed);
        self.0.stop_reading.cancel();
    }

    /// Whether the client has not answered.
    pub fn is_gone(&self) -> bool {
        self.0.is_gone.load(Ordering::Relaxed)
    }

    /// The server begins or ends to wait for the client's bytes.
    pub fn reads(&self, is_read: bool) {
        self.0.is_read.store(is_read, Ordering::Relaxed);
    }

    /// Whether the client has been asked, would have answered by now, and has not.
    fn is_silent(&self, since: Instant) -> bool {
        let is_asked = self.0.is_pinged.load(Ordering::Relaxed)
            && self.0.is_read.load(Ordering::Relaxed)
            && self.0.pings.on_the_way() < SOON;
        let heard = self.0.meter.heard();
        is_asked && heard.is_none_or(|heard| heard < since)
    }
}

impl Listed {
    pub fn presence(&self) -> &Presence {
        &self.presence
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut all = self.presences.lock();
        if let Some(sockets) = all.get_mut(&self.group) {
            sockets.retain(|other| !Arc::ptr_eq(&other.0, &self.presence.0));
            if sockets.is_empty() {
                all.remove(&self.group);
            }
        }
    }
}
