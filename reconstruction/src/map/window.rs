//! Which frames the next run of the model gets.

use super::candidates::{
    candidates, high_similarity, most_similar, nearest, second_highest, worth_a_retry,
};
use super::frames::Map;
use super::places::Places;

/// How many frames a run of the model gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowPlan {
    /// Frames of the first window, and of a session that needs no map.
    pub first: usize,
    /// New frames of a later window.
    pub new: usize,
    /// Frames of a later window that the map knows.
    pub placed: usize,
    /// Whether these may be of several pieces of the map: each window has a world of its own, and is
    /// joined to each piece.
    pub mixes_pieces: bool,
}

/// The frames of one run of the model, by their numbers, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub kind: WindowKind,
    /// Frames that the map knows; none for a run that begins a map or a piece of it.
    pub placed: Vec<u64>,
    /// Frames to be placed; at least one.
    pub new: Vec<u64>,
}

/// What a window is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// It begins a map, or begins one again.
    Begin,
    /// It places frames in the map.
    Extend,
    /// It begins a piece with frames that could not be placed.
    Piece,
    /// It joins two pieces: its placed frames are of the larger one, its new ones of the other.
    Join,
}

impl WindowPlan {
    /// Smallest number of frames in a window.
    pub const LEAST: usize = 6;

    /// The plan for windows of this many frames, at least [`LEAST`](Self::LEAST), of a model that can
    /// extend a map: a third of a later window is new.
    pub fn of(frames: usize) -> Self {
        let frames = frames.max(Self::LEAST);
        let new = frames / 3;
        Self {
            first: frames,
            new,
            placed: frames - new,
            mixes_pieces: false,
        }
    }

    /// The plan for windows of another model, which are joined by the frames that they share: two
    /// fifths of a later window are placed, at least four frames: two of each of two places.
    pub fn joined(frames: usize) -> Self {
        let frames = frames.max(Self::LEAST);
        let placed = (2 * frames / 5).max(LEAST_SHARED);
        Self {
            first: frames,
            new: frames - placed,
            placed,
            mixes_pieces: true,
        }
    }

    /// Frames in a row that could not be placed and then may be a piece of the map.
    fn least_of_piece(&self) -> usize {
        LEAST_OF_PIECE.max(self.new / 2)
    }
}

/// Frames that the windows of a model that cannot extend share at least.
const LEAST_SHARED: usize = 4;

/// Frames that begin a piece of the map at least.
const LEAST_OF_PIECE: usize = 3;

/// Frames that could not be placed and get another try in a later window, as a share of its new ones.
const RETRIED: usize = 4;

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
        let room = match plan.mixes_pieces {
            true => plan.placed.min(plan.first - new.len()).max(LEAST_SHARED),
            false => plan.placed,
        };
        let candidates = candidates(map, &new, places, plan);
        let mut placed = most_similar(&candidates, &new, places, room / 2);
        for number in nearest(candidates, &new) {
            if placed.len() >= room {
                break;
            }
            if !placed.contains(&number) {
                placed.push(number);
            }
        }
        placed.sort_unstable();
        Some(Self {
            kind: WindowKind::Extend,
            placed,
            new,
        })
    }

    /// The window that begins a piece with frames that could not be placed: the first ones in a row
    /// that are enough. `None` if there are none, or if they were tried together.
    pub fn of_piece(map: &Map, plan: WindowPlan) -> Option<Self> {
        let mut row = Vec::new();
        for (&number, frame) in &map.frames {
            let is_missed = !frame.is_located() && !frame.was_tried_alone;
            if is_missed && row.len() < plan.first {
                row.push(number);
                continue;
            }
            if row.len() >= plan.least_of_piece() {
                break;
            }
            row.clear();
        }
        (row.len() >= plan.least_of_piece()).then_some(Self {
            kind: WindowKind::Piece,
            placed: Vec::new(),
            new: row,
        })
    }

    /// The window that joins the piece of frames that were placed last with another piece that has a
    /// very similar frame; `None` if there is none. `chunk` is the chunk of the new frames.
    pub fn joining(map: &Map, chunk: usize, places: &Places, plan: WindowPlan) -> Option<Self> {
        let sizes = map.piece_sizes();
        if sizes.len() < 2 {
            return None;
        }
        // Pieces are compared by depth, and frames that show nothing new have none.
        let located = map.located();
        let located: Vec<(u64, usize)> = located
            .filter(|(number, _)| map.place_with_maps(*number).is_some())
            .collect();
        let of_chunk = |number: u64| {
            let place = map.frame(number).and_then(|frame| frame.place);
            place.is_some_and(|place| place.chunk == chunk)
        };
        let new = located.iter().filter(|(number, _)| of_chunk(*number));
        let pairs = new.filter_map(|&(number, piece)| {
            let of = |same: bool| {
                let others = located.iter().filter(move |(other, its_piece)| {
                    (*its_piece == piece) == same && *other != number
                });
                places.similarities(number, others.map(|(other, _)| *other))
            };
            let (own, mut others) = (of(true), of(false));
            let best = *others
                .iter()
                .max_by(|(_, one), (_, other)| one.total_cmp(other))?;
            let as_own = second_highest(&own).is_some_and(|similarity| best.1 >= similarity);
            (as_own || best.1 > high_similarity(&mut others)).then_some((number, best))
        });
        let (one, (other, _)) =
            pairs.max_by(|(_, (_, one)), (_, (_, other))| one.total_cmp(other))?;
        let size = |number: u64| map.piece_of(number).and_then(|piece| sizes.get(&piece));
        let (large, small) = match size(one) >= size(other) {
            true => (one, other),
            false => (other, one),
        };
        let around = |number: u64, count: usize| {
            let piece = map.piece_of(number);
            let of_piece = located.iter().filter(|(_, its)| Some(*its) == piece);
            let mut chosen = nearest(of_piece.map(|(number, _)| *number).collect(), &[number]);
            chosen.truncate(count);
            chosen.sort_unstable();
            chosen
        };
        let half = plan.first / 2;
        Some(Self {
            kind: WindowKind::Join,
            placed: around(large, plan.first - half),
            new: around(small, half),
        })
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
            kind: WindowKind::Begin,
            placed: Vec::new(),
            new,
        }
    }

    /// Whether the run begins a map.
    pub fn begins(&self) -> bool {
        self.kind == WindowKind::Begin
    }
}
