//! The address of a gateway for other gateways.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use tokio_rustls::rustls::pki_types::ServerName;

use super::peer::PeerError;
use crate::entrance::{Authority, Host, Scheme, parse_origin};

/// An address such as `http://10.0.0.5:8000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayUrl {
    scheme: Scheme,
    authority: Authority,
}

/// The text is not such an address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not an address of a gateway; write for example http://10.0.0.5:8000")]
pub struct BadGatewayUrl(String);

impl FromStr for GatewayUrl {
    type Err = BadGatewayUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = parse_origin(&text.trim_end_matches('/').to_ascii_lowercase());
        let (scheme, authority) = found.ok_or_else(|| BadGatewayUrl(text.to_owned()))?;
        Ok(Self { scheme, authority })
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme, self.authority)
    }
}

impl GatewayUrl {
    /// Port 0 means this one.
    pub fn at_port(&self, port: u16) -> Self {
        let mut url = self.clone();
        if url.authority.port == Some(0) {
            url.authority.port = Some(port);
        }
        url
    }

    pub fn is_encrypted(&self) -> bool {
        self.scheme == Scheme::Https
    }

    pub fn port(&self) -> u16 {
        self.authority.port.unwrap_or(self.scheme.port())
    }

    /// The host, an address without brackets.
    pub fn host(&self) -> String {
        match &self.authority.host {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name.clone(),
        }
    }

    /// The name that its certificate has.
    pub fn server_name(&self) -> Result<ServerName<'static>, PeerError> {
        let name = ServerName::try_from(self.host());
        name.map_err(|_| PeerError::Address(BadGatewayUrl(self.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        let parse = |text: &str| text.parse::<GatewayUrl>();
        let url = parse("http://10.0.0.5:8000/").expect("valid");
        assert_eq!((url.host().as_str(), url.port()), ("10.0.0.5", 8000));
        assert!(!url.is_encrypted());
        let url = parse("https://[::1]").expect("valid");
        assert_eq!((url.host().as_str(), url.port()), ("::1", 443));
        let any = parse("http://gateway-0:0").expect("valid").at_port(81);
        assert_eq!(any.to_string(), "http://gateway-0:81");
        for wrong in ["gateway-0:8000", "http://", "http://a/b", "ftp://a"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
