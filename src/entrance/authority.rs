//! The host and port of a URL or of the header `Host`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use thiserror::Error;
use warp::http::uri;

/// A host, and a port if one is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    pub host: Host,
    pub port: Option<u16>,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address; of IPv6 one that maps an IPv4 address as that one.
    Address(IpAddr),
    /// A name in lower case, without the dot at its end.
    Name(String),
}

/// The text is not a host with or without a port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a host; write name, name:port, address or [address]:port")]
pub struct InvalidAuthority(String);

impl FromStr for Authority {
    type Err = InvalidAuthority;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| InvalidAuthority(text.chars().take(100).collect()))
    }
}

fn parse(text: &str) -> Option<Authority> {
    let parsed: uri::Authority = text.parse().ok()?;
    if text.contains('@') {
        return None;
    }
    let host = parsed.host();
    let port = match text.get(host.len()..)? {
        "" | ":" => None,
        port => Some(port.strip_prefix(':')?.parse().ok()?),
    };
    let host = match host.strip_prefix('[') {
        Some(address) => {
            let address: IpAddr = address.strip_suffix(']')?.parse().ok()?;
            Host::Address(address.to_canonical())
        }
        None => Host::named(host)?,
    };
    Some(Authority { host, port })
}

impl Authority {
    /// Whether only this machine can be meant.
    pub fn is_of_this_machine(&self) -> bool {
        match &self.host {
            Host::Address(address) => address.is_loopback(),
            Host::Name(name) => name == "localhost",
        }
    }

    /// The same without the port that the scheme has anyway.
    pub fn without_default_port(self, scheme: Scheme) -> Self {
        let port = self.port.filter(|port| *port != scheme.port());
        Self { port, ..self }
    }
}

impl Host {
    /// A name, or an address without brackets.
    pub fn named(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let has_ends = !name.is_empty() && !name.starts_with('.') && !name.ends_with('.');
        let valid = has_ends && name.bytes().all(plain);
        valid.then(|| Self::Name(name.to_ascii_lowercase()))
    }

    /// Whether it always means the machine itself.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.host)?;
        match self.port {
            Some(port) => write!(formatter, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
            Self::Address(address) => write!(formatter, "{address}"),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

/// How a client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// `http` or `https`, and the names of the same for sockets.
impl FromStr for Scheme {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "http" | "ws" => Ok(Self::Http),
            "https" | "wss" => Ok(Self::Https),
            _ => Err(()),
        }
    }
}

/// An origin of web pages, such as `https://example.org:8443`.
pub fn parse_origin(text: &str) -> Option<(Scheme, Authority)> {
    let (scheme, authority) = text.split_once("://")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let authority: Authority = authority.parse().ok()?;
    Some((scheme, authority.without_default_port(scheme)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        text.parse::<Authority>()
            .ok()
            .map(|found| found.to_string())
    }

    #[test]
    fn hosts_have_one_spelling() {
        for (text, spelling) in [
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("example.org.:8000", "example.org:8000"),
            ("example.org:", "example.org"),
            ("192.168.0.7:8000", "192.168.0.7:8000"),
            ("[::1]:8000", "[::1]:8000"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
            ("my_service:8000", "my_service:8000"),
            ("127.0.0.1.", "127.0.0.1"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(spelling), "{text}");
        }
        for text in [
            "",
            ":8000",
            ".",
            "a..",
            ".example.org",
            "user@example.org",
            "example.org:80:90",
            "example.org:65536",
            "example.org:x",
            "[::1",
            "::1",
            "[example.org]",
            "a b",
            "a,b",
            "exämple.org",
            "example%2eorg",
            "example.org/path",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn local_hosts_are_names_and_addresses_of_loopback() {
        let local = |text: &str| Host::named(text).expect("a host").is_local();
        for text in ["localhost", "LOCALHOST.", "a.localhost", "127.1.2.3", "::1"] {
            assert!(local(text), "{text}");
        }
        for text in [
            "localhost.example",
            "127.0.0.1.example",
            "127.1",
            "0.0.0.0",
            "notlocalhost",
        ] {
            assert!(!local(text), "{text}");
        }
    }

    #[test]
    fn default_ports_of_origins_are_left_out() {
        let shown = |text| parse_origin(text).map(|(_, authority)| authority.to_string());
        assert_eq!(shown("https://a.test:443").as_deref(), Some("a.test"));
        assert_eq!(shown("http://a.test:443").as_deref(), Some("a.test:443"));
        assert_eq!(shown("null"), None);
        assert_eq!(shown("file://"), None);
        assert_eq!(shown("http://a.test/path"), None);
    }
}
