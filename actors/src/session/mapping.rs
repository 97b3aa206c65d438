//! The work on the session's map: one window after another, ahead of requests and for them.

use pointstream_reconstruction::map::{Window, WindowKind, WindowPlan};
use pointstream_reconstruction::model::Shortage;
use tokio_util::sync::DropGuard;

use super::context::Context;
use super::follow_ups::FollowUps;
use super::generation_error::GenerationError;
use super::ledger::Ledger;
use super::map_window::{MapWindow, WindowOutcome};
use super::memory_limits::MemoryLimits;
use super::message::SessionMessage;
use super::recent_windows::RecentWindows;
use super::settled::{Settled, waits};
use crate::blobs::BlobName;
use crate::jobs::JobPriority;
use crate::session_config::FinalizeMode;
use crate::session_event::{Progress, Stage};

/// The session's work on its map. Dropping it cancels the window that runs.
pub(super) struct Mapping {
    context: Context,
    running: Option<RunningWindow>,
    /// Number of the next window.
    next: u64,
    settled: Settled,
    recent: RecentWindows,
    /// Frames up to this number were given vectors, as far as the model gives them.
    described: u64,
    /// Images that the session had when a window failed: it is not tried again ahead of a request
    /// before others come.
    failed_at: Option<usize>,
    /// Frames up to this number that could not be placed were tried again for a `finalize`.
    retried: u64,
    /// The last of those that are being tried again.
    retrying: Option<u64>,
    follow_ups: FollowUps,
    limits: MemoryLimits,
}

/// A window whose job waits or runs.
struct RunningWindow {
    number: u64,
    priority: JobPriority,
    /// New frames.
    frames: usize,
    /// Whether a worker has started it, and it does not wait again.
    accepted: bool,
    /// Share of the window that is done.
    fraction: f32,
    /// Whether it follows from what an earlier window found.
    follows_up: bool,
    /// Cancels the job when it is dropped.
    _cancel: DropGuard,
}

/// What a request needs of the map.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapDemand {
    /// All images with a smaller number.
    pub before: u64,
    /// Whether it is the final result: frames that could not be placed are tried once more, and the
    /// map is adjusted.
    pub finalizes: bool,
}

