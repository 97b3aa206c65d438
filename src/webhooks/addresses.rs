//! Addresses that messages may be sent to: those of the public internet, and networks that the operator
//! allows. Whoever chooses the URL of a webhook must not reach what only this machine reaches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;

use crate::entrance::networks;

/// IPv4 networks that are not parts of the public internet.
/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, and multicast.
const SPECIAL_V4: [Ipv4Net; 16] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    // With the address of metadata services, 169.254.169.254.
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 31, 196, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// IPv6 addresses are assigned to the public from this network.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);
/// Its parts that are not of the public internet.
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>.
const SPECIAL_V6: [Ipv6Net; 3] = [
    // Protocols, with Teredo and benchmarks.
    v6([0x2001, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0], 32),
    v6([0x3fff, 0, 0, 0], 20),
];

/// IPv4 addresses behind a translation (RFC 6052).
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0], 96);
/// IPv4 addresses behind a relay (RFC 3056).
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0], 16);

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(begin: [u16; 4], length: u8) -> Ipv6Net {
    let [a, b, c, d] = begin;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), length)
}

/// Networks beside the public internet that messages may be sent to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<IpNet>);

/// An item of the list is not an address or a network.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not an address or network; write for example 10.0.0.0/8 or fd00::/8, or all")]
pub struct UnknownNetwork(String);

impl FromStr for AllowedNetworks {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "all" {
            let all = [IpNet::V4(v4([0; 4], 0)), IpNet::V6(v6([0; 4], 0))];
            return Ok(Self(all.into()));
        }
        networks(text).map(Self).map_err(UnknownNetwork)
    }
}

impl AllowedNetworks {
    /// Whether messages may be sent to an address.
    pub fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let listed = |address| self.0.iter().any(|network| network.contains(&address));
        match (address, embedded(address)) {
            (_, Some(inner)) => is_public_v4(inner) || listed(inner.into()),
            (IpAddr::V4(v4), _) => is_public_v4(v4) || listed(address),
            (IpAddr::V6(v6), _) => is_public_v6(v6) || listed(address),
        }
    }
}

/// The IPv4 address that an IPv6 address leads to.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let octets = address.octets();
    let bytes = match address {
        _ if NAT64.contains(&address) => &octets[12..16],
        _ if SIX_TO_FOUR.contains(&address) => &octets[2..6],
        _ => return None,
    };
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|network| network.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    GLOBAL_V6.contains(&address) && !SPECIAL_V6.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, address: &str) -> bool {
        let list: AllowedNetworks = list.parse().expect("a list");
        list.allow(address.parse().expect("an address"))
    }

    #[test]
    fn only_public_addresses_are_allowed() {
        for address in [
            "8.8.8.8",
            "1.1.1.1",
            "172.32.0.1",
            "2001:4860:4860::8888",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(allows("", address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.7",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::8.8.8.8",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:db8::1",
            "fd00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!allows("", address), "{address}");
        }
    }

    #[test]
    fn the_operator_allows_networks() {
        let list = "10.0.0.0/8, 127.0.0.1,fd00::/8";
        for address in [
            "10.9.9.9",
            "127.0.0.1",
            "::ffff:10.0.0.1",
            "fd12::1",
            "64:ff9b::a00:1",
        ] {
            assert!(allows(list, address), "{address}");
        }
        for address in ["127.0.0.2", "192.168.0.1", "fe80::1", "::1"] {
            assert!(!allows(list, address), "{address}");
        }
        for address in ["127.0.0.1", "::1", "fe80::1", "169.254.169.254"] {
            assert!(allows("all", address), "{address}");
        }
        assert!(allows("::ffff:10.0.0.0/104", "10.9.9.9"));
        assert!(allows("::ffff:10.0.0.0/104", "::ffff:10.9.9.9"));
        assert!(!allows("::ffff:10.0.0.0/104", "192.168.0.1"));
        for wrong in ["10.0.0.0/33", "localhost", "10.0.0.1,x"] {
            assert!(wrong.parse::<AllowedNetworks>().is_err(), "{wrong}");
        }
    }
}
