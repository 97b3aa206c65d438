//! How a node presents itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{NodeStartError, Shared};
use crate::jobs::Dispatcher as _;
use crate::remote::wire::{self, NODE_LEASE, NodeRecord, NodeWorker, PROTOCOL, Welcome};

/// How often it presents itself when nothing has changed: a lost message must not end its lease.
const INTERVAL: Duration = Duration::from_secs(NODE_LEASE.as_secs() / 4);
/// Changes within this time are presented together.
const PAUSE: Duration = Duration::from_millis(50);
/// How long it waits before it asks again whether it is welcome.
const JOIN_RETRY: Duration = Duration::from_secs(2);

/// What a node has to do.
#[derive(Default)]
pub(super) struct Load {
    /// Assignments that run or wait, by gateway.
    assignments: Mutex<BTreeMap<Uuid, usize>>,
    is_ending: AtomicBool,
}

/// An assignment of a gateway that is here; not any more when it is dropped.
pub(super) struct Counted {
    shared: Arc<Shared>,
    gateway: Uuid,
}

impl Load {
    fn by_gateway(&self) -> MutexGuard<'_, BTreeMap<Uuid, usize>> {
        // Numbers are changed one at a time, so they are valid after a panic too.
        self.assignments
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub fn assignments(&self) -> usize {
        self.by_gateway().values().sum()
    }

    /// It takes no more assignments.
    pub fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut assignments = self.shared.load.by_gateway();
        if let Some(count) = assignments.get_mut(&self.gateway) {
            *count = count.saturating_sub(1);
        }
        assignments.retain(|_, count| *count > 0);
        drop(assignments);
        self.shared.changed.send_replace(());
    }
}

impl Shared {
    /// Counts an assignment of a gateway as one that is here.
    pub fn count(self: &Arc<Self>, gateway: Uuid) -> Counted {
        *self.load.by_gateway().entry(gateway).or_default() += 1;
        self.changed.send_replace(());
        Counted {
            shared: self.clone(),
            gateway,
        }
    }

    /// Asks whether the node is welcome, until a server answers.
    ///
    /// # Errors
    /// [`NodeStartError::Refused`] if it is not.
    pub async fn join(&self) -> Result<(), NodeStartError> {
        let mut has_waited = false;
        loop {
            let record = self.record().await;
            let question = serde_json::to_vec(&record);
            let question = question.map_err(|error| NodeStartError::Actors(error.to_string()))?;
            let subject = self.link.names.join();
            let asked = self.link.client.request(subject, question.into()).await;
            let answer = asked
                .map_err(|error| error.to_string())
                .and_then(|message| {
                    wire::read::<Welcome>(&message.payload).map_err(|error| error.to_string())
                });
            match answer {
                Ok(Welcome::Yes) => return Ok(()),
                Ok(Welcome::No(reason)) => return Err(NodeStartError::Refused(reason)),
                Err(error) if !has_waited => {
                    tracing::info!(%error, "waiting for a server: pointstream serve --nats with the same address");
                    has_waited = true;
                }
                Err(error) => tracing::debug!(%error, "no server answers yet"),
            }
            tokio::time::sleep(JOIN_RETRY).await;
        }
    }

    /// Presents the node when something has changed, and now and then, until `stop`.
    pub async fn present(self: Arc<Self>, stop: CancellationToken) {
        let mut changed = self.changed.subscribe();
        let mut readiness = self.dispatcher.readiness();
        let mut is_ending = false;
        while !is_ending {
            // Its end is presented, too: gateways send no more.
            is_ending = stop.is_cancelled();
            let record = self.record().await;
            match serde_json::to_vec(&record) {
                Ok(record) => {
                    let put = self.link.nodes.put(self.id.to_string(), record.into());
                    if let Err(error) = put.await {
                        tracing::warn!(%error, "the node cannot present itself; it tries again");
                    }
                }
                Err(error) => tracing::error!(%error, "the node cannot present itself"),
            }
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                _ = changed.changed() => {}
                _ = readiness.changed() => {}
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.cancelled(), if !is_ending => {}
            }
        }
    }

    async fn record(&self) -> NodeRecord {
        let settings = &self.settings;
        let model = settings.pool.model.metadata();
        let size = settings.pool.usual_size();
        let workers = self.dispatcher.workers().into_iter();
        NodeRecord {
            id: self.id,
            host: settings.host.clone(),
            version: settings.version.clone(),
            protocol: PROTOCOL,
            model: model.name.clone(),
            model_version: model.version.clone(),
            contract_version: model.contract_version,
            digest: model.digest.clone(),
            workers: workers
                .map(|(device, is_ready)| NodeWorker {
                    device: device.to_string(),
                    is_ready,
                    frames_per_call: settings.pool.frames_per_call(device, size),
                })
                .collect(),
            assignments: self.load.by_gateway().clone(),
            takes_frames: self.dispatcher.encode_ahead_limit(size) > 0,
            is_ending: self.load.is_ending.load(Ordering::Relaxed),
        }
    }
}
