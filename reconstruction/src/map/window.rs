//! Which frames the next run of the model gets.

use super::frames::Map;
use super::places::Places;
use crate::cloud::median;

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

/// Frames that could not be placed and get another try in a later window, as a share of its new ones.
const RETRIED: usize = 4;

/// A similarity is high if it lies so many standard deviations above the median.
const HIGH: f32 = 4.0;

/// Standard deviations per median absolute deviation.
const PER_MEDIAN: f32 = 1.4826;

impl Window {
    /// The next window for the frames that wait, by their ascending numbers; `None` if none waits.
    ///
    /// The window that begins a map has the latest frames: if earlier ones could not be placed,
    /// newer ones may move more. A later window has the frames that wait longest, and frames that
    /// could not be placed if the map has got frames since that are very similar. Its placed frames
    /// are, one half each, those that are most similar to the new ones, and those whose numbers are
    /// nearest to theirs.
    pub fn next(
        map: Option<&Map>,
        waiting: &[u64],
        places: &Places,
        plan: WindowPlan,
    ) -> Option<Self> {
        if waiting.is_empty() {
            return None;
        }
        let Some(map) = map.filter(|map| map.can_be_extended()) else {
            return Some(Self::beginning(map, waiting, plan));
        };
        let mut new: Vec<u64> = waiting.iter().take(plan.new).copied().collect();
        let retried = worth_a_retry(map, places).filter(|number| !waiting.contains(number));
        new.extend(retried.take(plan.new.div_ceil(RETRIED)));
        new.sort_unstable();
        let mut placed = most_similar(map, &new, places, plan.placed / 2);
        let distance = |number: u64| new.iter().map(|new| new.abs_diff(number)).min();
        let mut nearest: Vec<u64> = map.placed().map(|(number, _)| number).collect();
        nearest.sort_by_key(|&number| distance(number));
        for number in nearest {
            if placed.len() >= plan.placed {
                break;
            }
            if !placed.contains(&number) {
                placed.push(number);
            }
        }
        placed.sort_unstable();
        Some(Self { placed, new })
    }

    /// The window that begins a map, or begins one again that cannot be extended.
    fn beginning(map: Option<&Map>, waiting: &[u64], plan: WindowPlan) -> Self {
        let latest = |numbers: &[u64], count: usize| {
            let begin = numbers.len().saturating_sub(count);
            numbers[begin..].to_vec()
        };
        let new = match map {
            // The frames of a session that has just outgrown one window are its first ones.
            None => waiting.iter().take(plan.first).copied().collect(),
            Some(map) => {
                // Frames that wait come first, so that each of them gets its turn.
                let mut new = latest(waiting, plan.first);
                let missed = map.missed().filter(|number| !waiting.contains(number));
                let missed: Vec<u64> = missed.collect();
                new.extend(latest(&missed, plan.first - new.len()));
                new.sort_unstable();
                new
            }
        };
        Self {
            placed: Vec::new(),
            new,
        }
    }

    /// Whether the run begins a map.
    pub fn begins(&self) -> bool {
        self.placed.is_empty()
    }
}

/// The placed frames that are most similar to the new ones: for each new frame the first, then for
/// each the second, and so on.
fn most_similar(map: &Map, new: &[u64], places: &Places, count: usize) -> Vec<u64> {
    let ranked = new.iter().map(|&number| {
        let placed = map.placed().map(|(number, _)| number);
        let mut similar = places.similarities(number, placed);
        similar.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        similar.truncate(count);
        similar
    });
    let ranked: Vec<_> = ranked.collect();
    let mut chosen = Vec::with_capacity(count);
    for rank in 0..count {
        for (number, _) in ranked.iter().filter_map(|similar| similar.get(rank)) {
            if chosen.len() < count && !chosen.contains(number) {
                chosen.push(*number);
            }
        }
    }
    chosen
}

/// Frames that could not be placed, but are very similar to frames that were placed after that.
fn worth_a_retry(map: &Map, places: &Places) -> impl Iterator<Item = u64> {
    map.missed().filter(|&number| {
        let tried = map.frame(number).and_then(|frame| frame.place);
        let placed = map.placed().map(|(number, _)| number);
        let mut similar = places.similarities(number, placed);
        let since = |other: u64| {
            let place = map.frame(other).and_then(|frame| frame.place);
            place.map(|place| place.chunk) > tried.map(|place| place.chunk)
        };
        let best = similar.iter().filter(|(other, _)| since(*other));
        let best = best.map(|(_, similarity)| *similarity).fold(0.0, f32::max);
        best > high_similarity(&mut similar)
    })
}

/// The similarity above which one is high among these; infinite if there are too few.
fn high_similarity(similar: &mut [(u64, f32)]) -> f32 {
    const FEWEST: usize = 8;
    if similar.len() < FEWEST {
        return f32::INFINITY;
    }
    let mut values: Vec<f64> = similar.iter().map(|(_, value)| f64::from(*value)).collect();
    let Some(middle) = median(&mut values) else {
        return f32::INFINITY;
    };
    for value in &mut values {
        *value = (*value - middle).abs();
    }
    let spread = median(&mut values).unwrap_or(f64::INFINITY) as f32;
    middle as f32 + HIGH * PER_MEDIAN * spread
}
