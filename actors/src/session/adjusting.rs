//! When the map is adjusted, and what becomes of it.

use std::sync::Arc;

use pointstream_reconstruction::map::Corrections;
use tokio_util::sync::DropGuard;

use super::adjustment::Adjustment;
use super::context::Context;
use super::ledger::{Ledger, StoredMap};
use super::message::SessionMessage;
use crate::jobs::{JobFailure, JobPriority};

/// Growth of the map from one adjustment to the next. The time of one grows with the map, so a fixed
/// ratio keeps the time per image constant.
const GROWTH: f64 = 1.5;

/// The same if the camera has come back to a place, which shows how far the map has drifted.
const GROWTH_WITH_LOOP: f64 = 1.2;

/// Placed frames of the first adjustment, as a multiple of those of the first window.
const FIRST: f64 = 1.3;

/// The adjustments of the session's map. Dropping it cancels the one that runs.
pub(super) struct Adjusting {
    context: Context,
    running: Option<Running>,
    /// Number of the next adjustment.
    next: u64,
    /// Placed frames of the map when it was last adjusted.
    adjusted: usize,
    /// Chunks of the map when an adjustment last ended, whether it succeeded or not.
    tried: usize,
    /// Whether the camera has come back to a place since.
    loop_found: bool,
}

/// An adjustment whose job waits or runs.
struct Running {
    number: u64,
    priority: JobPriority,
    /// Whether a worker has started it, and it does not wait again.
    accepted: bool,
    /// Placed frames and chunks of the map.
    placed: usize,
    chunks: usize,
    /// Cancels the job when it is dropped.
    _cancel: DropGuard,
}

impl Adjusting {
    pub fn new(context: Context) -> Self {
        Self {
            context,
            running: None,
            next: 1,
            adjusted: 0,
            tried: 0,
            loop_found: false,
        }
    }

    /// Whether an adjustment waits or runs. No window may start then: its frames would be placed where
    /// the others no longer are.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Cancels the adjustment that waits or runs.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// An adjustment that nobody has started makes way for a client that waits.
    pub fn make_way(&mut self) {
        self.running
            .take_if(|running| running.priority == JobPriority::Ahead && !running.accepted);
    }

    /// The map has got a chunk, or has begun anew with one.
    pub fn chunk_added(&mut self, begins: bool, comes_back: bool) {
        if begins {
            (self.adjusted, self.tried, self.loop_found) = (0, 0, false);
        }
        self.loop_found |= comes_back;
    }

    /// Whether the map has grown enough to be adjusted ahead of a request.
    pub fn is_due(&self, ledger: &Ledger) -> bool {
        let Some(stored) = self.changed_map(ledger) else {
            return false;
        };
        let first = ledger.config().window_plan(true, usize::MAX).first as f64;
        let growth = match self.loop_found {
            true => GROWTH_WITH_LOOP,
            false => GROWTH,
        };
        let least = (FIRST * first).max(growth * self.adjusted as f64);
        !ledger.is_completed() && stored.map.placed().count() as f64 >= least
    }

    /// Whether an adjustment would change what a final result shows.
    pub fn is_outdated(&self, ledger: &Ledger) -> bool {
        self.changed_map(ledger).is_some()
    }

    /// The map, if it has changed since an adjustment was last tried, and the model can adjust it. One
    /// run of the model has adjusted its frames already.
    fn changed_map<'a>(&self, ledger: &'a Ledger) -> Option<&'a Arc<StoredMap>> {
        let stored = ledger.map()?;
        let able = self.context.settings.pool.model.metadata().adjust;
        (able && stored.files.len() > self.tried.max(1)).then_some(stored)
    }

    /// Starts an adjustment of all placed frames.
    pub fn start(&mut self, ledger: &Ledger, priority: JobPriority) {
        let Some(stored) = ledger.map() else {
            return;
        };
        let Some(work) = Adjustment::new(&self.context, ledger, stored) else {
            self.tried = stored.files.len();
            return;
        };
        let number = self.next;
        self.next += 1;
        let (placed, chunks) = (work.frames(), stored.files.len());
        let job = self.context.dispatcher.submit(work.spec(priority));
        self.running = Some(Running {
            number,
            priority,
            accepted: false,
            placed,
            chunks,
            _cancel: job.cancel_guard(),
        });
        let mailbox = self.context.mailbox.clone();
        let accepted = move |accepted| {
            mailbox.notify(SessionMessage::AdjustmentAccepted { number, accepted });
        };
        let work = work.corrections(job, accepted);
        self.context
            .mailbox
            .detached_work(work, move |outcome| SessionMessage::AdjustmentEnded {
                number,
                outcome,
            });
    }

    /// A worker has started an adjustment, or it waits again.
    pub fn accepted(&mut self, number: u64, accepted: bool) {
        if let Some(running) = &mut self.running
            && running.number == number
        {
            running.accepted = accepted;
        }
    }

    /// An adjustment has ended. Returns the corrections, if there are any and they are still wanted.
    pub fn ended(
        &mut self,
        number: u64,
        outcome: Result<Corrections, JobFailure>,
    ) -> Option<Corrections> {
        let running = self.running.take_if(|running| running.number == number)?;
        self.tried = running.chunks;
        match outcome {
            Ok(corrections) => {
                self.adjusted = running.placed;
                self.loop_found = false;
                (!corrections.is_empty()).then_some(corrections)
            }
            Err(error) => {
                tracing::warn!(%error, "the map was not adjusted");
                None
            }
        }
    }
}
