//! Memory of what clients upload, shared by all sessions without deadlocks.
//!
//! An upload claims the most that it may need, and takes memory as its bytes come. It gets more only if
//! afterwards all uploads can still end, one after another, with what is free and what those before
//! them give back: the banker's algorithm (Habermann, "Prevention of system deadlocks", CACM 12, 1969).
//! Uploads that hold nothing yet begin in the order in which they came.
//!
//! Small uploads have a part of the memory for themselves, so that they do not wait for large ones.
//!
//! The uploads of one client, all its sessions together, claim at most half of each part, unless it has
//! only one: however slowly they come, others go on. Uploads that wait for others of their own client let
//! those of other clients pass.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::jobs::Client;
use crate::metrics::BudgetMetrics;

/// Largest claim of a small upload in bytes, if there is memory enough.
const SMALL: usize = 1 << 20;
/// Small uploads have this part of the memory.
const SMALL_PART: usize = 8;
/// A small upload claims this part of their memory at most.
const SMALL_CLAIM_PART: usize = 4;
/// Memory is taken in multiples of this many bytes, up to the claim.
const GRANT: usize = 256 << 10;

/// So many uploads that wait to grow are tried each time that memory comes back. The one that needs least
/// is tried first; it can always grow in the end.
const TRIES: usize = 32;
/// So many uploads may begin while one waits to grow.
const MOST_OVERTAKEN: u32 = 64;

/// The memory of all uploads. Clones share it.
#[derive(Clone)]
pub struct UploadMemory {
    small: Arc<Bank>,
    large: Arc<Bank>,
    /// Largest claim of a small upload.
    most_small: usize,
    /// Whose uploads begin here; nobody's have no part.
    client: Option<Client>,
    metrics: BudgetMetrics,
}

/// The memory of one upload, returned when dropped.
pub struct UploadLease {
    memory: UploadMemory,
    /// In one of the banks, or in both while it moves from one to the other.
    small: Option<Account>,
    large: Option<Account>,
}

impl UploadMemory {
    /// A memory of this many bytes.
    pub(crate) fn new(bytes: usize, metrics: BudgetMetrics) -> Self {
        metrics.limit(bytes);
        let small = bytes / SMALL_PART;
        Self {
            small: Arc::new(Bank::new(small)),
            large: Arc::new(Bank::new(bytes - small)),
            most_small: (small / SMALL_CLAIM_PART).min(SMALL),
            client: None,
            metrics,
        }
    }

    /// The same memory for the uploads of a client.
    pub(crate) fn of(&self, client: &Client) -> Self {
        Self {
            client: Some(client.clone()),
            ..self.clone()
        }
    }

    /// Begins an upload that holds nothing yet.
    pub fn lease(&self) -> UploadLease {
        UploadLease {
            memory: self.clone(),
            small: None,
            large: None,
        }
    }

    /// A number that changes whenever an upload gets memory or gives some back. Who waits while it
    /// changes waits for its turn.
    pub fn turns(&self) -> u64 {
        self.small
            .lock()
            .turns
            .wrapping_add(self.large.lock().turns)
    }
}

impl UploadLease {
    /// Waits until the upload holds this many bytes, of at most `most` altogether. Both count as the
    /// whole memory at most.
    ///
    /// An upload whose size is not known is small at first: it claims `most` when it has grown out of
    /// the part of small uploads.
    pub fn poll_grow(
        &mut self,
        context: &mut Context<'_>,
        bytes: usize,
        most: Option<usize>,
        limit: usize,
    ) -> Poll<()> {
        let most_small = self.memory.most_small;
        let is_small = most.unwrap_or(bytes).max(bytes) <= most_small;
        if is_small && self.large.is_none() {
            let bank = &self.memory.small;
            let account = self
                .small
                .get_or_insert_with(|| Account::open(bank, &self.memory.client, most_small));
            return account.poll_grow(context, bytes, &self.memory.metrics);
        }
        let bank = &self.memory.large;
        let most = most.unwrap_or(limit).max(bytes);
        let client = &self.memory.client;
        let account = self
            .large
            .get_or_insert_with(|| Account::open(bank, client, most));
        std::task::ready!(account.poll_grow(context, bytes, &self.memory.metrics));
        if let Some(small) = self.small.take() {
            small.close(&self.memory.metrics);
        }
        Poll::Ready(())
    }

    /// The same, to wait for.
    pub async fn grow(&mut self, bytes: usize, most: Option<usize>, limit: usize) {
        std::future::poll_fn(|context| self.poll_grow(context, bytes, most, limit)).await;
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        let accounts = [&self.small, &self.large].into_iter().flatten();
        accounts.map(Account::held).sum()
    }

