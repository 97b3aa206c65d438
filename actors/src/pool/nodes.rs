//! The workers of other machines: who comes and goes, and which sessions they know.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::seat::{RemoteSeat, Seat};
use super::slot::Slot;
use super::state::State;
use crate::errors::{RestartError, Unanswered};
use crate::ids::SessionId;
use crate::jobs::JobFailure;
use crate::mailbox::{Reply, answer};
use crate::remote::wire::Restarted;
use crate::remote::{NodeId, NodeRecord};

/// How long jobs wait while there is no worker at all, as one of another machine may come.
pub(super) const LONGEST_ABSENCE: Duration = Duration::from_secs(60);
/// Sessions whose last place is remembered. The oldest are forgotten.
const MAX_SESSIONS: usize = 4096;

/// Where the last job of each session ran: on a node, or on this machine.
#[derive(Debug, Default)]
pub(super) struct LastPlaces {
    of: HashMap<SessionId, (Option<NodeId>, u64)>,
    last: u64,
}

impl LastPlaces {
    /// The last place of a session. On this machine if the inner one is `None`.
    pub fn of(&self, session: SessionId) -> Option<Option<NodeId>> {
        self.of.get(&session).map(|(node, _)| *node)
    }

    pub fn note(&mut self, session: SessionId, node: Option<NodeId>) {
        self.last += 1;
        self.of.insert(session, (node, self.last));
        if self.of.len() > MAX_SESSIONS {
            let half = self.last.saturating_sub(MAX_SESSIONS as u64 / 2);
            self.of.retain(|_, (_, number)| *number > half);
        }
    }
}

impl State {
    /// Workers of other machines have come, gone, or changed.
    pub(super) async fn nodes_changed(&mut self, nodes: &[Arc<NodeRecord>]) {
        let Some(me) = self.gateway.as_ref().map(|gateway| gateway.id()) else {
            return;
        };
        for slot in &mut self.slots {
            let seat = slot.seat().remote().filter(|seat| !seat.is_gone());
            let Some((id, number)) = seat.map(|seat| (seat.node().id, seat.number())) else {
                continue;
            };
            let node = nodes.iter().find(|node| node.id == id);
            match node.filter(|node| number < node.workers.len()) {
                Some(node) => slot.update(node.clone(), free_workers(node, me)),
                None => slot.leave(),
            }
        }
        for node in nodes.iter().filter(|node| !node.is_ending) {
            for worker in 0..node.workers.len() {
                let is_seated = |slot: &Slot| {
                    let seat = slot.seat().remote();
                    seat.is_some_and(|seat| seat.is(node.id, worker))
                };
                if !self.slots.iter().any(is_seated) {
                    self.seat(node, worker, me).await;
                }
            }
        }
    }

    /// The idle worker for a job of a session: where its frames are encoded, or else one of this machine first.
    pub(super) fn place(&self, session: SessionId) -> Option<usize> {
        let last = self.places.of(session);
        let idle = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.is_idle());
        idle.min_by_key(|(_, slot)| {
            let node = slot.seat().remote().map(|seat| seat.node().id);
            (last != Some(node), node.is_some())
        })
        .map(|(index, _)| index)
    }

    /// Ends what has waited for long while there was no worker.
    pub(super) fn check_without_workers(&mut self) {
        let Some(gateway) = &self.gateway else {
            return;
        };
        if self.slots.iter().any(Slot::is_ready) {
            self.without_workers = None;
            return;
        }
        let since = *self.without_workers.get_or_insert_with(Instant::now);
        if since.elapsed() < LONGEST_ABSENCE {
            return;
        }
        let failure = self.present().find_map(Slot::last_failure);
        let reason = failure.map(str::to_owned).or(gateway.problem());
        let reason = reason.unwrap_or_else(|| {
            let seconds = LONGEST_ABSENCE.as_secs();
            format!(
                "none has been connected for {seconds} s; start one with pointstream worker --nats"
            )
        });
        for job in self.queue.take_waiting(Instant::now(), LONGEST_ABSENCE) {
            self.end(job, Err(JobFailure::NoWorker(reason.clone())));
        }
    }

    /// Has another machine restart a worker. Its process answers, and its job goes on when it has started again.
    pub(super) fn restart_elsewhere(&self, index: usize, reply: Reply<Result<(), RestartError>>) {
        let workers = self.slots.len();
        let seat = self.slots.get(index).and_then(|slot| slot.seat().remote());
        let (Some(seat), Some(gateway)) = (seat, self.gateway.clone()) else {
            return answer(reply, Err(RestartError::NoSuchWorker { index, workers }));
        };
        let (node, worker) = (seat.node().id, seat.number());
        tokio::spawn(async move {
            let restarted = gateway.restart(node, worker).await;
            answer(reply, outcome(restarted, index, workers));
        });
    }

    /// A worker of another machine has come.
    async fn seat(&mut self, node: &Arc<NodeRecord>, worker: usize, me: uuid::Uuid) {
        let mut seat = RemoteSeat::new(node.clone(), worker);
        seat.update(node.clone(), free_workers(node, me));
        let vacant = self.slots.iter().position(Slot::is_vacant);
        let index = match vacant {
            Some(index) => {
                self.slots[index].take_seat(seat);
                index
            }
            None => {
                let index = self.slots.len();
                let metrics = self.metrics.pool.worker(index, "remote");
                self.slots
                    .push(Slot::new(index, Seat::There(seat), metrics));
                index
            }
        };
        self.spawn_worker(index).await;
    }
}

/// What an operator is told of a restart on another machine.
fn outcome(restarted: Option<Restarted>, index: usize, workers: usize) -> Result<(), RestartError> {
    match restarted {
        Some(Restarted::Yes) => Ok(()),
        Some(Restarted::NoSuchWorker) => Err(RestartError::NoSuchWorker { index, workers }),
        Some(Restarted::Starting) => Err(RestartError::Starting { index }),
        Some(Restarted::TooSoon { seconds }) => Err(RestartError::TooSoon { index, seconds }),
        None => Err(Unanswered::Busy.into()),
    }
}

/// How many workers of a node are for the jobs of this gateway: those that others do not use.
fn free_workers(node: &NodeRecord, me: uuid::Uuid) -> usize {
    if node.is_ending {
        return 0;
    }
    let ready = node.workers.iter().filter(|worker| worker.is_ready).count();
    let others = node.assignments.iter();
    let others = others.filter(|(gateway, _)| **gateway != me);
    ready.saturating_sub(others.map(|(_, assignments)| assignments).sum())
}
