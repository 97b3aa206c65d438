//! Reverse proxies that the operator trusts, and what they say of a request.
//!
//! Every client can write `X-Forwarded-For` and its relatives, so they count only from addresses of
//! `--trusted-proxies`. The list of hops is read from its end, which the nearest proxy wrote; it ends at
//! the first hop that is not a trusted proxy: that is the client.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Once;

use ipnet::IpNet;
use thiserror::Error;
use warp::http::header::{self, HeaderMap, HeaderName};

use super::authority::{Authority, InvalidAuthority, Scheme};
use super::forwarded::{self, Element};
use super::prefix::{InvalidPrefix, PathPrefix};

pub const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Addresses of trusted proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// An item of the list is not an address or a network.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not an address or network; write for example 127.0.0.1, 10.0.0.0/8 or fd00::/8")]
pub struct UnknownProxy(String);

/// Where a request came from, according to the proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    pub client: IpAddr,
    pub scheme: Option<Scheme>,
    pub authority: Option<Authority>,
    pub prefix: Option<PathPrefix>,
}

impl Forwarded {
    /// Nobody says anything.
    fn none(peer: IpAddr) -> Self {
        Self {
            client: peer,
            scheme: None,
            authority: None,
            prefix: None,
        }
    }
}

/// A trusted proxy sent something that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ForwardedError {
    #[error(
        "Forwarded and X-Forwarded-For name different clients; the proxy must remove the one that it does \
         not write"
    )]
    Contradiction,
    #[error(
        "Forwarded has a quote that does not end; the proxy must remove what clients write there"
    )]
    OpenQuote,
    #[error("X-Forwarded-Host or Forwarded: {0}")]
    Host(#[from] InvalidAuthority),
    #[error("X-Forwarded-Prefix: {0}")]
    Prefix(#[from] InvalidPrefix),
}

impl FromStr for TrustedProxies {
    type Err = UnknownProxy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        networks(text).map(Self).map_err(UnknownProxy)
    }
}

/// The networks and addresses of a list with commas; the item that is neither if there is one.
pub fn networks(list: &str) -> Result<Vec<IpNet>, String> {
    let items = list.split(',').map(str::trim);
    let networks = items.filter(|item| !item.is_empty()).map(|item| {
        let network = item.parse().ok().map(canonical);
        let address = || Some(item.parse::<IpAddr>().ok()?.to_canonical().into());
        network.or_else(address).ok_or_else(|| item.to_owned())
    });
    networks.collect()
}

/// The network of IPv4 that a network of mapped addresses means: addresses are compared in that form.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let length = network.prefix_len().checked_sub(MAPPED);
    match (network.addr().to_canonical(), length) {
        (address @ IpAddr::V4(_), Some(length)) if network.addr().is_ipv6() => {
            IpNet::new(address, length).unwrap_or(network)
        }
        _ => network,
    }
}

/// Whether the operator was told of a proxy that is not named.
static UNNAMED: Once = Once::new();

