//! What a gateway receives: the presence of nodes, progress and reports.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::kv::Operation;
use futures_util::StreamExt as _;

use super::{Gateway, lock};
use crate::remote::link::{Link, PostError, Role};
use crate::remote::names::Names;
use crate::remote::wire::{
    self, NODE_LEASE, NodeId, NodeRecord, Outcome, Progress, Report, Welcome,
};

/// How long it waits before it tries again to reach NATS.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// How long JetStream waits before it delivers a report again.
const REPORT_ACK_WAIT: Duration = Duration::from_secs(30);
/// JetStream forgets the queue of a gateway that has not asked for reports for so long.
const FORGET_AFTER: Duration = Duration::from_secs(2 * 3600);
/// How often nodes that say nothing are looked for.
const LEASE_CHECK: Duration = Duration::from_secs(1);

/// A node and when it was last heard of.
struct Heard {
    record: Arc<NodeRecord>,
    at: Instant,
}

impl Gateway {
    /// Connects and receives, for ever.
    pub(super) async fn receive(self: Arc<Self>) {
        let link = loop {
            match Link::open(&self.settings, Role::Gateway, "pointstream server").await {
                Ok(link) => break Arc::new(link),
                Err(error) => {
                    tracing::warn!(%error, retry_in = ?RETRY_DELAY, "no workers of other machines");
                    *lock(&self.problem) = Some(error.to_string());
                }
            }
            tokio::time::sleep(RETRY_DELAY).await;
        };
        *lock(&self.problem) = None;
        self.link.send_replace(Some(link.clone()));
        tokio::join!(
            self.receive_reports(&link),
            self.receive_progress(&link),
            self.follow_nodes(&link),
            self.welcome_nodes(&link),
        );
    }

    /// Reads the reports of its assignments. Each is confirmed once it was read.
    async fn receive_reports(&self, link: &Link) {
        let name = Names::consumer_of_reports(self.id);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            filter_subject: link.names.reports_to(self.id),
            ack_policy: AckPolicy::Explicit,
            ack_wait: REPORT_ACK_WAIT,
            inactive_threshold: FORGET_AFTER,
            ..pull::Config::default()
        };
        loop {
            let consumer = link
                .reports
                .get_or_create_consumer(&name, config.clone())
                .await;
            let messages = match consumer {
                Ok(consumer) => consumer.messages().await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match messages {
                Ok(mut messages) => {
                    while let Some(Ok(message)) = messages.next().await {
                        self.report_came(link, &message.payload).await;
                        if let Err(error) = message.ack().await {
                            tracing::debug!(%error, "a report comes again");
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "no reports of workers of other machines"),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    async fn report_came(&self, link: &Link, payload: &[u8]) {
        let report = link.open_letter::<Report>(payload).await;
        link.discard_letter(payload).await;
        match report {
            Ok(report) => {
                let waiting = self.waiting().remove(&report.assignment);
                let unwanted = match waiting {
                    Some(waiting) => waiting.report.send(report).err(),
                    None => Some(report),
                };
                if let Some(report) = unwanted {
                    discard(link, report).await;
                }
            }
            Err(error @ PostError::Bad(_)) => {
                tracing::error!(%error, "a report of a worker is wrong");
            }
            Err(error) => tracing::error!(%error, "a report of a worker is lost"),
        }
    }

    async fn receive_progress(&self, link: &Link) {
        loop {
            match link.client.subscribe(link.names.progress_to(self.id)).await {
                Ok(mut messages) => {
                    while let Some(message) = messages.next().await {
                        match wire::read::<Progress>(&message.payload) {
                            Ok(progress) => self.progress_came(progress),
                            Err(error) => tracing::debug!(%error, "progress of a worker is wrong"),
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "no progress of workers of other machines"),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    fn progress_came(&self, progress: Progress) {
        if let Some(waiting) = self.waiting().get(&progress.assignment) {
            drop(waiting.progress.try_send(progress));
        }
    }

    /// Publishes which nodes are there.
    async fn follow_nodes(&self, link: &Link) {
        let mut heard = HashMap::new();
        loop {
            match link.nodes.watch_with_history(">").await {
                Ok(mut entries) => {
                    let mut check = tokio::time::interval(LEASE_CHECK);
                    loop {
                        tokio::select! {
                            entry = entries.next() => match entry {
                                Some(Ok(entry)) => self.node_changed(&mut heard, &entry),
                                Some(Err(error)) => {
                                    tracing::debug!(%error, "the nodes are read again");
                                    break;
                                }
                                None => break,
                            },
                            _ = check.tick() => {}
                        }
                        self.publish_nodes(&mut heard);
                    }
                }
                Err(error) => tracing::warn!(%error, "the workers of other machines are not known"),
            }
            self.publish_nodes(&mut heard);
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    fn node_changed(
        &self,
        heard: &mut HashMap<NodeId, Heard>,
        entry: &async_nats::jetstream::kv::Entry,
    ) {
        let Ok(id) = entry.key.parse::<NodeId>() else {
            return;
        };
        if entry.operation != Operation::Put {
            heard.remove(&id);
            return;
        }
        match wire::read::<NodeRecord>(&entry.value) {
            Ok(record) if record.id == id => {
                let record = Arc::new(record);
                let at = Instant::now();
                heard.insert(id, Heard { record, at });
            }
            // Of another version: it is told so when it asks.
            Ok(_) | Err(_) => tracing::debug!(node = %id, "a node presents itself in another way"),
        }
    }

    fn publish_nodes(&self, heard: &mut HashMap<NodeId, Heard>) {
        heard.retain(|_, node| node.at.elapsed() < NODE_LEASE);
        let model = self.model.metadata();
        let mut nodes: Vec<_> = heard
            .values()
            .map(|node| node.record.clone())
            .filter(|record| record.suits(model) == Welcome::Yes)
            .collect();
        nodes.sort_by_key(|record| record.id);
        self.nodes.send_if_modified(|known| {
            let changed = *known != nodes;
            *known = nodes;
            changed
        });
    }

    /// Answers nodes that ask whether they are welcome.
    async fn welcome_nodes(&self, link: &Link) {
        loop {
            let subject = link.names.join();
            match link.client.queue_subscribe(subject.clone(), subject).await {
                Ok(mut questions) => {
                    while let Some(question) = questions.next().await {
                        let Some(reply) = question.reply else {
                            continue;
                        };
                        let answer = match wire::read::<NodeRecord>(&question.payload) {
                            Ok(record) => {
                                let answer = record.suits(self.model.metadata());
                                if let Welcome::No(reason) = &answer {
                                    tracing::warn!(node = %record.id, host = record.host, %reason, "a worker is refused");
                                }
                                answer
                            }
                            Err(error) => Welcome::No(format!(
                                "the server does not understand the worker: {error}; install the same version"
                            )),
                        };
                        link.tell(reply.to_string(), &answer).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "workers cannot ask to join"),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
}

/// Removes the results of a report that nobody waits for.
async fn discard(link: &Link, report: Report) {
    tracing::debug!(assignment = %report.assignment, "a report comes too late");
    if let Outcome::Ended(ends) = report.outcome {
        let results = ends.into_iter().flatten().filter_map(|done| done.result);
        for blob in results {
            link.remove(&blob).await;
        }
    }
}
