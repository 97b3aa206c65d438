//! The audit log: who did what from where, and who was refused.
//!
//! Its entries have the target `audit`. Those of refusals are bounded, so that nobody can fill the log
//! by being refused; the metric `pointstream_refused_callers_total` counts all.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pointstream_actors::SessionId;
use prometheus::{IntCounterVec, Registry, register_int_counter_vec_with_registry};
use strum::IntoStaticStr;

use super::caller::Caller;
use super::refusal::Refused;

/// The target of its entries.
pub const TARGET: &str = "audit";
/// Entries of refusals in a minute.
const REFUSALS: u32 = 60;
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
    /// Another session got its images.
    SessionRerun,
    /// Over HTTP or a socket: requests have ended.
    GenerationCancelled,
    WorkerRestarted,
    /// A session was created with a webhook.
    WebhookAdded,
    WebhookRedelivered,
}

/// Writes the audit log.
pub struct Audit {
    minute: Mutex<Minute>,
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

impl Audit {
    /// # Errors
    /// If there is another metric with the same name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            minute: Mutex::new(Minute::begin()),
            refused: register_int_counter_vec_with_registry!(
                "pointstream_refused_callers_total",
                "Requests and sockets that were refused because of their token, host or origin, new \
                 sessions above a limit, and sockets above a rate, by reason.",
                &["reason"],
                registry
            )?,
        })
    }

    /// A caller did something, with a session, a worker or a message of a webhook.
    pub fn done(&self, action: Action, caller: &Caller, from: IpAddr, target: Target) {
        let action: &str = action.into();
        let (session_id, worker, delivery) = match target {
            Target::Session(id) => (Some(id), None, None),
            Target::Worker(index) => (None, Some(index), None),
            Target::Delivery(number) => (None, None, Some(number)),
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
        let number = self.count();
        if number > REFUSALS {
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
        if number == REFUSALS {
            tracing::warn!(
                target: TARGET,
                action = "refused",
                "more refusals of this minute are only counted, in pointstream_refused_callers_total"
            );
        }
    }

    /// Counts a refusal; returns its number in this minute.
    fn count(&self) -> u32 {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        minute.count()
    }
}

/// What an action was done to.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    Session(SessionId),
    Worker(usize),
    /// A message of a webhook, by its number.
    Delivery(u64),
}