impl TrustedProxies {
    /// Whether no proxy is trusted.
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a trusted proxy has this address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// What the proxy at the address `peer` says; nothing of others is believed.
    ///
    /// # Errors
    /// [`ForwardedError`] if a trusted proxy sent something that cannot be used.
    pub fn read(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Forwarded, ForwardedError> {
        let peer = peer.to_canonical();
        if !self.contain(peer) {
            if peer.is_loopback() && headers.contains_key(&FOR) {
                UNNAMED.call_once(|| {
                    tracing::warn!(
                        "a program on this machine says for whom it asks (X-Forwarded-For), but --trusted-proxies \
                         does not name it: all its clients count as this machine, which has no limits of an \
                         address; add --trusted-proxies {peer} if it is a reverse proxy"
                    );
                });
            }
            return Ok(Forwarded::none(peer));
        }
        self.read_trusted(peer, headers)
    }

    /// What somebody at the address `peer` says who is trusted for another reason.
    ///
    /// # Errors
    /// [`ForwardedError`] if it cannot be used.
    pub fn read_trusted(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
    ) -> Result<Forwarded, ForwardedError> {
        let peer = peer.to_canonical();
        let mut found = Forwarded::none(peer);
        let listed = values(headers, &FOR);
        let elements = elements(headers)?;
        let by_list = self.client(peer, listed.iter().map(|text| Some(text.as_str())));
        let by_standard = self.client(
            peer,
            elements.iter().map(|element| element.client.as_deref()),
        );
        let (scheme, host) = if listed.is_empty() && !elements.is_empty() {
            found.client = by_standard.address;
            let element = nth_from_end(&elements, by_standard.hops);
            element.map_or((None, None), |one| (one.scheme.clone(), one.host.clone()))
        } else {
            if !elements.is_empty() && by_list.address != by_standard.address {
                return Err(ForwardedError::Contradiction);
            }
            found.client = by_list.address;
            let one = |name| {
                let all = values(headers, name);
                nth_from_end(&all, by_list.hops).cloned()
            };
            (one(&PROTO), one(&HOST))
        };
        found.scheme = scheme.and_then(|text| text.parse().ok());
        found.authority = host.map(|text| text.parse()).transpose()?;
        let prefixes = values(headers, &PREFIX);
        found.prefix = prefixes.last().map(|text| text.parse()).transpose()?;
        Ok(found)
    }

    /// Follows the hops from their end to the first that is not a trusted proxy. One that is not an
    /// address ends the way at the proxy that wrote it.
    fn client<'a>(
        &self,
        peer: IpAddr,
        hops: impl DoubleEndedIterator<Item = Option<&'a str>>,
    ) -> Client {
        let mut client = Client {
            address: peer,
            hops: 0,
        };
        for hop in hops.rev() {
            let Some(address) = hop.and_then(address) else {
                break;
            };
            client.address = address;
            client.hops += 1;
            if !self.contain(address) {
                break;
            }
        }
        client
    }
}

/// The client at the end of a way.
struct Client {
    address: IpAddr,
    /// How many items of the list the way has.
    hops: usize,
}

/// The items of all headers with this name, in their order. These headers have no quotes, and bytes that
/// are no text spoil their own item alone: a client cannot hide what a proxy has added.
fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lists = headers.get_all(name).iter();
    let items = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    let texts = items.map(|item| String::from_utf8_lossy(item).trim().to_owned());
    texts.filter(|text| !text.is_empty()).collect()
}

/// The items of all headers `Forwarded`, in their order.
fn elements(headers: &HeaderMap) -> Result<Vec<Element>, ForwardedError> {
    let mut elements = Vec::new();
    for list in headers.get_all(header::FORWARDED) {
        let list = String::from_utf8_lossy(list.as_bytes());
        let items = forwarded::items(&list).ok_or(ForwardedError::OpenQuote)?;
        let items = items.map(str::trim).filter(|item| !item.is_empty());
        elements.extend(items.map(forwarded::element));
    }
    Ok(elements)
}

/// The item that belongs to the hop of this number, counted from the end and from 1. Proxies that write
/// one value for all hops replace those before.
fn nth_from_end<T>(items: &[T], hop: usize) -> Option<&T> {
    let back = hop.clamp(1, items.len().max(1));
    items
        .len()
        .checked_sub(back)
        .and_then(|index| items.get(index))
}

