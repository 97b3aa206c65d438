//! Taking over sessions that nobody has.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::jetstream::kv::Operation;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::members::Presence;
use super::owners::{Found, Owner};
use super::{Location, Sharing, SharingError, lock};
use crate::ids::SessionId;
use crate::remote::again;

/// How often it looks for sessions that nobody has.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long it waits before it tries again to take a session over.
const RETRY_DELAY: Duration = Duration::from_secs(10);
/// The same if somebody asks for the session.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// Sessions that are taken over in one go.
const AT_ONCE: usize = 16;
/// How often an owner is looked for whose place somebody else took meanwhile.
const ATTEMPTS: u32 = 5;

/// Goes on with sessions that this gateway owns now.
pub(crate) trait Adopter: Send + Sync + 'static {
    /// Restores a session.
    ///
    /// # Errors
    /// [`SharingError`] if that takes too long, or the program ends.
    fn adopt(&self, session: SessionId) -> BoxFuture<'_, Result<Adoption, SharingError>>;
}

/// What has become of a session that this gateway was to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adoption {
    GoesOn,
    /// It has ended, or cannot be restored at all.
    Gone,
    /// It cannot be restored now.
    NotNow,
}

/// Takes sessions over as long as it lives.
pub(crate) struct Adopting {
    _task: AbortOnDropHandle<()>,
}

/// The owners of all sessions.
type Owners = HashMap<SessionId, Owner>;

impl Adopting {
    /// Begins to be there for other gateways, and to take over the sessions of those that are gone.
    pub fn start(sharing: Arc<Sharing>, adopter: Arc<dyn Adopter>) -> Self {
        let work = again("sharing sessions with other gateways", move || {
            let (sharing, adopter) = (sharing.clone(), adopter.clone());
            async move {
                let owners = Mutex::default();
                tokio::join!(
                    sharing.present(),
                    sharing.follow_members(),
                    sharing.follow_owners(&owners),
                    sharing.adopt(&owners, adopter.as_ref()),
                );
            }
        });
        Self {
            _task: AbortOnDropHandle::new(tokio::spawn(work)),
        }
    }
}

impl Sharing {
    /// Finds a session, and takes it over if nobody has it.
    ///
    /// # Errors
    /// [`SharingError`] if NATS cannot be reached, or the session not be restored now.
    pub async fn locate(
        &self,
        session: SessionId,
        adopter: &dyn Adopter,
    ) -> Result<Location, SharingError> {
        for _ in 0..ATTEMPTS {
            if self.has(session) {
                return Ok(Location::Here);
            }
            let revision = match self.find(session).await? {
                Found::Elsewhere(record) => return Ok(Location::Elsewhere(record)),
                Found::Nowhere => return Ok(Location::Nowhere),
                Found::Free { revision } => revision,
            };
            if self.is_ending() {
                return Err(SharingError::new("this server ends"));
            }
            self.check_failed(session)?;
            if self.claim(session, revision).await? {
                return match adopter.adopt(session).await? {
                    Adoption::GoesOn => Ok(Location::Here),
                    Adoption::Gone => Ok(Location::Nowhere),
                    Adoption::NotNow => {
                        self.note_failed(session);
                        Err(SharingError::new("the session cannot be restored now"))
                    }
                };
            }
        }
        Err(SharingError::new("its server changes again and again"))
    }

    /// Fails if a session could not be restored a moment ago: clients may ask for it again and again.
    fn check_failed(&self, session: SessionId) -> Result<(), SharingError> {
        let mut failed = lock(&self.failed);
        failed.retain(|_, at| at.elapsed() < PAUSE_AFTER_FAILURE);
        match failed.contains_key(&session) {
            true => Err(SharingError::new(
                "the session could not be restored a moment ago",
            )),
            false => Ok(()),
        }
    }

    fn note_failed(&self, session: SessionId) {
        lock(&self.failed).insert(session, Instant::now());
    }

    /// Follows the owners of all sessions, until the future is dropped.
    async fn follow_owners(&self, owners: &Mutex<Owners>) {
        loop {
            match self.link.owners.watch_with_history(">").await {
                Ok(mut entries) => {
                    lock(owners).clear();
                    while let Some(Ok(entry)) = entries.next().await {
                        let Ok(session) = SessionId::try_parse(&entry.key) else {
                            continue;
                        };
                        let owner = serde_json::from_slice::<Owner>(&entry.value);
                        let mut owners = lock(owners);
                        match (entry.operation, owner) {
                            (Operation::Put, Ok(owner)) => drop(owners.insert(session, owner)),
                            _ => drop(owners.remove(&session)),
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "the owners of sessions cannot be followed"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Takes over sessions of gateways that are gone, until the future is dropped.
    async fn adopt(&self, owners: &Mutex<Owners>, adopter: &dyn Adopter) {
        let mut tried: HashMap<SessionId, Instant> = HashMap::new();
        loop {
            tokio::time::sleep(INTERVAL).await;
            if self.is_ending() {
                continue;
            }
            tried.retain(|_, at| at.elapsed() < RETRY_DELAY);
            let free = self.free_sessions(owners, &tried);
            if !free.is_empty() {
                tracing::info!(
                    sessions = free.len(),
                    "taking over sessions of a server that is gone"
                );
            }
            for session in free {
                tried.insert(session, Instant::now());
                match self.locate(session, adopter).await {
                    Ok(Location::Nowhere) => drop(lock(owners).remove(&session)),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(session_id = %session, %error, "a session is not taken over now");
                    }
                }
            }
        }
    }

    /// Sessions that nobody has, and that this gateway is to take over rather than another.
    fn free_sessions(
        &self,
        owners: &Mutex<Owners>,
        tried: &HashMap<SessionId, Instant>,
    ) -> Vec<SessionId> {
        let others = self.members.others();
        let others: Vec<Uuid> = others
            .iter()
            .filter(|other| !other.is_ending)
            .map(|other| other.id)
            .collect();
        let owners = lock(owners);
        let free = owners.iter().filter(|(session, owner)| {
            !owner.is_damaged
                && !self.has(**session)
                && !tried.contains_key(session)
                && (owner.gateway == self.id
                    || (matches!(self.members.presence(owner.gateway), Presence::Gone)
                        && is_for(**session, self.id, &others)))
        });
        free.map(|(session, _)| *session).take(AT_ONCE).collect()
    }
}

/// Whether a session is for this gateway rather than one of the others: so they need not agree, and share the work
/// (highest random weight, <https://en.wikipedia.org/wiki/Rendezvous_hashing>).
fn is_for(session: SessionId, me: Uuid, others: &[Uuid]) -> bool {
    let weight = |gateway: Uuid| {
        let mut hasher = DefaultHasher::new();
        (session, gateway).hash(&mut hasher);
        (hasher.finish(), gateway)
    };
    others.iter().all(|other| weight(*other) < weight(me))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_is_for_one_gateway() {
        let gateways: Vec<Uuid> = (0..3).map(|_| Uuid::new_v4()).collect();
        let mut counts = [0; 3];
        for _ in 0..300 {
            let session = SessionId::new_v4();
            let chosen: Vec<usize> = (0..3)
                .filter(|me| {
                    let others = gateways.iter().filter(|other| **other != gateways[*me]);
                    is_for(session, gateways[*me], &others.copied().collect::<Vec<_>>())
                })
                .collect();
            assert_eq!(chosen.len(), 1);
            counts[chosen[0]] += 1;
        }
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
    }
}