/// How far the map is with what a request needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MapProgress {
    /// Images that the map has or leaves out.
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
            settled: Settled::default(),
            recent: RecentWindows::default(),
            described: 0,
            failed_at: None,
            retried: 0,
            retrying: None,
            follow_ups: FollowUps::default(),
            limits: MemoryLimits::default(),
        }
    }

    /// How many frames a run of the model gets in this session.
    fn plan(&self, ledger: &Ledger) -> WindowPlan {
        let model = self.context.settings.pool.model.metadata();
        self.limits.plan(ledger.config(), model.extend)
    }

    /// What a request needs of the map, or `None` if one run of the model answers it.
    pub fn demand(&self, ledger: &Ledger, before: u64, finalizes: bool) -> Option<MapDemand> {
        let covered = covered(ledger, before);
        let whole = finalizes
            && match ledger.config().finalize_mode {
                FinalizeMode::Whole => true,
                FinalizeMode::Auto => covered <= self.limits.most_at_once(),
                FinalizeMode::Refine => false,
            };
        (covered > self.plan(ledger).first && !whole).then_some(MapDemand { before, finalizes })
    }

    /// What a final result that would be made in one run needs of the map, if that run makes way for
    /// others; `None` if the client wants it so, or there are no more images than one window has.
    pub fn demand_in_parts(&self, ledger: &Ledger, before: u64) -> Option<MapDemand> {
        let parts = ledger.config().finalize_mode == FinalizeMode::Auto
            && covered(ledger, before) > self.plan(ledger).first;
        parts.then_some(MapDemand {
            before,
            finalizes: true,
        })
    }

    /// Cancels the window that runs: no request needs it any more.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Whether a window waits or runs.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether the map has all that a request needs.
    pub fn satisfies(&self, ledger: &Ledger, demand: MapDemand) -> bool {
        let retries = || self.running.is_some() || self.missed(ledger).next().is_some();
        ledger.map().is_some()
            && self.waiting(ledger, demand.before).is_empty()
            && self.follow_ups.next().is_none()
            && !(demand.finalizes && retries())
    }

    /// A run over these frames needs more memory than there is. Returns whether smaller windows may do.
    pub fn note_shortage(&mut self, ledger: &Ledger, shortage: &Shortage) -> bool {
        let plan = self.plan(ledger);
        self.limits.note(ledger.config(), plan, shortage)
    }

    /// Starts the next window if it is due: for a request, or ahead of one when a whole window of new
    /// frames waits.
    pub fn advance(&mut self, ledger: &Ledger, demand: Option<MapDemand>) {
        self.settled.advance(ledger);
        if demand.is_some() {
            self.hurry();
        }
        if self.running.is_some() {
            return;
        }
        let Some((frames, priority)) = self.next_window(ledger, demand) else {
            return;
        };
        if frames.begins() && ledger.map().is_some() {
            // What the model keeps of frames is in the coordinates of the old map.
            self.context.dispatcher.forget(self.context.id);
        }
        let describes = self.context.settings.pool.model.metadata().describe
            && frames.kind == WindowKind::Extend;
        if frames.kind == WindowKind::Piece {
            // What the model keeps of them is in the coordinates of another piece.
            self.forget(frames.new.iter().copied());
        }
        let follows_up = self.follow_ups.next() == Some(&frames);
        let Some(window) = MapWindow::new(&self.context, ledger, &frames) else {
            if follows_up {
                self.follow_ups.done();
            }
            return;
        };
        let unknown = window.without_place(ledger.places());
        if describes && unknown.iter().any(|number| *number > self.described) {
            self.described = unknown.into_iter().fold(self.described, u64::max);
            self.describe(window, priority);
        } else {
            self.forget_old_frames(&frames);
            self.start(window, priority, follows_up);
        }
    }

    /// What the model keeps of frames that no recent window had is dropped.
    fn forget_old_frames(&mut self, window: &Window) {
        let old = self.recent.push(window).into_iter();
        let old: Vec<_> = old
            .map(|number| self.context.key(BlobName::Prepared(number)))
            .collect();
        self.context.dispatcher.forget_frames(self.context.id, &old);
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
        let plan = self.plan(ledger);
        let map = ledger.map().map(|stored| &stored.map);
        let places = ledger.places();
        if let Some(demand) = demand {
            if let Some(window) = self.follow_ups.next() {
                return Some((window.clone(), JobPriority::Requested));
            }
            let waiting = self.waiting(ledger, demand.before);
            let priority = JobPriority::Requested;
            if let Some(window) = Window::next(map, &waiting, places, plan) {
                return Some((window, priority));
            }
            let missed: Vec<u64> = self.missed(ledger).take(plan.new).collect();
            if demand.finalizes
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
            FinalizeMode::Auto => {
                ledger.next_request() > 1 || images.len() > self.limits.most_at_once()
            }
        };
        if ledger.is_completed() || !wanted || self.failed_at == Some(images.len()) {
            return None;
        }
        if let Some(window) = self.follow_ups.next() {
            return Some((window.clone(), JobPriority::Ahead));
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
        let number = self.note_running(0, priority, false, job.cancel_guard());
        let work = window.described(job);
        self.context
            .mailbox
            .detached_work(work, move |outcome| SessionMessage::WindowEnded {
                number,
                outcome,
            });
    }

    fn start(&mut self, window: MapWindow, priority: JobPriority, follows_up: bool) {
        let frames = window.numbers().count();
        let job = window.submit(priority);
        let number = self.note_running(frames, priority, follows_up, job.cancel_guard());
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

    fn note_running(
        &mut self,
        frames: usize,
        priority: JobPriority,
        follows_up: bool,
        cancel: DropGuard,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        self.running = Some(RunningWindow {
            number,
            priority,
            frames,
            accepted: false,
            fraction: 0.0,
            follows_up,
            _cancel: cancel,
        });
        number
    }

    /// Progress of a window.
    pub fn progress(&mut self, number: u64, progress: &Progress) {
        if let Some(running) = &mut self.running
            && running.number == number
        {
            running.accepted = progress.fraction > 0.0 || progress.stage > Stage::LoadingModel;
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
        let Some(ended) = wanted else {
            if let Ok(WindowOutcome::Chunk(chunk, _)) = outcome {
                let names = [
                    BlobName::Prediction(chunk.file),
                    BlobName::ChunkPoints(chunk.file),
                ];
                self.context.remove(names);
            }
            return None;
        };
        if ended.follows_up {
            self.follow_ups.done();
        }
        match &outcome {
            Ok(WindowOutcome::Described(_) | WindowOutcome::Joined(_)) => self.failed_at = None,
            Ok(WindowOutcome::Chunk(..)) => {
                self.failed_at = None;
                self.retried = self.retrying.take().unwrap_or(self.retried);
            }
            // Nobody asked for it, and what it was to improve is usable without.
            Err(error) if ended.follows_up => {
                tracing::warn!(%error, "a window that would join or begin a piece of the map failed");
                return None;
            }
            Err(error) => {
                self.retrying = None;
                tracing::warn!(%error, "a window of the map failed");
                self.failed_at = Some(ledger.images().len());
            }
        }
        Some(outcome)
    }

    /// The map has changed, perhaps by a new chunk: looks for what follows from that.
    pub fn note_map(&mut self, ledger: &Ledger, has_new_chunk: bool) {
        if let Some(stored) = ledger.map() {
            let plan = self.plan(ledger);
            self.follow_ups
                .look(&stored.map, ledger.places(), plan, has_new_chunk);
        }
    }

    /// Drops what the model keeps of the frames of a piece, whose coordinates change.
    pub fn forget_piece(&self, ledger: &Ledger, piece: usize) {
        let located = ledger
            .map()
            .into_iter()
            .flat_map(|stored| stored.map.located());
        let of_piece = located.filter(|(_, its)| *its == piece);
        self.forget(of_piece.map(|(number, _)| number));
    }

    fn forget(&self, numbers: impl Iterator<Item = u64>) {
        let frames: Vec<_> = numbers
            .map(|number| self.context.key(BlobName::Prepared(number)))
            .collect();
        self.context
            .dispatcher
            .forget_frames(self.context.id, &frames);
    }

    /// How far the map is with what a request needs.
    pub fn progress_of(&self, ledger: &Ledger, demand: MapDemand) -> MapProgress {
        let images = ledger.images();
        let covered = images.partition_point(|image| image.number < demand.before);
        let waiting = self.waiting(ledger, demand.before).len();
        let running = self.running.as_ref();
        MapProgress {
            done: covered - waiting,
            total: covered,
            running: running.map_or(0.0, |running| running.fraction * running.frames as f32),
        }
    }

    /// Numbers of the images that the map should have and has not.
    fn waiting(&self, ledger: &Ledger, before: u64) -> Vec<u64> {
        let images = ledger.images().get(self.settled.count(ledger)..);
        let images = images.unwrap_or_default().iter();
        images
            .take_while(|image| image.number < before)
            .filter(|image| waits(ledger, image))
            .map(|image| image.number)
            .collect()
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

/// How many images with a smaller number there are.
fn covered(ledger: &Ledger, before: u64) -> usize {
    let images = ledger.images().iter();
    images.filter(|image| image.number < before).count()
}
