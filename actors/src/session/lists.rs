//! Lists that readers share: the images of a session, and its poses.
//!
//! Names are long, and a reader may take a list and never read it. So all that ask for the same list get
//! the same one. It is kept as long as a reader has it.

use std::sync::{Arc, Weak};

use super::ledger::Ledger;
use super::{map_poses, snapshot};
use crate::report::ImageSummary;
use crate::updates::MapPoses;

/// The lists that readers have.
#[derive(Debug, Default)]
pub(super) struct Lists {
    images: Option<Weak<[ImageSummary]>>,
    poses: Option<(Poses, Weak<MapPoses>)>,
}

/// What poses are made of: the same poses follow from the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Poses {
    images: usize,
    map_changes: u64,
    completed: bool,
    result: Option<u64>,
}

impl Poses {
    fn of(ledger: &Ledger) -> Self {
        Self {
            images: ledger.images().len(),
            map_changes: ledger.map_changes(),
            completed: ledger.is_completed(),
            result: ledger.result().map(|result| result.number),
        }
    }
}

impl Lists {
    /// The images, in the order in which they were stored.
    pub fn images(&mut self, ledger: &Ledger) -> Arc<[ImageSummary]> {
        let shared = self.images.as_ref().and_then(Weak::upgrade);
        // Images are only added.
        if let Some(images) = shared.filter(|images| images.len() == ledger.images().len()) {
            return images;
        }
        let images = snapshot::images(ledger);
        self.images = Some(Arc::downgrade(&images));
        images
    }

    /// All poses.
    pub fn poses(&mut self, ledger: &Ledger) -> Arc<MapPoses> {
        let now = Poses::of(ledger);
        let shared = self.poses.as_ref().filter(|(of, _)| *of == now);
        if let Some(poses) = shared.and_then(|(_, poses)| poses.upgrade()) {
            return poses;
        }
        let poses = Arc::new(map_poses::poses(ledger));
        self.poses = Some((now, Arc::downgrade(&poses)));
        poses
    }
}