/// An address as proxies write it: also with a port, and IPv6 in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    address
        .or_else(with_port)
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use warp::http::header::HeaderValue;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            headers.append(*name, value);
        }
        headers
    }

    fn read(peer: &str, lines: &[(&'static str, &str)]) -> Result<Forwarded, ForwardedError> {
        let trusted: TrustedProxies = "127.0.0.1, 10.0.0.0/8, fd00::/8".parse().expect("a list");
        trusted.read(peer.parse().expect("an address"), &headers(lines))
    }

    fn client(peer: &str, lines: &[(&'static str, &str)]) -> String {
        read(peer, lines).expect("usable").client.to_string()
    }

    #[test]
    fn others_are_not_believed() {
        let lines = [
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-prefix", "/evil"),
            ("forwarded", "for=198.51.100.2;host=evil.example"),
        ];
        let found = read("192.0.2.1", &lines).expect("ignored");
        assert_eq!(found.client.to_string(), "192.0.2.1");
        assert_eq!(
            (found.scheme, found.authority, found.prefix),
            (None, None, None)
        );
    }

    #[test]
    fn the_client_is_the_last_hop_that_is_not_trusted() {
        for (value, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("1.1.1.1, 192.0.2.1", "192.0.2.1"),
            ("1.1.1.1, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, unknown", "127.0.0.1"),
            ("192.0.2.1, nonsense, 10.0.0.2", "10.0.0.2"),
            ("", "127.0.0.1"),
            // What a client writes does not hide what the proxy adds.
            ("\"1.1.1.1, 192.0.2.1", "192.0.2.1"),
            ("\", 192.0.2.1", "192.0.2.1"),
            ("exämple, 192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(
                client("127.0.0.1", &[("x-forwarded-for", value)]),
                expected,
                "{value}"
            );
        }
        let twice = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(client("::ffff:127.0.0.1", &twice), "192.0.2.1");
    }

    #[test]
    fn the_standard_header_says_the_same() {
        let element = "for=1.1.1.1;host=no.test, FOR=\"[2001:db8::1]:80\";Proto=HTTPS;host=a.test, for=10.0.0.2";
        let found = read("fd00::1", &[("forwarded", element)]).expect("usable");
        assert_eq!(found.client.to_string(), "2001:db8::1");
        assert_eq!(found.scheme, Some(Scheme::Https));
        assert_eq!(found.authority.expect("a host").to_string(), "a.test");
        assert_eq!(
            client("10.0.0.1", &[("forwarded", "for=_hidden")]),
            "10.0.0.1"
        );
    }

    #[test]
    fn a_header_that_the_proxy_passes_on_does_not_change_the_client() {
        let listed = ("x-forwarded-for", "192.0.2.1");
        let other = [listed, ("forwarded", "for=198.51.100.1")];
        assert_eq!(
            read("127.0.0.1", &other),
            Err(ForwardedError::Contradiction)
        );
        let host = [
            listed,
            ("forwarded", "for=192.0.2.1;host=evil.example;proto=https"),
        ];
        let found = read("127.0.0.1", &host).expect("the same client");
        assert_eq!((found.scheme, found.authority), (None, None));
    }

    #[test]
    fn scheme_and_host_belong_to_the_client() {
        let chain = [
            ("x-forwarded-for", "192.0.2.1, 10.0.0.2"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "A.test:8443"),
        ];
        let found = read("127.0.0.1", &chain).expect("usable");
        assert_eq!(found.scheme, Some(Scheme::Https));
        assert_eq!(found.authority.expect("a host").to_string(), "a.test:8443");
        let wrong = [("x-forwarded-host", "a test")];
        assert!(matches!(
            read("127.0.0.1", &wrong),
            Err(ForwardedError::Host(_))
        ));
        let wrong = [("x-forwarded-prefix", "nowhere")];
        assert!(matches!(
            read("127.0.0.1", &wrong),
            Err(ForwardedError::Prefix(_))
        ));
    }

    #[test]
    fn a_quote_that_does_not_end_is_refused() {
        for value in ["for=\"1.1.1.1, for=192.0.2.1", "for=\""] {
            let found = read("127.0.0.1", &[("forwarded", value)]);
            assert_eq!(found, Err(ForwardedError::OpenQuote), "{value}");
            let both = [("x-forwarded-for", "192.0.2.1"), ("forwarded", value)];
            assert_eq!(read("127.0.0.1", &both), Err(ForwardedError::OpenQuote));
            assert!(read("192.0.2.9", &both).is_ok(), "nobody asks a stranger");
        }
        let other = "for=\"exämple\", for=192.0.2.1";
        assert_eq!(client("127.0.0.1", &[("forwarded", other)]), "192.0.2.1");
    }

    #[test]
    fn networks_of_mapped_addresses_are_those_of_ipv4() {
        let contains = |list: &str, address: &str| {
            let list: TrustedProxies = list.parse().expect("a list");
            list.contain(address.parse().expect("an address"))
        };
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "::ffff:10.1.2.3"));
        assert!(!contains("::ffff:10.0.0.0/104", "11.1.2.3"));
        assert!(contains("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(contains("::ffff:0:0/96", "192.0.2.1"));
        assert!(!contains("::ffff:0:0/96", "2001:db8::1"));
    }

    #[test]
    fn networks_are_addresses_with_a_length() {
        for text in ["10.0.0.0/33", "proxy.example", "10.0.0", "127.0.0.1:80"] {
            let error = text.parse::<TrustedProxies>();
            assert_eq!(error, Err(UnknownProxy(text.to_owned())));
        }
    }
}
