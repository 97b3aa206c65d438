//! The gateways that are there.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::jetstream::kv::Operation;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use super::link::GATEWAY_LEASE;
use super::{Sharing, lock};

/// How often a gateway says that it is there.
const INTERVAL: Duration = Duration::from_secs(2);
/// Gateways that are known to be gone. More are only known by their silence.
const MAX_GONE: usize = 1024;
/// How long it waits before it looks again for the others after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A gateway, as it presents itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayRecord {
    pub id: Uuid,
    /// How other gateways reach it.
    pub address: String,
    /// Its name for operators.
    pub host: String,
    /// Version of its program.
    pub version: String,
    /// Whether it ends: it takes no new requests, and its sessions will be free.
    pub is_ending: bool,
}

/// What is known of the gateways.
pub(super) struct Members {
    me: Uuid,
    heard: Mutex<Heard>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Heard {
    /// The others, and when they were last heard of.
    others: HashMap<Uuid, (Arc<GatewayRecord>, Instant)>,
    /// Those of which it was seen that they are not there any more.
    gone: HashSet<Uuid>,
    /// Since when NATS has confirmed without a pause that this one is there: before, the others may be there
    /// although they were not heard.
    confirmed: Option<(Instant, Instant)>,
}

/// Whether a gateway is there.
pub(super) enum Presence {
    There(Arc<GatewayRecord>),
    Gone,
    /// Nothing was heard of it, but NATS was not reached all the time.
    Unknown,
}

impl Members {
    pub fn new(me: Uuid) -> Self {
        Self {
            me,
            heard: Mutex::default(),
            changed: watch::Sender::default(),
        }
    }

    /// This gateway has something new to say.
    pub fn changed(&self) {
        self.changed.send_replace(());
    }

    pub fn presence(&self, gateway: Uuid) -> Presence {
        let heard = lock(&self.heard);
        let found = heard.others.get(&gateway);
        let found = found.filter(|(_, at)| at.elapsed() < GATEWAY_LEASE);
        match found {
            Some((record, _)) => Presence::There(record.clone()),
            None if heard.gone.contains(&gateway) || heard.would_know() => Presence::Gone,
            None => Presence::Unknown,
        }
    }

    /// The others that are there.
    pub fn others(&self) -> Vec<Arc<GatewayRecord>> {
        let heard = lock(&self.heard);
        let there = heard.others.values();
        let there = there.filter(|(_, at)| at.elapsed() < GATEWAY_LEASE);
        there.map(|(record, _)| record.clone()).collect()
    }

    /// It was seen that a gateway is not there any more.
    pub fn remove(&self, gateway: Uuid) {
        let mut heard = lock(&self.heard);
        if let Some((other, _)) = heard.others.remove(&gateway) {
            tell("another server is gone", &other);
        }
        if heard.gone.len() >= MAX_GONE {
            heard.gone.clear();
        }
        heard.gone.insert(gateway);
    }

    fn heard(&self, record: GatewayRecord) {
        let mut heard = lock(&self.heard);
        // Also when only its own record came: the last other one may be gone.
        heard.others.retain(|_, (other, at)| {
            let is_there = at.elapsed() < 2 * GATEWAY_LEASE;
            if !is_there {
                tell("another server was not heard for long", other);
            }
            is_there
        });
        if record.id != self.me {
            heard.gone.remove(&record.id);
            let others = &mut heard.others;
            if !others.contains_key(&record.id) {
                tell("another server shares the sessions", &record);
            }
            others.insert(record.id, (Arc::new(record), Instant::now()));
        }
    }

    fn confirmed(&self) {
        let mut heard = lock(&self.heard);
        let now = Instant::now();
        let since = match heard.confirmed {
            Some((since, last)) if last.elapsed() < GATEWAY_LEASE / 2 => since,
            _ => now,
        };
        heard.confirmed = Some((since, now));
    }
}

/// Tells the operator of another gateway.
fn tell(what: &'static str, other: &GatewayRecord) {
    let GatewayRecord {
        address,
        host,
        version,
        ..
    } = other;
    tracing::info!(address, host, version, "{what}");
}

impl Heard {
    /// Whether each gateway that is there would have been heard of.
    fn would_know(&self) -> bool {
        self.confirmed.is_some_and(|(since, last)| {
            since.elapsed() >= GATEWAY_LEASE && last.elapsed() < GATEWAY_LEASE / 2
        })
    }
}

impl Sharing {
    /// Says that this gateway is there, until it leaves.
    pub(super) async fn present(&self) {
        let mut changed = self.members.changed.subscribe();
        while !self.has_left.load(Ordering::Relaxed) {
            match self.say_there().await {
                Ok(()) => self.members.confirmed(),
                Err(error) => {
                    tracing::warn!(%error, "this gateway cannot say that it is there; it tries again");
                }
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn say_there(&self) -> Result<(), async_nats::Error> {
        let record = serde_json::to_vec(&GatewayRecord {
            id: self.id,
            address: self.settings.address.clone(),
            host: self.settings.host.clone(),
            version: self.settings.version.clone(),
            is_ending: self.is_ending(),
        })?;
        let gateways = &self.link.gateways;
        gateways.put(self.id.to_string(), record.into()).await?;
        Ok(())
    }

    /// This gateway is not there any more: others take its sessions over at once.
    pub async fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        let removed = self.link.gateways.delete(self.id.to_string()).await;
        if let Err(error) = removed {
            tracing::warn!(%error, "other gateways wait until the lease of this one ends");
        }
    }

    /// Follows who is there, until the future is dropped.
    pub(super) async fn follow_members(&self) {
        loop {
            match self.link.gateways.watch_with_history(">").await {
                Ok(mut entries) => {
                    while let Some(entry) = entries.next().await {
                        let entry = match entry {
                            Ok(entry) => entry,
                            Err(error) => {
                                tracing::debug!(%error, "a message about gateways is lost");
                                break;
                            }
                        };
                        let record = serde_json::from_slice::<GatewayRecord>(&entry.value);
                        match (entry.operation, record) {
                            (Operation::Put, Ok(record)) => self.members.heard(record),
                            (Operation::Put, Err(error)) => {
                                tracing::warn!(%error, "a gateway presents itself in an unknown way");
                            }
                            _ => {
                                if let Ok(gateway) = entry.key.parse() {
                                    self.members.remove(gateway);
                                }
                            }
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "other gateways cannot be followed"),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
}
