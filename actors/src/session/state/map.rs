//! The map: windows and adjustments as they become due, and requests that it answers.

use pointstream_reconstruction::map::Corrections;

use super::State;
use crate::jobs::{JobFailure, JobPriority};
use crate::session::anchoring::Occasion;
use crate::session::generation::Generation;
use crate::session::generation_error::GenerationError;
use crate::session::ledger::{ChunkContent, FoundPlaces, Record};
use crate::session::map_window::WindowOutcome;
use crate::session::mapping::MapDemand;
use crate::session::progress;
use crate::session::requests::Request;

impl State {
    /// A request that the map answers, once it has all images.
    pub(super) fn start_on_map(&mut self, request: Request, demand: Option<MapDemand>) {
        self.note_start(&request, self.ledger.images().len());
        self.demand = demand;
        self.requests.start(request, None);
    }

    /// Starts the next window or an adjustment if it is due, one at a time, and answers the running
    /// request when the map has all that it needs.
    pub(super) fn advance_map(&mut self) {
        if self.shutdown.has_begun() && self.demand.is_none() {
            return;
        }
        let demand = self.demand.filter(|_| self.generation.is_none());
        if let Some(demand) = demand
            && self.adjusting.is_running()
        {
            // An adjustment changes nothing that such a request waits for.
            if !demand.finalizes && self.mapping.satisfies(&self.ledger, demand) {
                return self.answer_from_map();
            }
            self.adjusting.make_way();
        }
        if self.adjusting.is_running() {
            return self.show_map_progress();
        }
        let idle = !self.mapping.is_running();
        match demand.filter(|demand| self.mapping.satisfies(&self.ledger, *demand)) {
            Some(demand)
                if demand.finalizes && idle && self.adjusting.is_outdated(&self.ledger) =>
            {
                self.adjusting.start(&self.ledger, JobPriority::Requested);
            }
            Some(demand) => {
                if demand.finalizes {
                    self.anchor_map(Occasion::Now);
                }
                return self.answer_from_map();
            }
            None if demand.is_none() && idle && self.adjusting.is_due(&self.ledger) => {
                self.adjusting.start(&self.ledger, JobPriority::Ahead);
            }
            None => self.mapping.advance(&self.ledger, demand),
        }
        self.show_map_progress();
    }

    /// Removes the files of earlier maps, unless somebody may be reading them.
    pub(super) fn remove_old_chunks(&mut self) {
        let reads = self.requests.is_running()
            || self.followers.is_busy()
            || self.recording.has_answer()
            || self.results.is_writing();
        if reads {
            return;
        }
        let result = self.results.newest_stored();
        let of_result = result.and_then(|result| result.map());
        let names = self.old_chunks.take_needless(&self.ledger, of_result);
        if !names.is_empty() {
            self.recording.remove_later(names);
        }
    }

    pub(super) fn answer_from_map(&mut self) {
        let (Some((number, request)), Some(stored)) =
            (self.requests.running(), self.ledger.map().cloned())
        else {
            return;
        };
        let generation =
            Generation::of_map(&self.context, &self.ledger, &stored.map, request, number);
        let work = async move { generation.run_on_map(stored).await.map(Box::new) };
        self.answer_with(number, work);
    }

    pub(super) fn show_map_progress(&mut self) {
        let waits = self.demand.filter(|_| self.generation.is_none());
        if let (Some(demand), Some((number, _))) = (waits, self.requests.running()) {
            let found = self.mapping.progress_of(&self.ledger, demand);
            self.progress(number, progress::of_map(found));
        }
    }

    pub(super) fn window_ended(
        &mut self,
        number: u64,
        outcome: Result<WindowOutcome, GenerationError>,
    ) {
        match self.mapping.ended(number, outcome, &self.ledger) {
            None => {}
            Some(Ok(WindowOutcome::Described(places))) => self.note_places(places),
            Some(Ok(WindowOutcome::Chunk(chunk, places))) => {
                self.note_places(places);
                let begins = matches!(chunk.content, ChunkContent::First { .. });
                self.adjusting.chunk_added(begins, chunk.comes_back);
                if begins {
                    self.anchoring.begin();
                    self.old_chunks.note(&self.ledger);
                }
                self.record(Record::ChunkStored(chunk));
                self.encode_ahead.withdraw(&self.ledger);
                self.anchor_map(Occasion::Grown);
                self.mapping.note_map(&self.ledger, true);
                self.activity.touch();
            }
            Some(Ok(WindowOutcome::Joined(join))) => {
                if let Some(join) = join {
                    self.mapping.forget_piece(&self.ledger, join.from);
                    self.record(Record::PiecesJoined(join));
                    self.anchor_map(Occasion::Grown);
                }
                self.mapping.note_map(&self.ledger, false);
                self.activity.touch();
            }
            Some(Err(error)) => {
                if self.fits_in_smaller_windows(&error) {
                    return;
                }
                let waiting = self.demand.is_some() && self.generation.is_none();
                if waiting && let Some((number, _)) = self.requests.running() {
                    self.generation_ended(number, Err(error));
                }
            }
        }
    }

    /// Whether a run of the model has failed for want of memory, and windows of fewer frames may do.
    pub(super) fn fits_in_smaller_windows(&mut self, error: &GenerationError) -> bool {
        match error {
            GenerationError::Memory(advice) => {
                self.mapping.note_shortage(&self.ledger, &advice.shortage)
            }
            _ => false,
        }
    }

    pub(super) fn adjustment_ended(
        &mut self,
        number: u64,
        outcome: Result<Corrections, JobFailure>,
    ) {
        // It is done in the next process, as is what waits for it.
        if matches!(outcome, Err(JobFailure::ShuttingDown)) && self.ledger.is_kept() {
            self.adjusting.stop();
            if self.demand.is_some()
                && let Some((request, _)) = self.requests.running()
            {
                let failure = GenerationError::Job(JobFailure::ShuttingDown);
                self.generation_ended(request, Err(failure));
            }
            return;
        }
        if let Some(corrections) = self.adjusting.ended(number, outcome) {
            self.record(Record::MapCorrected(corrections));
            // What the model keeps of frames is where they were before.
            self.context.dispatcher.forget_maps(self.context.id);
            self.anchor_map(Occasion::Now);
            self.activity.touch();
        }
    }

    /// Gives the map the world of the cameras that the client knows, and takes its drift from them away.
    fn anchor_map(&mut self, occasion: Occasion) {
        if let Some(change) = self.anchoring.world_change(&self.ledger) {
            self.record(change);
        }
        if !self.anchoring.is_due(&self.ledger, occasion) {
            return;
        }
        if let Some(correction) = self.anchoring.correction(&self.ledger) {
            self.record(correction);
            // What the model keeps of frames is where they were before.
            self.context.dispatcher.forget_maps(self.context.id);
        }
    }

    pub(super) fn note_places(&mut self, places: FoundPlaces) {
        for (number, place) in places {
            self.record(Record::PlaceFound { number, place });
        }
    }
}
