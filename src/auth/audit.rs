//! The audit log: who did what from where, and who was refused.
//!
//! Its entries have the target `audit`. Those of refusals are bounded, so that nobody can fill the log
//! by being refused; the metric `pointstream_refused_callers_total` counts all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pointstream_actors::SessionId;
use prometheus::{IntCounterVec, Registry, register_int_counter_vec_with_registry};
use strum::IntoStaticStr;

use super::caller::Caller;
use super::refusal::Refused;
use crate::places::network;

/// The target of its entries.
pub const TARGET: &str = "audit";
/// Entries of one address in a minute, of refusals and of what it may do as often as it likes.
const OF_ADDRESS: u32 = 60;
/// Entries of all addresses in a minute.
const OF_ALL: u32 = 600;
/// Entries in a minute of what a client does over a socket.
pub const OVER_A_SOCKET: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

/// What a caller did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    SessionCreated,
    SessionOpened,
    SessionDeleted,
    /// A client asked over its socket for the final result.
    FinalizeAsked,
    /// A client got a result over HTTP.
    ResultDownloaded,
    SessionReopened,
    /// A caller got a token with which others watch its session.
    WatchTokenMade,
    /// Another session got its images.
    SessionRerun,
    /// Over HTTP or a socket: requests have ended.
    GenerationCancelled,
    WorkerRestarted,
    /// A session was created with a webhook.
    WebhookAdded,
    WebhookRedelivered,
    /// A client sent a video, of which ffmpeg reads the frames.
    VideoSent,
}

/// Writes the audit log.
pub struct Audit {
    refusals: Mutex<Entries>,
    /// Opened sockets, fetched results and sent videos.
    frequent: Mutex<Entries>,
    refused: IntCounterVec,
}

/// How often something happened since a moment, for at most a minute.
pub struct Minute {
    since: Instant,
    count: u32,
}

impl Minute {
    pub fn begin() -> Self {
        Self {
            since: Instant::now(),
            count: 0,
        }
    }

    /// It happened again; returns its number in this minute.
    pub fn count(&mut self) -> u32 {
        if self.since.elapsed() >= MINUTE {
            *self = Self::begin();
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

/// The entries of a kind since a moment, for at most a minute.
struct Entries {
    since: Instant,
    written: u32,
    /// At most as many addresses as there are entries.
    of_address: HashMap<IpAddr, u32>,
}

/// Whether something has an entry.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Written,
    /// The next ones of this minute are not written, of this address or of all.
    Last(&'static str),
    Counted,
}

impl Entries {
    fn begin() -> Self {
        Self {
            since: Instant::now(),
            written: 0,
            of_address: HashMap::new(),
        }
    }

    fn count(&mut self, from: IpAddr) -> Entry {
        if self.since.elapsed() >= MINUTE {
            *self = Self::begin();
        }
        let of_address = self.of_address.get(&from).copied().unwrap_or(0);
        if of_address >= OF_ADDRESS || self.written >= OF_ALL {
            return Entry::Counted;
        }
        self.written += 1;
        self.of_address.insert(from, of_address + 1);
        if self.written == OF_ALL {
            Entry::Last("of all addresses")
        } else if of_address + 1 == OF_ADDRESS {
            Entry::Last("of this address")
        } else {
            Entry::Written
        }
    }
}

impl Audit {
    /// # Errors
    /// If there is another metric with the same name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            refusals: Mutex::new(Entries::begin()),
            frequent: Mutex::new(Entries::begin()),
            refused: register_int_counter_vec_with_registry!(
                "pointstream_refused_callers_total",
                "Requests and sockets that were refused because of their token, host, origin or rate, that asked \
                 for sessions they may not have, and new sessions above a limit, by reason.",
                &["reason"],
                registry
            )?,
        })
    }

    /// A caller did something: with a session, a worker or a message of a webhook, or with the server alone.
    pub fn done(&self, action: Action, caller: &Caller, from: IpAddr, target: Target) {
        let mut entry = Entry::Written;
        if matches!(
            action,
            Action::SessionOpened | Action::ResultDownloaded | Action::VideoSent
        ) {
            entry = count(&self.frequent, from);
        }
        if entry == Entry::Counted {
            return;
        }
        let action: &str = action.into();
        let (session_id, worker, delivery) = match target {
            Target::Session(id) => (Some(id), None, None),
            Target::Worker(index) => (None, Some(index), None),
            Target::Delivery(number) => (None, None, Some(number)),
            Target::Server => (None, None, None),
        };
        tracing::info!(
            target: TARGET,
            action,
            who = %caller,
            %from,
            session_id = session_id.map(tracing::field::display),
            worker,
            delivery,
            "done"
        );
        if let Entry::Last(whose) = entry {
            tracing::info!(
                target: TARGET,
                action,
                %from,
                "more opened sockets, fetched results and sent videos {whose} in this minute are not written"
            );
        }
    }

    /// A caller was refused at a route, which is a template: text of a client is not logged.
    pub fn refused(&self, refused: &Refused, from: IpAddr, route: &str) {
        let reason = refused.refusal.word();
        self.turned_away(reason, refused.caller.as_ref(), from, route);
    }

    /// A request was refused for this reason, which is a word, at a route, which is a template.
    pub fn turned_away(
        &self,
        reason: &'static str,
        caller: Option<&Caller>,
        from: IpAddr,
        route: &str,
    ) {
        self.refused.with_label_values(&[reason]).inc();
        let entry = count(&self.refusals, from);
        if entry == Entry::Counted {
            return;
        }
        tracing::warn!(
            target: TARGET,
            action = "refused",
            reason,
            who = caller.map(tracing::field::display),
            %from,
            route,
            "refused"
        );
        if let Entry::Last(whose) = entry {
            tracing::warn!(
                target: TARGET,
                action = "refused",
                %from,
                "more refusals {whose} in this minute are only counted, in pointstream_refused_callers_total"
            );
        }
    }
}

fn count(entries: &Mutex<Entries>, from: IpAddr) -> Entry {
    let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
    entries.count(network(from))
}

/// What an action was done to.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    Session(SessionId),
    Worker(usize),
    /// A message of a webhook, by its number.
    Delivery(u64),
    /// Nothing that has a name.
    Server,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn one_address_hides_nothing_of_others() {
        let mut entries = Entries::begin();
        let found: Vec<_> = (0..1000).map(|_| entries.count(address(1))).collect();
        let written = found.iter().filter(|entry| **entry == Entry::Written);
        assert_eq!(written.count(), 59);
        assert_eq!(found[59], Entry::Last("of this address"));
        assert_eq!(entries.count(address(2)), Entry::Written);
    }

    #[test]
    fn many_addresses_do_not_fill_the_log() {
        let mut entries = Entries::begin();
        let found: Vec<_> = (0..5000)
            .map(|number| entries.count(address(number)))
            .collect();
        let written = found.iter().filter(|entry| **entry == Entry::Written);
        assert_eq!(written.count(), 599);
        assert_eq!(found[599], Entry::Last("of all addresses"));
        assert_eq!(entries.of_address.len(), 600);
    }
}
