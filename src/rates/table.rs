//! The buckets of all clients of a kind.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Buckets;

/// The most clients that have buckets of their own.
const MOST_CLIENTS: usize = 10_000;

/// Time between two looks at all clients: with many active ones a look is long and finds nothing.
const LOOK: Duration = Duration::from_secs(1);

/// The buckets of clients by what they are known by.
#[derive(Debug)]
pub(super) struct Table<K> {
    pub most: usize,
    /// After this time without use all buckets are full, so they need not be remembered.
    pub forget_after: Duration,
    known: Mutex<Known<K>>,
}

#[derive(Debug)]
struct Known<K> {
    clients: HashMap<K, Arc<Buckets>>,
    looked_at: Option<Instant>,
}

impl<K: Hash + Eq> Table<K> {
    pub fn new(forget_after: Duration) -> Self {
        Self {
            most: MOST_CLIENTS,
            forget_after,
            known: Mutex::new(Known {
                clients: HashMap::new(),
                looked_at: None,
            }),
        }
    }

    /// The buckets of a client. Those that nobody uses and that are full are forgotten; if there are too
    /// many all the same, there are none for a new one.
    pub fn of(&self, client: K, new: impl FnOnce() -> Buckets) -> Option<Arc<Buckets>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buckets) = known.clients.get(&client) {
            return Some(buckets.clone());
        }
        if known.clients.len() >= self.most {
            if known.looked_at.is_some_and(|then| then.elapsed() < LOOK) {
                return None;
            }
            known.looked_at = Some(Instant::now());
            known.clients.retain(|_, buckets| {
                Arc::strong_count(buckets) > 1 || buckets.unused_for() < self.forget_after
            });
            if known.clients.len() >= self.most {
                return None;
            }
        }
        let new = Arc::new(new());
        known.clients.insert(client, new.clone());
        Some(new)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.lock().expect("no panic").clients.len()
    }

    #[cfg(test)]
    pub fn knows(&self, client: &K) -> bool {
        self.known
            .lock()
            .expect("no panic")
            .clients
            .contains_key(client)
    }
}
