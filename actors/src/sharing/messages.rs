//! Which messages of a shared journal are not needed any more.
//!
//! A message goes as a whole, when none of its records is needed. What is left has to make sense to the next reader:
//! the answer of a request without its delivery would be delivered again, and a request without its answer run
//! again. So the records of a request go in their order, and the reader ignores those whose beginning is gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::RequestKey;
use crate::journal::request_of;
use crate::session::ledger::Record;

/// The messages of a journal.
#[derive(Debug, Default)]
pub(super) struct Messages {
    of_record: BTreeMap<u64, u64>,
    /// For each message, how many of its records are needed.
    needed: BTreeMap<u64, usize>,
    /// For each request that is not needed, the messages of its records that are still there, in their order.
    waiting: Vec<Vec<u64>>,
}

impl Messages {
    /// A message has a record, which is needed.
    pub fn note(&mut self, message: u64, record: u64) {
        self.of_record.insert(record, message);
        *self.needed.entry(message).or_default() += 1;
    }

    /// A message is there; perhaps none of its records is needed.
    pub fn note_message(&mut self, message: u64) {
        self.needed.entry(message).or_default();
    }

    /// These records of a request are not needed any more. In their order.
    pub fn needless(&mut self, records: &[u64]) {
        let messages = records
            .iter()
            .filter_map(|record| self.of_record.remove(record));
        let mut messages: Vec<u64> = messages.collect();
        for message in &messages {
            if let Some(needed) = self.needed.get_mut(message) {
                *needed = needed.saturating_sub(1);
            }
        }
        messages.dedup();
        self.waiting.push(messages);
    }

    /// The messages that can be removed, in the order in which they have to be. `last` stays: the next message is
    /// appended behind it.
    pub fn take_removable(&mut self, last: u64) -> Vec<u64> {
        let mut removed = Vec::new();
        loop {
            // Messages of requests of which an earlier message stays.
            let held: BTreeSet<u64> = self
                .waiting
                .iter()
                .flat_map(|messages| messages.iter().skip(1))
                .copied()
                .collect();
            let free = self.needed.iter();
            let free = free.filter(|(message, needed)| {
                **needed == 0 && **message != last && !held.contains(message)
            });
            let free: Vec<u64> = free.map(|(message, _)| *message).collect();
            if free.is_empty() {
                return removed;
            }
            self.needed.retain(|message, _| !free.contains(message));
            for messages in &mut self.waiting {
                messages.retain(|message| !free.contains(message));
            }
            self.waiting.retain(|messages| !messages.is_empty());
            removed.extend(free);
        }
    }
}

/// The requests of which the beginning is gone, among those of the records that were read so far.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    there: BTreeSet<RequestKey>,
}

impl Beginnings {
    /// Whether the next record counts.
    pub fn count(&mut self, record: &Record) -> bool {
        match (record, request_of(record)) {
            (Record::RequestMade(made), _) => {
                self.there.insert(made.key);
                true
            }
            (_, Some(request)) => self.there.contains(&request),
            (_, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_of_a_request_go_in_their_order() {
        let mut messages = Messages::default();
        // Records 1 to 3 are of a request; 4 is something else in the message of the second.
        for (message, record) in [(10, 1), (20, 2), (20, 4), (30, 3), (40, 5)] {
            messages.note(message, record);
        }
        messages.needless(&[1, 2, 3]);
        // The delivery, in 30, has to stay as long as the answer, in 20.
        assert_eq!(messages.take_removable(40), [10]);
        assert!(messages.take_removable(40).is_empty());
        messages.needless(&[4]);
        assert_eq!(messages.take_removable(40), [20, 30]);
    }

    #[test]
    fn the_last_message_stays() {
        let mut messages = Messages::default();
        messages.note(10, 1);
        messages.note(10, 2);
        messages.needless(&[1, 2]);
        assert!(messages.take_removable(10).is_empty());
        assert_eq!(messages.take_removable(11), [10]);
    }
}
