//! Something that there is so much of, shared by clients and their sessions, which take turns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::ids::SessionId;
use crate::jobs::Client;

/// Whose work something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    client: Client,
    session: SessionId,
}

impl Owner {
    /// A session of a creator, if it has one.
    pub fn new(creator: Option<Arc<str>>, session: SessionId) -> Self {
        let client = creator.map_or(Client::Session(session), Client::Creator);
        Self { client, session }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl From<SessionId> for Owner {
    /// A session that counts alone.
    fn from(session: SessionId) -> Self {
        Self::new(None, session)
    }
}

/// An amount that clients take shares of, one client after another, and of each client one session after
/// another, so that one that wants much does not hold up the others. Nobody is overtaken: while the next
/// share does not fit, all wait. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    turns: Arc<Mutex<Turns>>,
}

#[derive(Debug)]
struct Turns {
    free: usize,
    /// Of each client the sessions, and of each session what waits.
    waiting: Round<Client, Round<SessionId, VecDeque<Waiter>>>,
}

/// Those that wait, in the order of their turns.
type Round<K, V> = VecDeque<(K, V)>;

#[derive(Debug)]
struct Waiter {
    amount: usize,
    share: oneshot::Sender<Share>,
}

impl Turns {
    fn add(&mut self, owner: Owner, waiter: Waiter) {
        let sessions = entry(&mut self.waiting, owner.client);
        entry(sessions, owner.session).push_back(waiter);
    }

    /// Takes the next one that still waits, if there is enough for it; its client and its session wait for
    /// their next turns.
    fn next(&mut self) -> Option<Waiter> {
        while let Some((client, mut sessions)) = self.waiting.pop_front() {
            let next = next_of(&mut sessions, self.free);
            match next {
                Next::None => {}
                Next::TooLarge => {
                    self.waiting.push_front((client, sessions));
                    return None;
                }
                Next::Waiter(waiter) => {
                    if !sessions.is_empty() {
                        self.waiting.push_back((client, sessions));
                    }
                    return Some(waiter);
                }
            }
        }
        None
    }
}

/// What is next of a client.
enum Next {
    None,
    /// There is too little for it.
    TooLarge,
    Waiter(Waiter),
}

fn next_of(sessions: &mut Round<SessionId, VecDeque<Waiter>>, free: usize) -> Next {
    while let Some((session, mut waiters)) = sessions.pop_front() {
        waiters.retain(|waiter| !waiter.share.is_closed());
        if waiters.front().is_some_and(|next| next.amount > free) {
            sessions.push_front((session, waiters));
            return Next::TooLarge;
        }
        let next = waiters.pop_front();
        if !waiters.is_empty() {
            sessions.push_back((session, waiters));
        }
        if let Some(next) = next {
            return Next::Waiter(next);
        }
    }
    Next::None
}

/// The value of a key, which is added at the end if it is not there.
fn entry<K: PartialEq, V: Default>(round: &mut Round<K, V>, key: K) -> &mut V {
    let index = round.iter().position(|(known, _)| *known == key);
    let index = index.unwrap_or_else(|| {
        round.push_back((key, V::default()));
        round.len() - 1
    });
    &mut round[index].1
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
    pub async fn take(&self, owner: impl Into<Owner>, amount: usize) -> Option<Share> {
        let (waiter, share) = oneshot::channel();
        let waiting = Waiter {
            amount,
            share: waiter,
        };
        self.lock().add(owner.into(), waiting);
        self.serve();
        share.await.ok()
    }

    /// A share if there is enough of it, and nobody waits.
    pub fn take_now(&self, amount: usize) -> Option<Share> {
        let mut turns = self.lock();
        if amount > turns.free || !turns.waiting.is_empty() {
            return None;
        }
        turns.free -= amount;
        let shares = self.clone();
        Some(Share { shares, amount })
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
    async fn many_sessions_of_one_client_do_not_hold_up_another() {
        let shares = Shares::new(1);
        let first = shares.take(SessionId::from_u128(0), 1).await;
        let got = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        let sessions = (1..=5).map(|session| ("many", session));
        for (creator, session) in sessions
            .clone()
            .chain(sessions)
            .chain([("one", 9), ("one", 9)])
        {
            let (shares, got) = (shares.clone(), got.clone());
            let owner = Owner::new(Some(creator.into()), SessionId::from_u128(session));
            waiting.push(tokio::spawn(async move {
                let share = shares.take(owner, 1).await;
                got.lock().expect("no panic").push(session);
                drop(share);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for waiting in waiting {
            waiting.await.expect("no panic");
        }
        let got = got.lock().expect("no panic").clone();
        assert_eq!(got, [1, 9, 2, 9, 3, 4, 5, 1, 2, 3, 4, 5]);
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

    #[tokio::test]
    async fn what_is_free_is_taken_at_once_unless_somebody_waits() {
        let shares = Shares::new(3);
        let first = shares.take_now(2).expect("it is free");
        assert!(shares.take_now(2).is_none(), "too little is free");
        let waiting = tokio::spawn({
            let shares = shares.clone();
            async move { shares.take(SessionId::from_u128(1), 3).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(shares.take_now(1).is_none(), "somebody waits");
        drop(first);
        assert!(waiting.await.expect("no panic"));
        assert!(shares.take_now(3).is_some(), "all was given back");
    }
}
