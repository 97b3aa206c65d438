//! Several gateways that share their sessions. Any of them takes any request; one about a session that another
//! gateway has is passed on to it.

mod address;
mod forwarding;
mod peer;
mod together;

use std::fmt;
use std::sync::Arc;

use hyper::body::Body;
use pointstream_actors::{GatewayRecord, SharingError, SharingSettings, System};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use warp::http::HeaderMap;
use warp::http::header::HeaderName;

pub use self::address::{BadGatewayUrl, GatewayUrl};
pub use self::forwarding::forward;
use crate::tls;

/// What gateways prove themselves with to each other, and which one is meant.
const PROOF: HeaderName = HeaderName::from_static("pointstream-gateway-proof");
const MEANT: HeaderName = HeaderName::from_static("pointstream-gateway");
/// The secret of the proof.
const SECRET: &str = "gateways";

/// The gateways that share their sessions with this one.
pub struct Gateways {
    system: System,
    id: Uuid,
    proof: String,
    /// Cancelled when this gateway ends.
    stop: CancellationToken,
    /// Trusts what the system trusts; else why it cannot be told.
    tls: Result<TlsConnector, tokio_rustls::rustls::Error>,
}

/// What it proves itself with is not shown.
impl fmt::Debug for Gateways {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Gateways")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Gateways {
    /// `None` if this gateway shares nothing.
    ///
    /// # Errors
    /// [`SharingError`] if what the gateways know together cannot be read.
    pub async fn of(
        system: &System,
        stop: CancellationToken,
    ) -> Result<Option<Arc<Self>>, SharingError> {
        let secret = system.shared_secret(SECRET).await?;
        let Some((secret, id)) = secret.zip(system.gateway_id()) else {
            return Ok(None);
        };
        let tls = tls::client_config().map(|config| TlsConnector::from(Arc::new(config)));
        if let Err(error) = &tls {
            tracing::warn!(%error, "gateways with https:// cannot be reached");
        }
        Ok(Some(Arc::new(Self {
            system: system.clone(),
            id,
            stop,
            proof: secret.iter().map(|byte| format!("{byte:02x}")).collect(),
            tls,
        })))
    }

    /// Whether a request comes from another gateway.
    pub fn recognize(&self, headers: &HeaderMap) -> bool {
        headers
            .get(&PROOF)
            .is_some_and(|proof| proof.as_bytes().ct_eq(self.proof.as_bytes()).into())
    }

    /// Whether a request of another gateway is meant for this life of this one.
    fn is_meant(&self, headers: &HeaderMap) -> bool {
        let meant = headers.get(&MEANT).and_then(|meant| meant.to_str().ok());
        meant.and_then(|meant| meant.parse().ok()) == Some(self.id)
    }

    /// A connection to another gateway.
    async fn connect<B>(
        &self,
        gateway: &GatewayRecord,
    ) -> Result<peer::Connection<B>, peer::PeerError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let url: GatewayUrl = gateway.address.parse().map_err(peer::PeerError::Address)?;
        let stream = peer::within(TcpStream::connect((url.host(), url.port()))).await?;
        match url.is_encrypted() {
            false => peer::Connection::over(stream).await,
            true => {
                let connector = self.tls.as_ref();
                let connector = connector.map_err(|error| peer::PeerError::Tls(error.clone()))?;
                let name = url.server_name()?;
                peer::Connection::over(peer::within(connector.connect(name, stream)).await?).await
            }
        }
    }
}

/// How this gateway presents itself to others, at this port.
pub fn sharing(url: &GatewayUrl, port: u16) -> SharingSettings {
    SharingSettings {
        address: url.at_port(port).to_string(),
        host: crate::worker::host_name(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
