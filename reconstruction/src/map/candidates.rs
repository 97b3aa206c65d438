//! Which placed frames may be of the same place as others.

use std::collections::BTreeMap;

use super::frames::Map;
use super::places::Places;
use super::window::WindowPlan;
use crate::cloud::median;

/// Of frames that are about as similar, those whose number is a multiple of this one are preferred:
/// consecutive windows of a camera that comes back to a place then share frames, which are computed
/// only once.
const PREFERRED: u64 = 4;

/// What the similarity of the other frames counts. Neighbours of a stream are that similar, different
/// places are not.
const OTHERS: f32 = 0.85;

/// A similarity is high if it lies so many standard deviations above the median.
const HIGH: f32 = 4.0;

/// Standard deviations per median absolute deviation.
const PER_MEDIAN: f32 = 1.4826;

/// Placed frames that a window for new ones may have. Frames of one piece, if these hold the window's
/// coordinates: of the one that has the most similar frames, or else the nearest ones by number.
pub fn candidates(map: &Map, new: &[u64], places: &Places, plan: WindowPlan) -> Vec<u64> {
    let located: Vec<(u64, usize)> = map.located().collect();
    let of = |piece: usize| {
        let frames = located.iter().filter(move |(_, its)| *its == piece);
        frames.map(|(number, _)| *number)
    };
    // One frame holds no coordinates.
    let can_hold = |piece: &usize| of(*piece).nth(1).is_some();
    let all = located.iter().map(|(number, _)| *number);
    if plan.mixes_pieces {
        return all.collect();
    }
    let liked = new.iter().filter_map(|&number| {
        let similar = places.similarities(number, all.clone());
        let best = similar
            .into_iter()
            .max_by(|(_, one), (_, other)| one.total_cmp(other))?;
        map.piece_of(best.0).filter(can_hold)
    });
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    for piece in liked {
        *votes.entry(piece).or_default() += 1;
    }
    let drawn = map.drawn_piece();
    let most = votes
        .into_iter()
        .max_by_key(|(piece, votes)| (*votes, *piece == drawn));
    let nearest = || {
        let ranked = nearest(all.clone().collect(), new).into_iter();
        ranked
            .filter_map(|number| map.piece_of(number))
            .find(can_hold)
    };
    let piece = most.map(|(piece, _)| piece).or_else(nearest);
    of(piece.unwrap_or(drawn)).collect()
}

/// The frames, those first whose numbers are nearest to one of these.
pub fn nearest(mut frames: Vec<u64>, to: &[u64]) -> Vec<u64> {
    let distance = |number: u64| to.iter().map(|to| to.abs_diff(number)).min();
    frames.sort_by_key(|&number| distance(number));
    frames
}

pub fn second_highest(similar: &[(u64, f32)]) -> Option<f32> {
    let mut values: Vec<f32> = similar.iter().map(|(_, value)| *value).collect();
    values.sort_by(|one, other| other.total_cmp(one));
    values.get(1).copied()
}

/// The placed frames that are most similar to the new ones: for each new frame the first, then for
/// each the second, and so on.
pub fn most_similar(placed: &[u64], new: &[u64], places: &Places, count: usize) -> Vec<u64> {
    let ranked = new.iter().map(|&number| {
        let mut similar = places.similarities(number, placed.iter().copied());
        for (number, similarity) in &mut similar {
            if !number.is_multiple_of(PREFERRED) {
                *similarity *= OTHERS;
            }
        }
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
pub fn worth_a_retry(map: &Map, places: &Places) -> impl Iterator<Item = u64> {
    map.missed().filter(|&number| {
        let tried = map.frame(number).and_then(|frame| frame.place);
        let placed = map.located().map(|(number, _)| number);
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
pub fn high_similarity(similar: &mut [(u64, f32)]) -> f32 {
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
