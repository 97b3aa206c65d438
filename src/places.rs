//! Places for network connections: how many there are, how many of them one address may have, and who
//! goes when there is none left.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// All places. Clones share them.
#[derive(Debug, Clone)]
pub struct Places {
    limits: Limits,
    state: Arc<Mutex<State>>,
    freed: Arc<Notify>,
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub all: usize,
    /// Of one address of another machine.
    pub of_address: usize,
    /// Of an address of this machine, where a proxy may be.
    pub of_this_machine: usize,
}

impl Limits {
    fn of(&self, address: IpAddr) -> usize {
        match address.is_loopback() {
            true => self.of_this_machine,
            false => self.of_address,
        }
    }
}

/// No place for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// Its address has all that it may have.
    Address,
    /// All are taken, and everyone there has sent a request.
    Full,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// By their numbers: the oldest first.
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    address: IpAddr,
    /// Whether the client has sent the head of a request.
    heard: bool,
    lost: CancellationToken,
}

impl Places {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Arc::default(),
            freed: Arc::default(),
        }
    }

    /// Takes a place for a connection from this address. If there is none, a connection that has not
    /// sent a request loses its own: the oldest one of the same address if that has all its places,
    /// otherwise of the address with the most places.
    ///
    /// # Errors
    /// [`NoPlace`] if everyone has sent a request.
    pub fn take(&self, address: IpAddr) -> Result<Place, NoPlace> {
        let address = network(address);
        self.take_within(address, self.limits.of(address))
    }

    /// Takes a place for a connection from a proxy that may have all of them.
    ///
    /// # Errors
    /// [`NoPlace`] if everyone has sent a request.
    pub fn take_for_proxy(&self, address: IpAddr) -> Result<Place, NoPlace> {
        self.take_within(network(address), self.limits.all)
    }

    fn take_within(&self, address: IpAddr, limit: usize) -> Result<Place, NoPlace> {
        let mut state = self.lock();
        let own = state
            .taken
            .values()
            .filter(|taken| taken.address == address);
        // One that may have all places waits for them like everybody.
        if limit < self.limits.all
            && own.count() >= limit
            && !state.evict(|taken| taken.address == address)
        {
            return Err(NoPlace::Address);
        }
        if state.taken.len() >= self.limits.all {
            let most = state.greediest();
            let evicted = most.is_some_and(|most| state.evict(|taken| taken.address == most));
            if !evicted {
                return Err(NoPlace::Full);
            }
        }
        let number = state.next;
        state.next += 1;
        let lost = CancellationToken::new();
        let taken = Taken {
            address,
            heard: false,
            lost: lost.clone(),
        };
        state.taken.insert(number, taken);
        Ok(Place {
            places: self.clone(),
            number,
            lost,
        })
    }

    /// Waits until a connection has given its place back since the last call.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the place of the oldest silent connection of these away, if there is one.
    fn evict(&mut self, among: impl Fn(&Taken) -> bool) -> bool {
        let mut silent = self
            .taken
            .iter()
            .filter(|(_, taken)| !taken.heard && among(taken));
        let Some((&number, taken)) = silent.next() else {
            return false;
        };
        taken.lost.cancel();
        self.taken.remove(&number);
        true
    }

    /// Of the addresses with a silent connection, the one with the most places.
    fn greediest(&self) -> Option<IpAddr> {
        let mut places: HashMap<IpAddr, (usize, bool)> = HashMap::new();
        for taken in self.taken.values() {
            let (count, silent) = places.entry(taken.address).or_default();
            *count += 1;
            *silent |= !taken.heard;
        }
        let silent = places.into_iter().filter(|(_, (_, silent))| *silent);
        let most = silent.max_by_key(|(address, (count, _))| (*count, *address));
        most.map(|(address, _)| address)
    }
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    number: u64,
    lost: CancellationToken,
}

impl Place {
    /// The client has sent the head of a request that was let in.
    pub fn heard(&self) {
        if let Some(taken) = self.places.lock().taken.get_mut(&self.number) {
            taken.heard = true;
        }
    }

