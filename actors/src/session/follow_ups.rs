//! Windows that follow from what others found: frames that could not be placed begin a piece of the
//! map, and pieces that show the same place are joined.

use pointstream_reconstruction::map::{Map, Places, Window, WindowPlan};

/// The next such window.
#[derive(Default)]
pub(super) struct FollowUps {
    next: Option<Window>,
    /// Chunks whose frames were not compared with other pieces yet.
    unjoined: Vec<usize>,
}

impl FollowUps {
    pub fn next(&self) -> Option<&Window> {
        self.next.as_ref()
    }

    /// The window has run, whatever it found: it is not tried again.
    pub fn done(&mut self) {
        self.next = None;
    }

    /// Looks for the next window, after a change of the map.
    pub fn look(&mut self, map: &Map, places: &Places, plan: WindowPlan, has_new_chunk: bool) {
        let newest = map.chunks().len().saturating_sub(1);
        if newest == 0 {
            // The map has begun anew.
            self.unjoined.clear();
        }
        if has_new_chunk {
            self.unjoined.push(newest);
        }
        self.next = None;
        if !map.can_be_extended() {
            return;
        }
        self.next = Window::of_piece(map, plan);
        while self.next.is_none()
            && let Some(chunk) = self.unjoined.pop()
        {
            self.next = Window::joining(map, chunk, places, plan);
        }
    }
}
