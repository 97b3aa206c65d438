//! The work on the session's map: one window after another, ahead of requests and for them.

use pointstream_reconstruction::image::is_croppable;
use pointstream_reconstruction::map::{Window, WindowPlan};
use tokio_util::sync::DropGuard;

use super::context::Context;
use super::generation_error::GenerationError;
use super::ledger::{Image, Ledger};
use super::map_window::{MapWindow, WindowOutcome};
use super::message::SessionMessage;
use crate::blobs::BlobName;
use crate::jobs::JobPriority;
use crate::session_config::FinalizeMode;
use crate::session_event::{Progress, Stage};

/// Frames of the latest windows whose encoded form is kept, in windows.
const KEPT_WINDOWS: usize = 3;

/// Images that one run of the model takes for a final result, unless the client asks for another way:
/// it places them all at once, which is more exact, but its time grows with each of them.
const MOST_AT_ONCE: usize = 120;

/// The session's work on its map. Dropping it cancels the window that runs.
pub(super) struct Mapping {
    context: Context,
    running: Option<RunningWindow>,
    /// Number of the next window.
    next: u64,
    /// Frames up to this number were given vectors, as far as the model gives them.
    described: u64,
    /// Images that the session had when a window failed: it is not tried again ahead of a request
    /// before others come.
    failed_at: Option<usize>,
    /// Frames up to this number that could not be placed were tried again for a `finalize`.
    retried: u64,
    /// The last of those that are being tried again.
    retrying: Option<u64>,
}

/// A window whose job waits or runs.
struct RunningWindow {
    number: u64,
    priority: JobPriority,
    /// New frames.
    frames: usize,
    /// Whether a worker has started it.
    accepted: bool,
    /// Share of the window that is done.
    fraction: f32,
    /// Cancels the job when it is dropped.
    _cancel: DropGuard,
}

/// What a request needs of the map.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapDemand {
    /// All images with a smaller number.
    pub before: u64,
    /// Whether frames that could not be placed are tried once more.
    pub retries: bool,
}

/// How far the map is with what a request needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MapProgress {
    /// Frames that the map has.
    pub done: usize,
    /// Frames that the request covers.
    pub total: usize,
    /// Share of the running window that is done, times its frames.
    pub running: f32,
}

impl Mapping {
    pub fn new(context: Context) -> Self {
        Self {
            context,
            running: None,
            next: 1,
            described: 0,
            failed_at: None,
            retried: 0,
            retrying: None,
        }
    }

    /// How many frames a run of the model gets in this session; `None` if all of them.
    fn plan(&self, ledger: &Ledger) -> Option<WindowPlan> {
        let model = self.context.settings.model.metadata();
        model.extend.then(|| ledger.config().window_plan())
    }

    /// What a request needs of the map, or `None` if one run of the model answers it.
    pub fn demand(&self, ledger: &Ledger, before: u64, finalizes: bool) -> Option<MapDemand> {
        let plan = self.plan(ledger)?;
        let images = ledger.images().iter();
        let covered = images.filter(|image| image.number < before).count();
        let whole = finalizes
            && match ledger.config().finalize_mode {
                FinalizeMode::Whole => true,
                FinalizeMode::Auto => covered <= MOST_AT_ONCE,
                FinalizeMode::Refine => false,
            };
        (covered > plan.first && !whole).then_some(MapDemand {
            before,
            retries: finalizes,
        })
    }

    /// Cancels the window that runs: no request needs it any more.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Whether the map has all that a request needs.
    pub fn satisfies(&self, ledger: &Ledger, demand: MapDemand) -> bool {
        let waits = !self.waiting(ledger, demand.before).is_empty();
        let retries = self.running.is_some() || self.missed(ledger).next().is_some();
        ledger.map().is_some() && !waits && !(demand.retries && retries)
    }

    /// Starts the next window if it is due: for a request, or ahead of one when a whole window of new
    /// frames waits.
    pub fn advance(&mut self, ledger: &Ledger, demand: Option<MapDemand>) {
        if demand.is_some() {
            self.hurry();
        }
        if self.running.is_some() {
            return;
        }
        let Some((window, priority)) = self.next_window(ledger, demand) else {
            return;
        };
        if window.begins() && ledger.map().is_some() {
            // What the model keeps of frames is in the coordinates of the old map.
            self.context.dispatcher.forget(self.context.id);
        }
        let describes = self.context.settings.model.metadata().describe && !window.begins();
        let Some(window) = MapWindow::new(&self.context, ledger, &window) else {
            return;
        };
        let unknown = window.without_place(ledger.places());
        if describes && unknown.iter().any(|number| *number > self.described) {
            self.described = unknown.into_iter().fold(self.described, u64::max);
            self.describe(window, priority);
        } else {
            self.start(window, priority);
        }
    }

    /// A queued window that a client waits for now is submitted again.
    fn hurry(&mut self) {
        self.running
            .take_if(|running| running.priority == JobPriority::Ahead && !running.accepted);
    }

