//! Takes assignments: those of this node, and those of nodes that are gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::confirmation::ACK_WAIT;
use crate::remote::names::Names;
use crate::remote::wire::NodeId;

/// How long it waits after a failure of NATS.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// How long one request for an assignment waits.
const LONGEST_PULL: Duration = Duration::from_secs(20);
/// How often queues of nodes that are gone are looked for.
const TAKE_OVER_INTERVAL: Duration = Duration::from_secs(2);
/// JetStream forgets a queue that nobody has asked for so long.
const FORGET_AFTER: Duration = Duration::from_secs(2 * 3600);

type Queue = Consumer<pull::Config>;

impl Shared {
    /// Takes assignments of this node until `stop`.
    pub async fn take_assignments(self: Arc<Self>, stop: CancellationToken) {
        let take = async {
            loop {
                if let Err(error) = self.take_from_own_queue().await {
                    tracing::warn!(%error, "no assignments come; trying again");
                }
                tokio::time::sleep(RETRY_DELAY).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = take => {}
        }
    }

    async fn take_from_own_queue(self: &Arc<Self>) -> Result<(), async_nats::Error> {
        let queue = self.queue_of(self.id).await?;
        loop {
            let place = self.places.clone().acquire_owned().await?;
            self.take_one(&queue, Some(LONGEST_PULL), place).await?;
        }
    }

    async fn queue_of(&self, node: NodeId) -> Result<Queue, async_nats::Error> {
        let name = Names::consumer_of(&self.model, node);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            filter_subject: self.link.names.jobs_of(&self.model, node),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            inactive_threshold: FORGET_AFTER,
            ..pull::Config::default()
        };
        Ok(self.link.jobs.get_or_create_consumer(&name, config).await?)
    }

    /// Takes an assignment if there is one within this time, and does it in the background. Returns whether there
    /// was one.
    async fn take_one(
        self: &Arc<Self>,
        queue: &Queue,
        wait: Option<Duration>,
        place: OwnedSemaphorePermit,
    ) -> Result<bool, async_nats::Error> {
        let mut messages = match wait {
            Some(wait) => {
                queue
                    .batch()
                    .max_messages(1)
                    .expires(wait)
                    .messages()
                    .await?
            }
            None => queue.fetch().max_messages(1).messages().await?,
        };
        let Some(message) = messages.next().await else {
            return Ok(false);
        };
        let (shared, message) = (self.clone(), message?);
        self.running.spawn(async move {
            shared.carry_out(message).await;
            drop(place);
        });
        Ok(true)
    }

    /// Takes over what waits for nodes that are gone, until `stop`.
    pub async fn take_over(self: Arc<Self>, stop: CancellationToken) {
        let take = async {
            loop {
                tokio::time::sleep(TAKE_OVER_INTERVAL).await;
                if let Err(error) = self.take_over_queues().await {
                    tracing::debug!(%error, "queues of nodes that are gone are not looked at");
                }
                self.files.sweep().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = take => {}
        }
    }

    async fn take_over_queues(self: &Arc<Self>) -> Result<(), async_nats::Error> {
        for node in self.nodes_with_queues().await? {
            if node == self.id || self.link.nodes.get(node.to_string()).await?.is_some() {
                continue;
            }
            let mut queue = self.queue_of(node).await?;
            loop {
                let Ok(place) = self.places.clone().try_acquire_owned() else {
                    return Ok(());
                };
                if !self.take_one(&queue, None, place).await? {
                    break;
                }
                tracing::warn!(%node, "took over an assignment of a node that is gone");
            }
            let info = queue.info().await?;
            if info.num_pending == 0 && info.num_ack_pending == 0 {
                let name = Names::consumer_of(&self.model, node);
                self.link.jobs.delete_consumer(&name).await?;
                tracing::info!(%node, "the queue of a node that is gone is empty");
            }
        }
        Ok(())
    }

    /// The nodes that have a queue, and those for which assignments wait without one: a gateway that was cut off
    /// sends some after the queue of a node that is gone was removed.
    async fn nodes_with_queues(&self) -> Result<BTreeSet<NodeId>, async_nats::Error> {
        let mut nodes = BTreeSet::new();
        let mut names = self.link.jobs.consumer_names();
        while let Some(name) = names.try_next().await? {
            nodes.extend(Names::node_of_consumer(&self.model, &name));
        }
        let subjects = self.link.names.jobs_of_all(&self.model);
        let mut subjects = self.link.jobs.info_with_subjects(subjects).await?;
        while let Some((subject, _)) = subjects.try_next().await? {
            nodes.extend(Names::node_of_subject(&subject));
        }
        Ok(nodes)
    }
}
