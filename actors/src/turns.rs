//! Something that there is so much of, shared by sessions that take turns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::ids::SessionId;

/// An amount that sessions take shares of, one session after another, so that one that wants much does not
/// hold up the others. Nobody is overtaken: while the next share does not fit, all wait. Clones share
/// it.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    turns: Arc<Mutex<Turns>>,
}

#[derive(Debug)]
struct Turns {
    free: usize,
    /// The sessions that wait, in the order of their turns, with what waits for each.
    waiting: VecDeque<(SessionId, VecDeque<Waiter>)>,
}

#[derive(Debug)]
struct Waiter {
    amount: usize,
    share: oneshot::Sender<Share>,
}

impl Turns {
    fn add(&mut self, session: SessionId, waiter: Waiter) {
        let known = self.waiting.iter_mut().find(|(known, _)| *known == session);
        match known {
            Some((_, waiters)) => waiters.push_back(waiter),
            None => self.waiting.push_back((session, VecDeque::from([waiter]))),
        }
    }

    /// Takes the next one that still waits, if there is enough for it; its session waits for its next
    /// turn.
    fn next(&mut self) -> Option<Waiter> {
        while let Some((session, mut waiters)) = self.waiting.pop_front() {
            waiters.retain(|waiter| !waiter.share.is_closed());
            if waiters.front().is_some_and(|next| next.amount > self.free) {
                self.waiting.push_front((session, waiters));
                return None;
            }
            let next = waiters.pop_front();
            if !waiters.is_empty() {
                self.waiting.push_back((session, waiters));
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

impl Shares {
    /// So much that shares can be taken of.
    pub fn new(amount: usize) -> Self {
        Self {
            turns: Arc::new(Mutex::new(Turns {
                free: amount,
                waiting: VecDeque::new(),
            })),
        }
    }

    /// Waits for a share, of no more than there is altogether. Dropping the future gives the place in the
    /// queue up. `None` if the program ends.
    pub async fn take(&self, session: SessionId, amount: usize) -> Option<Share> {
        let (waiter, share) = oneshot::channel();
        let waiting = Waiter {
            amount,
            share: waiter,
        };
        self.lock().add(session, waiting);
        self.serve();
        share.await.ok()
    }

    /// Gives what is free to those that wait.
    fn serve(&self) {
        loop {
            let mut turns = self.lock();
            let Some(Waiter { amount, share }) = turns.next() else {
                return;
            };
            turns.free -= amount;
            drop(turns);
            let shares = self.clone();
            // A share that nobody takes any more is given back.
            let _ = share.send(Share { shares, amount });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A share, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Shares,
    amount: usize,
}

impl Share {
    pub fn amount(&self) -> usize {
        self.amount
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.lock().free += self.amount;
        self.shares.serve();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which sessions get amounts of three, while one waits for the first to be given back.
    async fn order(wanted: &[(u128, usize)]) -> Vec<u128> {
        let shares = Shares::new(3);
        let first = shares.take(SessionId::from_u128(0), 3).await;
        let got = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for &(session, amount) in wanted {
            let (shares, got) = (shares.clone(), got.clone());
            waiting.push(tokio::spawn(async move {
                let share = shares.take(SessionId::from_u128(session), amount).await;
                got.lock().expect("no panic").push(session);
                drop(share);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for waiting in waiting {
            waiting.await.expect("no panic");
        }
        got.lock().expect("no panic").clone()
    }

    #[tokio::test]
    async fn small_shares_do_not_overtake_a_large_one() {
        assert_eq!(order(&[(1, 2), (2, 3), (3, 1)]).await, [1, 2, 3]);
        assert_eq!(order(&[(1, 2), (1, 1), (2, 3), (3, 1)]).await, [1, 2, 3, 1]);
    }

    #[tokio::test]
    async fn who_gives_up_does_not_hold_up_others() {
        let shares = Shares::new(3);
        let first = shares.take(SessionId::from_u128(0), 2).await;
        let large = tokio::spawn({
            let shares = shares.clone();
            async move { shares.take(SessionId::from_u128(1), 3).await.is_some() }
        });
        tokio::task::yield_now().await;
        let small = tokio::spawn({
            let shares = shares.clone();
            async move { shares.take(SessionId::from_u128(2), 1).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!small.is_finished(), "it is not its turn");
        large.abort();
        assert!(large.await.is_err());
        // The next change shows that nobody waits for it any more.
        drop(shares.take(SessionId::from_u128(3), 0));
        drop(first);
        assert!(small.await.expect("no panic"));
    }
}
