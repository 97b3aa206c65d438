//! Where a request comes from.

use std::net::IpAddr;
use std::sync::Arc;

use super::authority::{Authority, Scheme};
use super::prefix::PathPrefix;
use crate::rates::Buckets;

/// The other end of a network connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Where a request comes from and how its client sees the server, as far as trusted proxies say so.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The client's address, behind trusted proxies.
    pub client: IpAddr,
    /// What its address may do in how much time.
    pub rates: Arc<Buckets>,
    /// `None` if a proxy that is not known may have changed it.
    pub scheme: Option<Scheme>,
    /// `None` if the client does not say.
    pub authority: Option<Authority>,
    /// What the client has before the paths of this server.
    pub prefix: PathPrefix,
}

impl Arrival {
    /// A request from this machine for a host, if it names one.
    #[cfg(test)]
    pub fn at(host: Option<&str>, scheme: Option<Scheme>) -> Self {
        Self {
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            rates: Arc::new(Buckets::unlimited()),
            scheme,
            authority: host.map(|host| host.parse().expect("a host")),
            prefix: PathPrefix::default(),
        }
    }

    /// Whether a web page of this origin comes from this server.
    pub fn is_own(&self, scheme: Scheme, authority: &Authority) -> bool {
        let own = self.authority.clone();
        own.is_some_and(|own| own.without_default_port(scheme) == *authority)
            && self.scheme.is_none_or(|own| own == scheme)
    }
}
