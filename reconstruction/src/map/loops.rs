//! Loops: places that the camera has come back to.

use std::collections::{BTreeMap, HashMap};

use crate::prediction::Links;

/// Points that two frames must share to show the same place.
const LEAST_SHARED: usize = 20;

/// New frames that must show a place of old: one alone may only look like it.
const LEAST_FRAMES: usize = 3;

/// Whether new frames of a run share points with frames of long ago. `numbers` are those of all frames
/// of the run, of which the last `new` are new; numbers that differ by more than `apart` are far apart.
pub fn comes_back(links: &Links, numbers: &[u64], new: usize, apart: u64) -> bool {
    let first_new = numbers.len().saturating_sub(new);
    let mut tracks: HashMap<usize, Vec<usize>> = HashMap::new();
    for link in links.iter() {
        tracks.entry(link.track).or_default().push(link.frame);
    }
    // Points that a new frame shares with one of long ago.
    let mut shared: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for frames in tracks.values() {
        for &one in frames.iter().filter(|frame| **frame >= first_new) {
            for &other in frames.iter().filter(|frame| **frame < first_new) {
                let (Some(number), Some(before)) = (numbers.get(one), numbers.get(other)) else {
                    continue;
                };
                if number.saturating_sub(*before) > apart {
                    *shared.entry((one, other)).or_default() += 1;
                }
            }
        }
    }
    let mut back: Vec<usize> = shared
        .into_iter()
        .filter(|(_, points)| *points >= LEAST_SHARED)
        .map(|((frame, _), _)| frame)
        .collect();
    back.dedup();
    back.len() >= LEAST_FRAMES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in which each frame sees all points, but for `blind` ones.
    fn links(frames: usize, blind: &[usize]) -> Links {
        let rows =
            (0..frames).flat_map(|frame| (0..LEAST_SHARED).map(move |track| (frame, track as f32)));
        let numbers = rows.flat_map(|(frame, track)| {
            let seen = if blind.contains(&frame) { -1.0 } else { track };
            [1.0, 2.0, seen]
        });
        Links::new(frames, LEAST_SHARED, numbers.collect()).expect("rows of three")
    }

    #[test]
    fn several_new_frames_must_see_what_one_of_long_ago_has_seen() {
        let numbers = [3, 80, 81, 82, 83];
        assert!(comes_back(&links(5, &[]), &numbers, 3, 48));
        assert!(
            !comes_back(&links(5, &[0]), &numbers, 3, 48),
            "not the old one"
        );
        assert!(
            !comes_back(&links(5, &[3]), &numbers, 3, 48),
            "only two new ones"
        );
        assert!(
            !comes_back(&links(5, &[]), &numbers, 3, 100),
            "not long ago"
        );
    }
}
