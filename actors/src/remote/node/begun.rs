//! Which nodes have begun with an assignment. One that ends its nodes must not be tried for ever.
//!
//! The number of deliveries does not tell: an assignment is also delivered to a node that stands still, or that
//! shuts down.

use async_nats::jetstream::kv::{CreateErrorKind, UpdateErrorKind};

use super::Shared;
use crate::remote::wire::{Assignment, NodeId};

/// An assignment with which so many other nodes have begun without a report is done by nobody.
const MAX_NODES: usize = 2;
/// How often it is tried to note a node while others do the same.
const ATTEMPTS: usize = 8;

/// Whether a node may begin.
pub(super) enum Begun {
    /// It is noted as one that has begun.
    First,
    /// So many others have begun with it and did not report.
    Before(usize),
}

impl Shared {
    /// Notes that this node begins with an assignment, unless too many have.
    pub async fn begin(&self, assignment: &Assignment) -> Result<Begun, async_nats::Error> {
        let (bucket, key) = (&self.link.begun, assignment.id.to_string());
        for _ in 0..ATTEMPTS {
            let entry = bucket.entry(key.as_str()).await?;
            let entry = entry.filter(|entry| !entry.value.is_empty());
            let mut nodes: Vec<NodeId> = match &entry {
                Some(entry) => serde_json::from_slice(&entry.value)?,
                None => Vec::new(),
            };
            let others = nodes.iter().filter(|node| **node != self.id).count();
            if others >= MAX_NODES {
                return Ok(Begun::Before(others));
            }
            if !nodes.contains(&self.id) {
                nodes.push(self.id);
            }
            let value = serde_json::to_vec(&nodes)?.into();
            // Another node may do the same at this moment.
            match entry {
                Some(entry) => match bucket.update(&key, value, entry.revision).await {
                    Ok(_) => return Ok(Begun::First),
                    Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                    Err(error) => return Err(error.into()),
                },
                None => match bucket.create(&key, value).await {
                    Ok(_) => return Ok(Begun::First),
                    Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Err("other nodes begin with it all the time".into())
    }

    /// This node gives an assignment back that it could have done.
    pub async fn forgive(&self, assignment: &Assignment) {
        let (bucket, key) = (&self.link.begun, assignment.id.to_string());
        let forgive = async {
            let Some(entry) = bucket.entry(key.as_str()).await? else {
                return Ok(());
            };
            let mut nodes: Vec<NodeId> = serde_json::from_slice(&entry.value)?;
            nodes.retain(|node| *node != self.id);
            let value = serde_json::to_vec(&nodes)?.into();
            bucket.update(&key, value, entry.revision).await?;
            Ok::<_, async_nats::Error>(())
        };
        if let Err(error) = forgive.await {
            tracing::debug!(%error, "an assignment that is given back counts as begun");
        }
    }

    /// It is reported.
    pub async fn forget_begun(&self, assignment: &Assignment) {
        let key = assignment.id.to_string();
        if let Err(error) = self.link.begun.purge(key).await {
            tracing::debug!(%error, "that an assignment was begun is forgotten later");
        }
    }
}