    /// Counts the place for the client whose request came on it: a proxy's connection serves many.
    ///
    /// # Errors
    /// [`NoPlace::Address`] if the client has all that it may have on other connections.
    pub fn count_for(&self, client: IpAddr) -> Result<(), NoPlace> {
        let client = network(client);
        let mut state = self.places.lock();
        let (mut own, mut others) = (None, 0);
        if state
            .taken
            .get(&self.number)
            .is_some_and(|taken| taken.address == client)
        {
            return Ok(());
        }
        for (number, taken) in &mut state.taken {
            if *number == self.number {
                own = Some(taken);
            } else if taken.address == client {
                others += 1;
            }
        }
        let limits = self.places.limits;
        if others >= limits.of(client).min(limits.all) {
            return Err(NoPlace::Address);
        }
        // One that has lost its place is about to end.
        if let Some(taken) = own {
            taken.address = client;
        }
        Ok(())
    }

    /// Cancelled when another connection has got this place.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().taken.remove(&self.number);
        self.places.freed.notify_one();
    }
}

/// What counts as one address: of IPv6 the network of 64 bits that one client usually has.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        all: 4,
        of_address: 3,
        of_this_machine: 4,
    };

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn heard(places: &Places, from: &str) -> Place {
        let place = places.take(address(from)).expect("there is room");
        place.heard();
        place
    }

    #[test]
    fn an_address_has_its_share() {
        let places = Places::new(LIMITS);
        let one = ["192.0.2.1"; 3].map(|from| heard(&places, from));
        let refused = |from| places.take(address(from)).expect_err("no place");
        assert_eq!(refused("192.0.2.1"), NoPlace::Address);
        assert_eq!(refused("::ffff:192.0.2.1"), NoPlace::Address);
        let other = heard(&places, "192.0.2.2");
        assert_eq!(refused("192.0.2.2"), NoPlace::Full);
        drop((one, other));
        let _ipv6 = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(|from| heard(&places, from));
        assert_eq!(refused("2001:db8::4"), NoPlace::Address);
        assert!(places.take(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn connections_of_a_proxy_count_for_its_clients() {
        let places = Places::new(LIMITS);
        let proxy = || places.take_for_proxy(address("192.0.2.1")).expect("room");
        let [one, two, three, four] = [proxy(), proxy(), proxy(), proxy()];
        for place in [&one, &two, &three] {
            assert_eq!(place.count_for(address("198.51.100.1")), Ok(()));
        }
        let refused = four.count_for(address("198.51.100.1"));
        assert_eq!(refused, Err(NoPlace::Address));
        assert_eq!(
            one.count_for(address("198.51.100.1")),
            Ok(()),
            "the same again"
        );
        assert_eq!(one.count_for(address("198.51.100.2")), Ok(()));
        assert_eq!(four.count_for(address("198.51.100.1")), Ok(()));
    }

    #[test]
    fn this_machine_may_have_more() {
        let places = Places::new(LIMITS);
        let _all = ["127.0.0.1"; 4].map(|from| heard(&places, from));
        let refused = places.take(address("127.0.0.1"));
        assert_eq!(refused.expect_err("no place"), NoPlace::Full);
    }

    #[test]
    fn the_silent_go_first() {
        let places = Places::new(LIMITS);
        let asked = heard(&places, "192.0.2.1");
        let silent = ["192.0.2.2"; 2].map(|from| places.take(address(from)).expect("room"));
        let other = places.take(address("192.0.2.3")).expect("room");
        let new = places
            .take(address("192.0.2.4"))
            .expect("a silent one goes");
        let lost = |place: &Place| place.lost().is_cancelled();
        assert!(lost(&silent[0]) && !lost(&silent[1]));
        assert!(!lost(&asked) && !lost(&other) && !lost(&new));
        new.heard();
        // The one that has lost its place does not give it back.
        let [first, _second] = silent;
        drop(first);
        let _next = places
            .take(address("192.0.2.4"))
            .expect("a silent one goes");
        assert_eq!(places.lock().taken.len(), 4);
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_is_noticed() {
        let places = Places::new(LIMITS);
        let mut all = vec![heard(&places, "192.0.2.1")];
        drop(all.pop());
        places.freed().await;
    }
}
