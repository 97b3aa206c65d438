//! Which gateway has which session.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv::{Operation, UpdateErrorKind};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::members::Presence;
use super::{GatewayRecord, Sharing};
use crate::ids::SessionId;
use crate::journal::JournalError;

/// How often it looks again for the owner of a session that ends or may have ended.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long it looks.
const LONGEST_LOOK: Duration = Duration::from_secs(15);

/// The shared sessions cannot be reached.
#[derive(Debug, Clone, Error)]
#[error("the shared sessions cannot be reached: {0}")]
pub struct SharingError(String);

impl SharingError {
    pub(crate) fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Who has a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub gateway: Uuid,
    /// It cannot be restored, and is kept for the operator.
    #[serde(default)]
    pub is_damaged: bool,
}

/// Where a session is, for a gateway that does not have it.
pub(super) enum Found {
    Elsewhere(Arc<GatewayRecord>),
    Nowhere,
    /// Nobody has it any more: it may be claimed from this state.
    Free {
        revision: u64,
    },
}

impl Sharing {
    /// Whether this gateway has a session, or is about to.
    pub fn has(&self, session: SessionId) -> bool {
        self.sessions().contains_key(&session)
    }

    /// Looks for a session that this gateway does not have. Waits while its owner ends.
    ///
    /// # Errors
    /// [`SharingError`] if NATS cannot be reached, or the owner's fate stays unknown.
    pub(super) async fn find(&self, session: SessionId) -> Result<Found, SharingError> {
        let deadline = tokio::time::Instant::now() + LONGEST_LOOK;
        loop {
            let entry = self.link.owners.entry(session.to_string()).await;
            let entry = entry.map_err(SharingError::new)?;
            let entry = entry.filter(|entry| entry.operation == Operation::Put);
            let Some(entry) = entry else {
                return Ok(Found::Nowhere);
            };
            let owner: Owner = serde_json::from_slice(&entry.value).map_err(SharingError::new)?;
            if owner.is_damaged {
                return Ok(Found::Nowhere);
            }
            let revision = entry.revision;
            if owner.gateway == self.id {
                return Ok(Found::Free { revision });
            }
            match self.members.presence(owner.gateway) {
                Presence::There(record) if !record.is_ending => {
                    return Ok(Found::Elsewhere(record));
                }
                Presence::Gone => return Ok(Found::Free { revision }),
                Presence::There(_) | Presence::Unknown => {}
            }
            if tokio::time::Instant::now() > deadline {
                return Err(SharingError::new("its server does not end"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Becomes the owner of a session that nobody has. Returns whether it did.
    pub(super) async fn claim(
        &self,
        session: SessionId,
        revision: u64,
    ) -> Result<bool, SharingError> {
        let owner = self.as_owner(false).map_err(SharingError::new)?;
        let updated = self
            .link
            .owners
            .update(session.to_string(), owner.into(), revision);
        match updated.await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => Err(SharingError::new(error)),
        }
    }

    /// A new session is this gateway's.
    pub(super) async fn own(&self, session: SessionId) -> Result<(), JournalError> {
        let unreachable =
            |error: &dyn std::fmt::Display| JournalError::Unreachable(error.to_string());
        let owner = self.as_owner(false).map_err(|error| unreachable(&error))?;
        let put = self.link.owners.put(session.to_string(), owner.into());
        put.await.map_err(|error| unreachable(&error)).map(drop)
    }

    /// Whether this gateway is the owner.
    pub(super) async fn is_mine(&self, session: SessionId) -> Result<bool, JournalError> {
        let unreachable =
            |error: &dyn std::fmt::Display| JournalError::Unreachable(error.to_string());
        let value = self.link.owners.get(session.to_string()).await;
        let Some(value) = value.map_err(|error| unreachable(&error))? else {
            return Err(JournalError::NoBeginning);
        };
        let owner: Owner = serde_json::from_slice(&value).map_err(|error| unreachable(&error))?;
        Ok(owner.gateway == self.id)
    }

    /// A session is gone.
    pub(super) async fn disown(&self, session: SessionId) -> io::Result<()> {
        let owners = &self.link.owners;
        let removed = owners.delete(session.to_string()).await;
        removed.map_err(io::Error::other)?;
        // The deletion tells those who follow the bucket. It would stay for ever.
        let subject = format!("$KV.{}.{session}", owners.name);
        let purged = owners.stream.purge().filter(subject).await;
        purged.map_err(io::Error::other).map(drop)
    }

    /// A session cannot be restored.
    pub(super) async fn mark_damaged(&self, session: SessionId) -> Result<(), SharingError> {
        let owner = self.as_owner(true).map_err(SharingError::new)?;
        let put = self.link.owners.put(session.to_string(), owner.into());
        put.await.map_err(SharingError::new).map(drop)
    }

    fn as_owner(&self, is_damaged: bool) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Owner {
            gateway: self.id,
            is_damaged,
        })
    }

    /// Another gateway turned out not to be there any more.
    pub fn is_gone(&self, gateway: Uuid) {
        self.members.remove(gateway);
    }

    /// The other gateways that are there.
    pub fn others(&self) -> Vec<Arc<GatewayRecord>> {
        self.members.others()
    }

    /// A secret that all gateways know, and nobody else. The first that asks makes it.
    ///
    /// # Errors
    /// [`SharingError`] if NATS cannot be reached.
    pub async fn secret(&self, name: &str) -> Result<[u8; 32], SharingError> {
        let mut new = [0; 32];
        getrandom::fill(&mut new).map_err(SharingError::new)?;
        let secrets = &self.link.secrets;
        let made = secrets.create(name, new.to_vec().into()).await;
        if made.is_ok() {
            return Ok(new);
        }
        let found = secrets.get(name).await.map_err(SharingError::new)?;
        let found = found.ok_or_else(|| SharingError::new("a secret is missing"))?;
        <[u8; 32]>::try_from(found.as_ref()).map_err(SharingError::new)
    }
}