    /// The upload needs no more than this many bytes: the rest is returned.
    pub fn settle(&mut self, bytes: usize) {
        for account in [&self.small, &self.large].into_iter().flatten() {
            account.settle(bytes, &self.memory.metrics);
        }
    }
}

impl Drop for UploadLease {
    fn drop(&mut self) {
        for account in [self.small.take(), self.large.take()].into_iter().flatten() {
            account.close(&self.memory.metrics);
        }
    }
}

impl fmt::Debug for UploadMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UploadMemory")
            .field("small", &self.small.total)
            .field("large", &self.large.total)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for UploadLease {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UploadLease")
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// A part of the memory, and the uploads that share it.
struct Bank {
    total: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By their age, the oldest first.
    claims: BTreeMap<u64, Claim>,
    /// What the uploads of each client that have begun claim together.
    claimed: HashMap<Client, usize>,
    next: u64,
    turns: u64,
}

struct Claim {
    client: Option<Client>,
    held: usize,
    /// It never holds more.
    most: usize,
    /// What it waits for: bytes to hold.
    wanted: Option<(usize, Waker)>,
    /// How many uploads have begun while it waited to grow.
    overtaken: u32,
}

impl Claim {
    /// What counts for its client: nothing until it has begun.
    fn claimed(&self) -> usize {
        if self.held == 0 { 0 } else { self.most }
    }
}

impl State {
    /// The uploads of a client claim so much less together.
    fn claims_less(&mut self, client: Option<Client>, bytes: usize) {
        let Some(client) = client else {
            return;
        };
        if let Some(claimed) = self.claimed.get_mut(&client) {
            *claimed = claimed.saturating_sub(bytes);
            if *claimed == 0 {
                self.claimed.remove(&client);
            }
        }
    }
}

/// What the uploads that wait have got.
#[derive(Default)]
struct Given {
    bytes: usize,
    wakers: Vec<Waker>,
}

impl Bank {
    fn new(total: usize) -> Self {
        Self {
            total,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives memory to those that wait for it: first to uploads that grow, those that need least first,
    /// then to beginners in their order. Returns the bytes given, and whom to wake.
    fn serve(&self, state: &mut State) -> Given {
        let mut given = Given::default();
        let waiting = |begins| {
            let claims = state.claims.iter();
            let waiting = claims
                .filter(move |(_, claim)| claim.wanted.is_some() && (claim.held == 0) == begins);
            let ranked = waiting.map(|(id, claim)| (claim.most - claim.held, *id));
            ranked.collect::<Vec<_>>()
        };
        let (mut growing, beginning) = (waiting(false), waiting(true));
        growing.sort_unstable();
        let mut refused = 0;
        for (_, id) in growing {
            if !self.grant(state, id, &mut given) {
                refused += 1;
            }
            if refused == TRIES {
                break;
            }
        }
        for (_, id) in beginning {
            if !self.has_part(state, id) {
                continue;
            }
            // Later ones must not take what the first one waits for.
            if !self.begin(state, id, &mut given) {
                break;
            }
        }
        given
    }

    /// Whether an upload that begins is within its client's part, beside those that have begun.
    fn has_part(&self, state: &State, id: u64) -> bool {
        let Some(claim) = state.claims.get(&id) else {
            return false;
        };
        let Some(client) = &claim.client else {
            return true;
        };
        match state.claimed.get(client) {
            None => true,
            Some(claimed) => claimed.saturating_add(claim.most) <= self.total / 2,
        }
    }

    /// Lets an upload begin if it may.
    fn begin(&self, state: &mut State, id: u64, given: &mut Given) -> bool {
        let growing = || {
            let claims = state.claims.values();
            claims.filter(|claim| claim.wanted.is_some() && claim.held > 0)
        };
        if growing().any(|claim| claim.overtaken >= MOST_OVERTAKEN) {
            return false;
        }
        if !self.grant(state, id, given) {
            return false;
        }
        let growing = state.claims.iter_mut();
        for (_, claim) in growing.filter(|(_, claim)| claim.wanted.is_some() && claim.held > 0) {
            claim.overtaken += 1;
        }
        true
    }

    /// Whether another upload waits to begin before this one, and not for those of its own client.
    fn must_queue(&self, state: &State, id: u64) -> bool {
        let mut earlier = state.claims.range(..id);
        earlier.any(|(id, claim)| {
            claim.held == 0 && claim.wanted.is_some() && self.has_part(state, *id)
        })
    }

    /// Gives an upload what it waits for, if all can end afterwards.
    fn grant(&self, state: &mut State, id: u64, given: &mut Given) -> bool {
        let Some(claim) = state.claims.get_mut(&id) else {
            return false;
        };
        let Some((wanted, _)) = claim.wanted else {
            return false;
        };
        let before = claim.held;
        claim.held = wanted;
        let safe = self.is_safe(state);
        let Some(claim) = state.claims.get_mut(&id) else {
            return false;
        };
        if !safe {
            claim.held = before;
            return false;
        }
        claim.overtaken = 0;
        let begun = (before == 0).then(|| claim.client.clone().zip(Some(claim.most)));
        given
            .wakers
            .extend(claim.wanted.take().map(|(_, waker)| waker));
        given.bytes += wanted - before;
        if let Some((client, most)) = begun.flatten() {
            *state.claimed.entry(client).or_default() += most;
        }
        state.turns = state.turns.wrapping_add(1);
        true
    }

    /// Whether all uploads can end, one after another.
    fn is_safe(&self, state: &State) -> bool {
        let held: usize = state.claims.values().map(|claim| claim.held).sum();
        let Some(mut free) = self.total.checked_sub(held) else {
            return false;
        };
        // Uploads that hold nothing need not be considered: they may begin after the others.
        let holding = state.claims.values().filter(|claim| claim.held > 0);
        let mut needs: Vec<(usize, usize)> = holding
            .map(|claim| (claim.most - claim.held, claim.held))
            .collect();
        if needs.iter().all(|(need, _)| *need <= free) {
            return true;
        }
        needs.sort_unstable();
        needs.into_iter().all(|(need, held)| {
            let ends = need <= free;
            free += held;
            ends
        })
    }
}

/// An upload's claim in a bank.
struct Account {
    bank: Arc<Bank>,
    id: u64,
}

impl Account {
    fn open(bank: &Arc<Bank>, client: &Option<Client>, most: usize) -> Self {
        let mut state = bank.lock();
        let id = state.next;
        state.next += 1;
        let claim = Claim {
            client: client.clone(),
            held: 0,
            most: most.min(bank.total),
            wanted: None,
            overtaken: 0,
        };
        state.claims.insert(id, claim);
        drop(state);
        Self {
            bank: bank.clone(),
            id,
        }
    }

    fn held(&self) -> usize {
        let state = self.bank.lock();
        state.claims.get(&self.id).map_or(0, |claim| claim.held)
    }

    fn poll_grow(
        &self,
        context: &mut Context<'_>,
        bytes: usize,
        metrics: &BudgetMetrics,
    ) -> Poll<()> {
        let mut state = self.bank.lock();
        let Some(claim) = state.claims.get_mut(&self.id) else {
            return Poll::Ready(());
        };
        if bytes.min(claim.most) <= claim.held {
            claim.wanted = None;
            return Poll::Ready(());
        }
        let wanted = bytes
            .min(claim.most)
            .next_multiple_of(GRANT)
            .min(claim.most);
        let begins = claim.held == 0;
        claim.wanted = Some((wanted, context.waker().clone()));
        let mut given = Given::default();
        // What one upload gets lets no other one have more, so that only this one is looked at.
        let served = match begins {
            true => {
                self.bank.has_part(&state, self.id)
                    && !self.bank.must_queue(&state, self.id)
                    && self.bank.begin(&mut state, self.id, &mut given)
            }
            false => self.bank.grant(&mut state, self.id, &mut given),
        };
        metrics.taken(given.bytes);
        if served {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn settle(&self, bytes: usize, metrics: &BudgetMetrics) {
        let mut state = self.bank.lock();
        let Some(claim) = state.claims.get_mut(&self.id) else {
            return;
        };
        let back = claim.held.saturating_sub(bytes);
        let before = claim.claimed();
        claim.held -= back;
        claim.most = claim.held;
        claim.wanted = None;
        let (client, after) = (claim.client.clone(), claim.claimed());
        state.claims_less(client, before - after);
        self.take_back(state, back, metrics);
    }

    fn close(self, metrics: &BudgetMetrics) {
        let mut state = self.bank.lock();
        let claim = state.claims.remove(&self.id);
        let back = claim.as_ref().map_or(0, |claim| claim.held);
        if let Some(claim) = claim {
            state.claims_less(claim.client.clone(), claim.claimed());
        }
        self.take_back(state, back, metrics);
    }

    fn take_back(&self, mut state: MutexGuard<'_, State>, bytes: usize, metrics: &BudgetMetrics) {
        state.turns = state.turns.wrapping_add(1);
        let given = self.bank.serve(&mut state);
        drop(state);
        metrics.given_back(bytes);
        metrics.taken(given.bytes);
        for waker in given.wakers {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests;
