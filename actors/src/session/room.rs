//! How many more images a session may have, as far as those who decode them have to know.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places of a session for images. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Room {
    taken: Arc<Mutex<Taken>>,
    most: u32,
}

#[derive(Debug)]
struct Taken {
    /// Images of the session.
    accepted: u32,
    /// Numbers of uploads that were decoded and are not answered yet.
    decoded: BTreeSet<u64>,
}

impl Room {
    /// `accepted` of `most` places are taken.
    pub fn new(most: u32, accepted: u32) -> Self {
        let taken = Taken {
            accepted,
            decoded: BTreeSet::new(),
        };
        Self {
            taken: Arc::new(Mutex::new(taken)),
            most,
        }
    }

    /// An upload was decoded and stored.
    pub fn decoded(&self, number: u64) {
        self.lock().decoded.insert(number);
    }

    /// The session has so many images, and uploads before `oldest` are answered.
    pub fn answered(&self, accepted: u32, oldest: u64) {
        let mut taken = self.lock();
        taken.accepted = accepted;
        taken.decoded = taken.decoded.split_off(&oldest);
    }

    /// Whether those before this upload take all places, whatever becomes of the ones that are not decoded
    /// yet. It is one too many then.
    pub fn is_full_before(&self, number: u64) -> bool {
        let taken = self.lock();
        let free = self.most.saturating_sub(taken.accepted) as usize;
        taken.decoded.range(..number).take(free).count() >= free
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Every change leaves valid places, so a poisoned lock is usable.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_before_and_was_decoded_takes_places() {
        let room = Room::new(3, 1);
        assert!(!room.is_full_before(9));
        room.decoded(4);
        room.decoded(7);
        assert!(room.is_full_before(9));
        // The earlier ones may still fail, but these two are there.
        assert!(
            !room.is_full_before(7),
            "only one of the two comes before it"
        );
        assert!(!room.is_full_before(5));
        assert!(!room.is_full_before(2));
    }

    #[test]
    fn what_was_answered_counts_once_and_what_was_given_up_not_at_all() {
        let room = Room::new(2, 0);
        room.decoded(1);
        room.decoded(2);
        assert!(room.is_full_before(3));
        // The first one is an image now, the second one could not be recorded.
        room.answered(1, 3);
        assert!(!room.is_full_before(4));
        room.decoded(3);
        assert!(room.is_full_before(4));
        room.answered(2, 4);
        assert!(room.is_full_before(4));
    }

    #[test]
    fn a_session_that_may_have_no_more_is_full() {
        assert!(Room::new(1, 1).is_full_before(1));
        assert!(Room::new(1, 2).is_full_before(1));
    }
}
