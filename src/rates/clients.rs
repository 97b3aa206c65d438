//! Who has done how much lately.

use std::net::IpAddr;
use std::sync::Arc;

use super::table::Table;
use super::{Buckets, Limits, RateOptions};
use crate::metrics::RateMetrics;
use crate::places::network;

/// Who has done how much lately.
#[derive(Debug)]
pub struct Rates {
    options: RateOptions,
    metrics: RateMetrics,
    addresses: Table<IpAddr>,
    /// Of all addresses for which there are no others.
    shared: Arc<Buckets>,
    /// The same for addresses of this machine, where a proxy may be.
    shared_here: Arc<Buckets>,
    owners: Table<Arc<str>>,
    /// Of all owners of tokens for whom there are no others.
    shared_of_owners: Arc<Buckets>,
}

impl Rates {
    pub fn new(options: &RateOptions, metrics: RateMetrics) -> Self {
        let shared = Arc::new(of_address(options.of_address(), &metrics));
        let shared_of_owners = Arc::new(of_owner(options.of_owner(), &metrics));
        Self {
            options: options.clone(),
            addresses: Table::new(shared.fill_time()),
            shared,
            shared_here: Arc::new(of_address(options.of_this_machine(), &metrics)),
            owners: Table::new(shared_of_owners.fill_time()),
            shared_of_owners,
            metrics,
        }
    }

    /// The buckets of the client with this address, of IPv6 of its network. If there are too many clients,
    /// new ones share some.
    pub fn of(&self, client: IpAddr) -> Arc<Buckets> {
        let client = network(client);
        let (limits, shared) = match client.is_loopback() {
            true => (self.options.of_this_machine(), &self.shared_here),
            false => (self.options.of_address(), &self.shared),
        };
        let new = || of_address(limits, &self.metrics);
        let known = self.addresses.of(client, new);
        known.unwrap_or_else(|| shared.clone())
    }

    /// The buckets of the owner of a token, if there are limits for one.
    pub fn of_owner(&self, owner: &Arc<str>) -> Option<Arc<Buckets>> {
        let limits = self.options.of_owner();
        if limits == Limits::NONE {
            return None;
        }
        let new = || of_owner(limits, &self.metrics);
        let known = self.owners.of(owner.clone(), new);
        Some(known.unwrap_or_else(|| self.shared_of_owners.clone()))
    }
}

fn of_address(limits: Limits, metrics: &RateMetrics) -> Buckets {
    Buckets::new(limits, "from this address", metrics.clone())
}

fn of_owner(limits: Limits, metrics: &RateMetrics) -> Buckets {
    Buckets::new(limits, "by the owner of this token", metrics.clone())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use prometheus::Registry;

    use std::time::Duration;

    use super::super::Pace;
    use super::*;

    #[derive(clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        options: RateOptions,
    }

    fn rates(arguments: &[&str]) -> Rates {
        let line = CommandLine::parse_from([&["pointstream"], arguments].concat());
        let metrics = RateMetrics::new(&Registry::new()).expect("names are free");
        let mut rates = Rates::new(&line.options, metrics);
        (rates.addresses.most, rates.owners.most) = (3, 3);
        rates
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn clients_do_not_use_up_the_rates_of_others() {
        let rates = rates(&["--max-new-sessions-per-minute", "1"]);
        assert!(rates.of(address(1)).session().is_ok());
        assert!(rates.of(address(1)).session().is_err());
        assert!(rates.of(address(2)).session().is_ok());
        let ipv6 = |text: &str| rates.of(text.parse().expect("an address"));
        assert!(ipv6("2001:db8::1").session().is_ok());
        assert!(ipv6("2001:db8::2").session().is_err(), "the same network");
    }

    #[test]
    fn the_number_of_clients_is_bounded() {
        let rates = rates(&["--max-new-sessions-per-minute", "1"]);
        for client in 1..=3 {
            assert!(rates.of(address(client)).session().is_ok());
        }
        assert!(rates.of(address(4)).session().is_ok(), "the shared one");
        assert!(rates.of(address(5)).session().is_err(), "the same one");
        assert!(rates.of(address(1)).session().is_err(), "still known");
        assert_eq!(rates.addresses.len(), 3);
    }

    #[test]
    fn owners_of_tokens_have_rates_of_their_own() {
        let owner = |number: u32| -> Arc<str> { format!("token:{number}").into() };
        assert!(rates(&[]).of_owner(&owner(1)).is_none(), "no limit");
        let rates = rates(&["--max-new-sessions-per-minute-per-token", "1"]);
        let session = |number| {
            let pace = Pace::new(rates.of(address(1)), rates.of_owner(&owner(number)));
            pace.session()
        };
        assert_eq!(session(1), Ok(()));
        let refused = session(1).expect_err("one a minute");
        assert!(refused.to_string().contains("by the owner"), "{refused}");
        for number in 2..=4 {
            assert_eq!(session(number), Ok(()), "the last one is the shared one");
        }
        assert!(session(5).is_err(), "the same one");
    }

    #[test]
    fn rates_that_are_low_for_the_largest_message_are_told() {
        let low = |arguments: &[&str], message| {
            let options = rates(arguments).options;
            let low: Vec<_> = options.too_low_for(message).collect();
            low
        };
        assert_eq!(low(&[], 64 << 20), []);
        let arguments = ["--max-upload-mb-per-second", "2"];
        assert_eq!(low(&arguments, 20 << 20), []);
        let found = low(&arguments, (20 << 20) + 1);
        assert_eq!((found[0].rate, found[0].fitting), (2.0, 20.0));
        let arguments = ["--max-upload-mb-per-second-per-token", "1"];
        let found = low(&arguments, 64 << 20);
        assert_eq!(found[0].option, arguments[0]);
    }

    #[test]
    fn this_machine_has_no_limit_among_many_clients() {
        let mut rates = rates(&[]);
        rates.addresses.most = 0;
        let allowed = |client: IpAddr| {
            (0..100)
                .filter(|_| rates.of(client).session().is_ok())
                .count()
        };
        assert_eq!(allowed([127, 0, 0, 1].into()), 100);
        assert!(allowed(address(1)) < 100);
    }

    #[test]
    fn clients_that_come_no_more_are_forgotten() {
        let mut rates = rates(&[]);
        rates.addresses.forget_after = Duration::ZERO;
        let used = rates.of(address(1));
        for client in 2..=3 {
            rates.of(address(client)).request().expect("the first");
        }
        let new = rates.of(address(4));
        assert!(!Arc::ptr_eq(&new, &rates.shared));
        assert!(rates.addresses.knows(&address(1)), "a socket uses it");
        assert_eq!(rates.addresses.len(), 2);
        drop(used);
    }
}
