//! The latest windows of a map: the model keeps what it has computed of their frames.

use std::collections::{BTreeSet, VecDeque};

use pointstream_reconstruction::map::Window;

/// Windows whose frames are kept.
const KEPT: usize = 3;

/// The frames of the latest windows, by their numbers.
#[derive(Debug, Default)]
pub(super) struct RecentWindows(VecDeque<BTreeSet<u64>>);

impl RecentWindows {
    /// Adds a window. Returns the frames of older ones that no recent window had.
    pub fn push(&mut self, window: &Window) -> Vec<u64> {
        let frames = window.placed.iter().chain(&window.new).copied().collect();
        if self.0.back() == Some(&frames) {
            // It is tried again.
            return Vec::new();
        }
        self.0.push_back(frames);
        let old = match self.0.len() > KEPT {
            true => self.0.pop_front().unwrap_or_default(),
            false => BTreeSet::new(),
        };
        let is_recent = |frame: &u64| self.0.iter().any(|window| window.contains(frame));
        old.into_iter().filter(|frame| !is_recent(frame)).collect()
    }
}

#[cfg(test)]
mod tests {
    use pointstream_reconstruction::map::WindowKind;

    use super::*;

    #[test]
    fn frames_are_old_when_no_recent_window_had_them() {
        let mut recent = RecentWindows::default();
        let mut push = |placed: &[u64], new: &[u64]| {
            recent.push(&Window {
                kind: WindowKind::Extend,
                placed: placed.to_vec(),
                new: new.to_vec(),
            })
        };
        assert!(push(&[], &[1, 2, 3]).is_empty());
        assert!(push(&[2, 3], &[4]).is_empty());
        // Frame 2 comes back from far away.
        assert!(push(&[2, 4], &[5]).is_empty());
        assert_eq!(push(&[4, 5], &[6]), [1]);
        assert!(push(&[4, 5], &[6]).is_empty());
        assert_eq!(push(&[5, 6], &[7]), [3]);
        assert_eq!(push(&[6, 7], &[8]), [2]);
    }
}
