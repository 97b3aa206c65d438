//! Where the worker of a slot is.

use std::sync::Arc;

use pointstream_reconstruction::model::Device;

use crate::remote::{NodeId, NodeRecord, NodeWorker};

/// Where the worker of a slot is.
#[derive(Debug)]
pub(super) enum Seat {
    /// On a device of this machine.
    Here(Device),
    /// On another machine.
    There(RemoteSeat),
}

/// A worker of another machine.
#[derive(Debug)]
pub(super) struct RemoteSeat {
    node: Arc<NodeRecord>,
    /// Which of its workers.
    worker: usize,
    /// Whether other gateways leave it to this one.
    is_free: bool,
    is_gone: bool,
}

impl RemoteSeat {
    pub fn new(node: Arc<NodeRecord>, worker: usize) -> Self {
        Self {
            node,
            worker,
            is_free: false,
            is_gone: false,
        }
    }

    pub fn node(&self) -> &Arc<NodeRecord> {
        &self.node
    }

    pub fn worker(&self) -> Option<&NodeWorker> {
        self.node.workers.get(self.worker)
    }

    /// Its number on its machine.
    pub fn number(&self) -> usize {
        self.worker
    }

    pub fn is(&self, node: NodeId, worker: usize) -> bool {
        !self.is_gone && self.node.id == node && self.worker == worker
    }

    /// The node has presented itself. `free` of its workers are for this gateway.
    pub fn update(&mut self, node: Arc<NodeRecord>, free: usize) {
        self.node = node;
        let before = self.node.workers.iter().take(self.worker);
        let rank = before.filter(|worker| worker.is_ready).count();
        self.is_free = self.is_ready() && rank < free;
    }

    /// Whether its model is loaded.
    pub fn is_ready(&self) -> bool {
        self.worker().is_some_and(|worker| worker.is_ready)
    }

    /// Whether it may get a job.
    pub fn is_free(&self) -> bool {
        self.is_free && !self.is_gone
    }

    /// Its node says nothing any more, or has ended.
    pub fn leave(&mut self) {
        self.is_gone = true;
    }

    pub fn is_gone(&self) -> bool {
        self.is_gone
    }
}

impl Seat {
    /// The device, wherever it is.
    pub fn device(&self) -> String {
        match self {
            Self::Here(device) => device.to_string(),
            Self::There(seat) => seat
                .worker()
                .map_or_else(String::new, |worker| worker.device.clone()),
        }
    }

    /// The seat on another machine.
    pub fn remote(&self) -> Option<&RemoteSeat> {
        match self {
            Self::Here(_) => None,
            Self::There(seat) => Some(seat),
        }
    }

    pub fn remote_mut(&mut self) -> Option<&mut RemoteSeat> {
        match self {
            Self::Here(_) => None,
            Self::There(seat) => Some(seat),
        }
    }
}

/// What operators see.
impl std::fmt::Display for Seat {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(device) => write!(formatter, "{device}"),
            Self::There(seat) => {
                let device = seat.worker().map_or("no device", |worker| &worker.device);
                write!(formatter, "{device} on {}", seat.node.host)
            }
        }
    }
}
