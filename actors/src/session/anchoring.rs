//! When the cameras that the client knows act on the map.

use super::context::Context;
use super::ledger::{Ledger, Record};

/// Growth of a map that the model extends from one correction to the next. A correction moves all frames,
/// so a fixed ratio keeps the cost per image constant.
const GROWTH: f64 = 1.2;

/// What the known cameras have done to the session's map.
pub(super) struct Anchoring {
    context: Context,
    /// Placed frames of the map when it was last compared with them.
    compared: usize,
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The map has a new chunk, or its pieces were joined.
    Grown,
    /// All frames have moved, or a final result is made.
    Now,
}

impl Anchoring {
    pub fn new(context: Context) -> Self {
        Self {
            context,
            compared: 0,
        }
    }

    /// The map begins anew.
    pub fn begin(&mut self) {
        self.compared = 0;
    }

    /// How the map gets the world of the known cameras, if it can have it now.
    pub fn world_change(&self, ledger: &Ledger) -> Option<Record> {
        let stored = ledger.map()?;
        let scale = self.context.settings.pool.model.metadata().scale;
        let change = stored.map.world_change(&ledger.known_cameras(), scale)?;
        Some(Record::WorldChanged(change))
    }

    /// Whether the map is compared with the known cameras now. The chunks of joined windows are corrected
    /// with their graph.
    pub fn is_due(&mut self, ledger: &Ledger, occasion: Occasion) -> bool {
        let Some(stored) = ledger.map() else {
            return false;
        };
        let placed = stored.map.placed().count();
        let is_due = occasion == Occasion::Now || placed as f64 >= GROWTH * self.compared as f64;
        let extends = self.context.settings.pool.model.metadata().extend;
        if !extends || !is_due || !stored.map.has_known_world() {
            return false;
        }
        self.compared = placed;
        true
    }

    /// How the map is corrected by the known cameras, if it has drifted from them.
    pub fn correction(&self, ledger: &Ledger) -> Option<Record> {
        let stored = ledger.map()?;
        let scale = self.context.settings.pool.model.metadata().scale;
        let corrections = stored
            .map
            .anchor_corrections(&ledger.known_cameras(), scale)?;
        Some(Record::MapCorrected(corrections))
    }
}
