//! Which frames the next run of the model gets.

use super::frames::Map;

/// How many frames a run of the model gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowPlan {
    /// Frames of the first window, and of a session that needs no map.
    pub first: usize,
    /// New frames of a later window.
    pub new: usize,
    /// Frames of a later window that the map knows.
    pub placed: usize,
}

/// The frames of one run of the model, by their numbers, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Frames that the map knows; none for a run that begins a map.
    pub placed: Vec<u64>,
    /// Frames to be placed; at least one.
    pub new: Vec<u64>,
}

impl WindowPlan {
    /// Smallest number of frames in a window.
    pub const LEAST: usize = 6;

    /// The plan for windows of this many frames, at least [`LEAST`](Self::LEAST): a third of a later
    /// window is new.
    pub fn of(frames: usize) -> Self {
        let frames = frames.max(Self::LEAST);
        let new = frames / 3;
        Self {
            first: frames,
            new,
            placed: frames - new,
        }
    }
}

impl Window {
    /// The next window for the frames that wait, by their ascending numbers; `None` if none waits.
    ///
    /// The window that begins a map has the latest frames: if earlier ones could not be placed,
    /// newer ones may move more. A later window has the frames that wait longest, and the placed
    /// frames whose numbers are nearest to theirs.
    pub fn next(map: Option<&Map>, waiting: &[u64], plan: WindowPlan) -> Option<Self> {
        if waiting.is_empty() {
            return None;
        }
        let Some(map) = map.filter(|map| map.can_be_extended()) else {
            let missed = map.into_iter().flat_map(Map::missed);
            let mut new: Vec<u64> = missed.chain(waiting.iter().copied()).collect();
            new.sort_unstable();
            new.dedup();
            // The frames of a session that has just outgrown one window are its first ones.
            let begin = match map {
                None => 0,
                Some(_) => new.len().saturating_sub(plan.first),
            };
            new.drain(..begin);
            new.truncate(plan.first);
            return Some(Self {
                placed: Vec::new(),
                new,
            });
        };
        let new: Vec<u64> = waiting.iter().take(plan.new).copied().collect();
        let distance = |number: u64| new.iter().map(|new| new.abs_diff(number)).min();
        let mut placed: Vec<u64> = map.placed().map(|(number, _)| number).collect();
        placed.sort_by_key(|&number| distance(number));
        placed.truncate(plan.placed);
        placed.sort_unstable();
        Some(Self { placed, new })
    }

    /// Whether the run begins a map.
    pub fn begins(&self) -> bool {
        self.placed.is_empty()
    }
}
