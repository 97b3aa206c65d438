//! Opens connections to the server, plain or with TLS, for HTTP and for WebSockets.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

use crate::error::Error;

/// A connection.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Where the server is.
pub(crate) struct Transport {
    /// The address without a slash at its end.
    pub base: String,
    /// The path of the address, without a slash at its end.
    pub prefix: String,
    host: String,
    authority: String,
    port: u16,
    secure: bool,
    pub timeout: Duration,
    given_tls: Option<Arc<ClientConfig>>,
    // Reading the certificates of the system takes a moment.
    system_tls: OnceLock<Arc<ClientConfig>>,
}

impl Transport {
    pub fn new(
        base: &str,
        timeout: Duration,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, Error> {
        let wrong = || {
            Error::InvalidArgument(
                "the address must be like http://127.0.0.1:8000, without a query".to_owned(),
            )
        };
        let uri: Uri = base.parse().map_err(|_| wrong())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if uri.query().is_some() {
            return Err(wrong());
        }
        if authority.as_str().contains('@') {
            return Err(Error::InvalidArgument(
                "pass the token to Client::token, not in the address, which logs may show"
                    .to_owned(),
            ));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let scheme = if secure { "https" } else { "http" };
        Ok(Self {
            base: format!("{scheme}://{authority}{prefix}"),
            prefix,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            authority: authority.as_str().to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            secure,
            timeout,
            given_tls: tls,
            system_tls: OnceLock::new(),
        })
    }

    /// The address of a WebSocket at a path below that of the server.
    pub fn socket_address(&self, path: &str) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}{path}", self.authority, self.prefix)
    }

    /// The value of the header `Host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub async fn connect(&self) -> Result<Box<dyn Io>, Error> {
        let opened = tokio::time::timeout(self.timeout, self.open()).await;
        opened.unwrap_or_else(|_| Err(self.unreachable(&"no answer in time")))
    }

    async fn open(&self) -> Result<Box<dyn Io>, Error> {
        let plain = TcpStream::connect((self.host.as_str(), self.port)).await;
        let plain = plain.map_err(|error| self.unreachable(&error))?;
        // Small messages, such as confirmations, must not wait for others.
        plain
            .set_nodelay(true)
            .map_err(|error| self.unreachable(&error))?;
        if !self.secure {
            return Ok(Box::new(plain));
        }
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|error| self.unreachable(&error))?;
        let connector = TlsConnector::from(self.tls()?);
        let secure = connector.connect(name, plain).await;
        Ok(Box::new(secure.map_err(|error| self.unreachable(&error))?))
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.given_tls.as_ref().or_else(|| self.system_tls.get()) {
            return Ok(Arc::clone(config));
        }
        let config = trust_of_the_system().map_err(|error| {
            Error::InvalidArgument(format!(
                "the system's certificates cannot be used ({error}); pass others in ClientOptions::tls"
            ))
        })?;
        Ok(Arc::clone(self.system_tls.get_or_init(|| Arc::new(config))))
    }

    pub fn unreachable(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::Unreachable(format!(
            "cannot reach {} ({reason}); is the server running, and is this its address?",
            self.base
        ))
    }
}

fn trust_of_the_system() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth())
}

/// The header that says who we are; never a part of an address, which proxies log.
pub(crate) fn credentials(token: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
        Error::InvalidArgument("the token has characters that no header may have".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(base: &str) -> Result<Transport, Error> {
        Transport::new(base, Duration::from_secs(1), None)
    }

    #[test]
    fn addresses_may_have_a_path() {
        let plain = transport("http://127.0.0.1:8000/").unwrap();
        assert_eq!(plain.base, "http://127.0.0.1:8000");
        assert_eq!(plain.socket_address("/ws/x"), "ws://127.0.0.1:8000/ws/x");
        let below = transport("https://example.org/photos/").unwrap();
        assert_eq!((below.port, below.prefix.as_str()), (443, "/photos"));
        let address = "wss://example.org/photos/ws/x";
        assert_eq!(below.socket_address("/ws/x"), address);
        assert_eq!(transport("http://[::1]:80").unwrap().host, "::1");
    }

    #[test]
    fn other_addresses_are_refused() {
        for base in ["", "example.org", "ftp://example.org", "http://a/?b=c"] {
            assert!(transport(base).is_err(), "{base}");
        }
        let error = transport("http://me:secret@example.org").err().unwrap();
        assert!(error.to_string().contains("Client::token"));
    }

    #[test]
    fn the_trust_of_the_system_can_be_read() {
        // A machine may have no certificates; then the error says so.
        if let Err(error) = trust_of_the_system() {
            assert!(!error.to_string().is_empty());
        }
    }
}
