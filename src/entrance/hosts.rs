//! Hosts under which the server answers.
//!
//! A web site can point its own name to this server's address after a browser has loaded its page: "DNS
//! rebinding". To the browser the server is then a part of that site, so its page may read everything.
//! The name is still in `Host`; requests for names that the operator did not allow are refused.
//!
//! Addresses are always allowed. A page of `http://192.168.0.7:8000` came from the machine with that
//! address, and nobody can point an address elsewhere.

use std::str::FromStr;

use thiserror::Error;

use super::authority::{Authority, Host};

/// A list of allowed names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostList(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    Is(Host),
    /// All names below this one, which begins with a dot.
    Below(String),
}

/// An item of the list is not a host.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a host; write a name without scheme, port and path, *.name for all below it, or *"
)]
pub struct UnknownHost(String);

/// The server does not answer under this host.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "this server does not answer under the name {0}; if it is yours, its operator allows it with \
     --allowed-hosts {0} or --public-url"
)]
pub struct ForbiddenHost(Host);

impl FromStr for HostList {
    type Err = UnknownHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let items = text.split(',').map(str::trim);
        let patterns = items.filter(|item| !item.is_empty()).map(|item| {
            let pattern = match item.strip_prefix("*.") {
                _ if item == "*" => Some(Pattern::Any),
                Some(parent) => match Host::named(parent) {
                    Some(Host::Name(name)) => Some(Pattern::Below(format!(".{name}"))),
                    _ => None,
                },
                None => {
                    let bare = item
                        .strip_prefix('[')
                        .and_then(|item| item.strip_suffix(']'));
                    Host::named(bare.unwrap_or(item)).map(Pattern::Is)
                }
            };
            pattern.ok_or_else(|| UnknownHost(item.to_owned()))
        });
        Ok(Self(patterns.collect::<Result<_, _>>()?))
    }
}

impl HostList {
    /// Allows one more.
    pub fn allow(&mut self, host: Host) {
        self.0.push(Pattern::Is(host));
    }

    /// Allows one more if the text is one.
    pub fn allow_if_valid(&mut self, text: &str) {
        self.0.extend(Host::named(text).map(Pattern::Is));
    }

    /// Allows all.
    pub fn allow_any(&mut self) {
        self.0.push(Pattern::Any);
    }

    /// # Errors
    /// [`ForbiddenHost`] unless the host is an address, means this machine, or is in the list.
    pub fn check(&self, authority: &Authority) -> Result<(), ForbiddenHost> {
        let host = &authority.host;
        let allowed = match host {
            Host::Address(_) => true,
            Host::Name(_) => host.is_local() || self.includes(host),
        };
        allowed
            .then_some(())
            .ok_or_else(|| ForbiddenHost(host.clone()))
    }

    /// Whether a host is in the list.
    pub fn includes(&self, host: &Host) -> bool {
        self.0.iter().any(|pattern| match (pattern, host) {
            (Pattern::Any, _) => true,
            (Pattern::Is(known), _) => known == host,
            (Pattern::Below(parent), Host::Name(name)) => name.ends_with(parent),
            (Pattern::Below(_), Host::Address(_)) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, host: &str) -> bool {
        let list: HostList = list.parse().expect("a list");
        list.check(&host.parse().expect("a host")).is_ok()
    }

    #[test]
    fn addresses_and_this_machine_are_always_allowed() {
        for host in [
            "127.0.0.1:8000",
            "[::1]",
            "192.168.0.7",
            "[2001:db8::1]:80",
            "localhost:1",
            "A.localhost.",
        ] {
            assert!(allows("", host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.1",
            "2130706433",
            "0x7f000001",
        ] {
            assert!(!allows("", host), "{host}");
        }
    }

    #[test]
    fn listed_names_are_allowed_at_every_port() {
        let list = "Scan.Example.org., *.test";
        for host in [
            "scan.example.org",
            "SCAN.example.org.:8443",
            "a.test",
            "a.b.test:1",
        ] {
            assert!(allows(list, host), "{host}");
        }
        for host in ["example.org", "xscan.example.org", "test", "atest"] {
            assert!(!allows(list, host), "{host}");
        }
        assert!(allows("*", "anything.example"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "http://a.test",
            "a.test:80",
            "a.test/x",
            "*.",
            "*.127.0.0.1",
            "a.*",
            "a b",
        ] {
            assert_eq!(text.parse::<HostList>(), Err(UnknownHost(text.to_owned())));
        }
        assert!("[::1],::1,127.0.0.1".parse::<HostList>().is_ok());
    }
}
