//! TLS for clients: the certificate and its key, read again when their files change.

mod expiry;
mod files;
mod plain;
mod reload;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls_platform_verifier::BuilderVerifierExt as _;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ClientConfig, ServerConfig};
pub use tokio_rustls::server::TlsStream;

pub use self::expiry::Expiry;
use self::files::Files;
pub use self::files::provider;
pub use self::reload::Certificate;

/// Longest time of a handshake, from the connection on.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 inside TLS.
const HTTP2: &[u8] = b"h2";
/// What clients are offered inside TLS, the best first. Browsers choose HTTP/1.1 for a WebSocket.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];

/// Where the certificate is.
#[derive(Debug, Clone, Args)]
pub struct TlsOptions {
    /// Serve HTTPS with this certificate: a PEM file with the certificate and those of its issuers. It
    /// is read again when it changes.
    #[arg(
        long,
        env = "POINTSTREAM_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,

    /// The private key of --tls-cert: a PEM file.
    #[arg(
        long,
        env = "POINTSTREAM_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
}

/// Trusts the certificates that the system trusts.
pub fn client_config() -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(config)
}

/// The certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("--tls-cert {} has no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    #[error("--tls-key {} has no private key in PEM form", .0.display())]
    NoKey(PathBuf),
    #[error("the key {} does not fit the certificate {}: {source}", key.display(), certificate.display())]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
    #[error("cannot set up TLS: {0}")]
    Setup(#[from] rustls::Error),
    #[error("cannot measure when the certificate expires: {0}")]
    Metric(#[from] prometheus::Error),
}

/// Makes encrypted connections. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

/// How a client begins.
pub enum Opened<S> {
    Encrypted(Box<TlsStream<S>>),
    /// With something other than TLS, which has not been read.
    Plain(TcpStream),
}

impl TlsOptions {
    /// Reads the certificate if there is one.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(&self) -> Result<Option<Certificate>, TlsError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                let files = Files::new(certificate.clone(), key.clone());
                Certificate::load(files).map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl Tls {
    /// # Errors
    /// [`TlsError::Setup`] if the library refuses its own defaults.
    pub fn new(certificate: &Certificate) -> Result<Self, TlsError> {
        // TLS 1.2 and 1.3 with the ciphers that the library considers safe.
        let mut config = ServerConfig::builder_with_provider(files::provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificate.resolver());
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Self {
            acceptor: Arc::new(config).into(),
        })
    }

    /// Makes the handshake on a new connection, which is configured before. All of it has one time.
    ///
    /// # Errors
    /// If the handshake fails, takes too long, or does not begin.
    pub async fn open<S>(
        &self,
        stream: TcpStream,
        configure: impl FnOnce(TcpStream) -> S,
    ) -> io::Result<Opened<S>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let opening = async {
            match plain::begins_with_tls(&stream).await? {
                true => {
                    let accepted = self.acceptor.accept(configure(stream)).await;
                    accepted.map(|stream| Opened::Encrypted(Box::new(stream)))
                }
                false => Ok(Opened::Plain(stream)),
            }
        };
        tokio::time::timeout(HANDSHAKE_TIMEOUT, opening)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Answers a client that speaks plain HTTP.
    pub async fn explain(stream: TcpStream) {
        plain::explain(stream).await;
    }

    /// Whether the handshake has chosen HTTP/2.
    pub fn chose_http2<S>(stream: &TlsStream<S>) -> bool {
        stream.get_ref().1.alpn_protocol() == Some(HTTP2)
    }
}
