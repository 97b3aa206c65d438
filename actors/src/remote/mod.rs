//! Workers in other processes, reached over NATS.
//!
//! A *gateway* is a process that has sessions, a *node* one that only has workers. The pool of a gateway has a
//! [remote worker](crate::pool) for each worker of each node of its model, beside those of its own devices,
//! so one queue is fair to all clients wherever their jobs run.
//!
//! ```text
//! gateway                              JetStream                             node
//! remote worker --- assignment ------> work queue, one subject a node -----> pool of local workers
//!               <-- report ----------- stream, one subject a gateway <------
//!               --- frames ----------> blobs, sealed ----------------------> files of the node
//!               <-- predictions ------                <---------------------
//!               <-- presence --------- key-value, entries expire <----------
//!               <-- progress, control -> (plain messages, which may be lost)
//! ```
//!
//! What must not be lost is JetStream's: it delivers an assignment again if its node does not confirm that it
//! computes, it counts deliveries, and it forgets nodes that no longer report. The nodes that are left
//! take over the queue of one that is gone. An assignment that was delivered too often is kept for the
//! operator, and its gateway gets an error.

pub(crate) mod exchange;
pub(crate) mod gateway;
pub(crate) mod link;
pub(crate) mod names;
mod node;
pub(crate) mod sealed;
mod settings;
pub(crate) mod wire;

use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

pub use link::LinkError;
pub use node::{Node, NodeSettings, NodeStartError, NodeStatus};
pub use settings::{BadBlobPlace, BlobPlace, NatsSettings};
pub use wire::{NodeId, NodeRecord, NodeWorker};

/// How long it waits before a part that panicked begins again.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Runs a part of a process until it returns, and again if it panics. Dropping the future ends it.
pub(crate) async fn again<F>(what: &'static str, part: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match AbortOnDropHandle::new(tokio::spawn(part())).await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, "{what} failed; beginning again"),
        }
        tokio::time::sleep(RESTART_DELAY).await;
    }
}