    fn next_window(
        &mut self,
        ledger: &Ledger,
        demand: Option<MapDemand>,
    ) -> Option<(Window, JobPriority)> {
        let plan = self.plan(ledger)?;
        let map = ledger.map().map(|stored| &stored.map);
        let places = ledger.places();
        if let Some(demand) = demand {
            let waiting = self.waiting(ledger, demand.before);
            let priority = JobPriority::Requested;
            if let Some(window) = Window::next(map, &waiting, places, plan) {
                return Some((window, priority));
            }
            let missed: Vec<u64> = self.missed(ledger).take(plan.new).collect();
            if demand.retries
                && let Some(last) = missed.last()
            {
                self.retrying = Some(*last);
                return Some((Window::next(map, &missed, places, plan)?, priority));
            }
        }
        let images = ledger.images();
        let wanted = match ledger.config().finalize_mode {
            FinalizeMode::Whole => false,
            FinalizeMode::Refine => true,
            // A client that asks for no updates gets its result from one run.
            FinalizeMode::Auto => ledger.next_request() > 1 || images.len() > MOST_AT_ONCE,
        };
        if ledger.is_completed() || !wanted || self.failed_at == Some(images.len()) {
            return None;
        }
        let least = match map {
            None => plan.first + 1,
            Some(_) => plan.new,
        };
        let waiting = self.waiting(ledger, u64::MAX);
        if waiting.len() < least {
            return None;
        }
        Some((
            Window::next(map, &waiting, places, plan)?,
            JobPriority::Ahead,
        ))
    }

    /// Gives vectors to the new frames of a window, by which its placed frames are chosen.
    fn describe(&mut self, window: MapWindow, priority: JobPriority) {
        let job = window.describe(priority);
        let number = self.note_running(0, priority, job.cancel_guard());
        let work = window.described(job);
        self.context
            .mailbox
            .detached_work(work, move |outcome| SessionMessage::WindowEnded {
                number,
                outcome,
            });
    }

    fn start(&mut self, window: MapWindow, priority: JobPriority) {
        let frames = window.numbers().count();
        let job = window.submit(priority);
        let number = self.note_running(frames, priority, job.cancel_guard());
        let mailbox = self.context.mailbox.clone();
        let report = move |progress| {
            mailbox.notify(SessionMessage::WindowProgress { number, progress });
        };
        let work = window.run(job, report);
        self.context
            .mailbox
            .detached_work(work, move |outcome| SessionMessage::WindowEnded {
                number,
                outcome,
            });
    }

    fn note_running(&mut self, frames: usize, priority: JobPriority, cancel: DropGuard) -> u64 {
        let number = self.next;
        self.next += 1;
        self.running = Some(RunningWindow {
            number,
            priority,
            frames,
            accepted: false,
            fraction: 0.0,
            _cancel: cancel,
        });
        number
    }

    /// Progress of a window.
    pub fn progress(&mut self, number: u64, progress: &Progress) {
        if let Some(running) = &mut self.running
            && running.number == number
        {
            running.accepted |= progress.fraction > 0.0 || progress.stage > Stage::LoadingModel;
            running.fraction = running.fraction.max(progress.fraction);
        }
    }

    /// A window has ended. Returns the chunk, if the window is still wanted.
    pub fn ended(
        &mut self,
        number: u64,
        outcome: Result<WindowOutcome, GenerationError>,
        ledger: &Ledger,
    ) -> Option<Result<WindowOutcome, GenerationError>> {
        let wanted = self.running.take_if(|running| running.number == number);
        if wanted.is_none() {
            if let Ok(WindowOutcome::Chunk(chunk, _)) = outcome {
                let names = [
                    BlobName::Prediction(chunk.file),
                    BlobName::ChunkPoints(chunk.file),
                ];
                self.context.remove(names);
            }
            return None;
        }
        match &outcome {
            Ok(WindowOutcome::Described(_)) => self.failed_at = None,
            Ok(WindowOutcome::Chunk(..)) => {
                self.failed_at = None;
                self.retried = self.retrying.take().unwrap_or(self.retried);
            }
            Err(error) => {
                self.retrying = None;
                tracing::warn!(%error, "a window of the map failed");
                self.failed_at = Some(ledger.images().len());
            }
        }
        Some(outcome)
    }

    /// The map has grown: what the model keeps of old frames is dropped.
    pub fn forget_old_frames(&self, ledger: &Ledger) {
        let (Some(plan), Some(stored)) = (self.plan(ledger), ledger.map()) else {
            return;
        };
        let kept = KEPT_WINDOWS * plan.first;
        let placed = stored.map.placed().rev().skip(kept).take(plan.first);
        let frames: Vec<_> = placed
            .map(|(number, _)| self.context.key(BlobName::Prepared(number)))
            .collect();
        self.context
            .dispatcher
            .forget_frames(self.context.id, &frames);
    }

    /// How far the map is with what a request needs.
    pub fn progress_of(&self, ledger: &Ledger, demand: MapDemand) -> MapProgress {
        let waiting = self.waiting(ledger, demand.before).len();
        let done = ledger.map().map_or(0, |stored| {
            let images = ledger.images().iter();
            let of_request = images.filter(|image| image.number < demand.before);
            of_request
                .filter(|image| stored.map.contains(image.number))
                .count()
        });
        let running = self.running.as_ref();
        MapProgress {
            done,
            total: done + waiting,
            running: running.map_or(0.0, |running| running.fraction * running.frames as f32),
        }
    }

    /// Numbers of the images that the map should have and has not.
    fn waiting(&self, ledger: &Ledger, before: u64) -> Vec<u64> {
        let images = ledger.images().iter();
        let images = images.filter(|image| image.number < before);
        let waits = |image: &&Image| match ledger.map() {
            None => true,
            Some(stored) => {
                is_croppable(image.size, stored.map.size()) && !stored.map.contains(image.number)
            }
        };
        images.filter(waits).map(|image| image.number).collect()
    }

    /// Numbers of the frames that could not be placed and were not tried again, if the map has enough
    /// others to place them.
    fn missed<'a>(&self, ledger: &'a Ledger) -> impl Iterator<Item = u64> + use<'a> {
        let retried = self.retried;
        let map = ledger.map().map(|stored| &stored.map);
        let map = map.filter(|map| map.can_be_extended());
        let missed = map.into_iter().flat_map(|map| map.missed());
        missed.filter(move |number| *number > retried)
    }
}
