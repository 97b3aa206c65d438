//! Which images of a session the map is done with.

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::is_croppable;

use super::ledger::{Image, Ledger};

/// Whether the map should have an image and has not.
pub(super) fn waits(ledger: &Ledger, image: &Image) -> bool {
    ledger.map().is_none_or(|stored| {
        is_croppable(image.size, stored.map.size()) && !stored.map.contains(image.number)
    })
}

/// Leading images of the session that do not [wait](waits), so that a message of a long session costs no
/// more than one of a short session.
#[derive(Debug, Default)]
pub(super) struct Settled {
    count: usize,
    /// The size of the map's frames, which decides what can be cropped to it.
    size: Option<FrameSize>,
}

impl Settled {
    /// Counts images that the map is done with since.
    pub fn advance(&mut self, ledger: &Ledger) {
        self.count = self.count(ledger);
        self.size = ledger.map().map(|stored| stored.map.size());
        let images = ledger.images().iter().skip(self.count);
        self.count += images.take_while(|image| !waits(ledger, image)).count();
    }

    /// Number of leading images that do not wait, as far as is known.
    pub fn count(&self, ledger: &Ledger) -> usize {
        let size = ledger.map().map(|stored| stored.map.size());
        match size == self.size {
            true => self.count,
            false => 0,
        }
    }
}
