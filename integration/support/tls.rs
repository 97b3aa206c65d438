//! Certificates, and clients that trust only those.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::server::Server;
use super::within;

/// Files of a certificate for this machine.
pub struct Certificate {
    folder: TempDir,
    pub der: CertificateDer<'static>,
}

impl Certificate {
    pub fn new() -> Self {
        let made = Self::generate();
        let certificate = Self {
            folder: TempDir::new().expect("writable"),
            der: made.cert.der().clone(),
        };
        certificate.write(&made);
        certificate
    }

    fn generate() -> CertifiedKey<rcgen::KeyPair> {
        let names = ["localhost", "127.0.0.1", "scan.test"].map(str::to_owned);
        generate_simple_self_signed(names).expect("valid names")
    }

    fn write(&self, made: &CertifiedKey<rcgen::KeyPair>) {
        std::fs::write(self.cert(), made.cert.pem()).expect("writable");
        std::fs::write(self.key(), made.signing_key.serialize_pem()).expect("writable");
    }

    /// Replaces the files by those of a certificate that expires so many seconds after 1970.
    pub fn renew_until(&mut self, seconds: i64) {
        let names = ["localhost", "127.0.0.1", "scan.test"].map(str::to_owned);
        let mut parameters = rcgen::CertificateParams::new(names).expect("valid names");
        parameters.not_after = time::OffsetDateTime::from_unix_timestamp(seconds).expect("a date");
        let signing_key = rcgen::KeyPair::generate().expect("a key");
        let cert = parameters.self_signed(&signing_key).expect("signed");
        self.der = cert.der().clone();
        self.write(&CertifiedKey { cert, signing_key });
    }

    /// Replaces the files by those of another certificate.
    pub fn renew(&mut self) {
        let made = Self::generate();
        self.der = made.cert.der().clone();
        self.write(&made);
    }

    pub fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Starts a server with this certificate.
    pub async fn server(&self, options: &[&str]) -> Server {
        let (cert, key) = (text(&self.cert()), text(&self.key()));
        let tls = ["--tls-cert", &cert, "--tls-key", &key];
        Server::start(&[&tls[..], options].concat()).await
    }

    /// Takes encrypted connections with this certificate.
    pub fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::from_pem_file(self.key()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key)
            .expect("they belong together");
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client that trusts only this certificate.
    pub fn client(&self) -> Client {
        Client::new(&self.der, &[&TLS12, &TLS13])
    }

    /// The same with one version of TLS, and this list of protocols inside.
    pub fn client_of(&self, version: &'static SupportedProtocolVersion, inside: &[&str]) -> Client {
        let mut client = Client::new(&self.der, &[version]);
        client.config.alpn_protocols = inside.iter().map(|name| name.as_bytes().to_vec()).collect();
        client
    }
}

pub fn text(path: &Path) -> String {
    path.to_str().expect("a plain name").to_owned()
}

/// The address of a server with TLS, like `127.0.0.1:41234`.
pub fn address(server: &Server) -> &str {
    server.base().strip_prefix("https://").expect("TLS")
}

/// Makes encrypted connections.
#[derive(Clone)]
pub struct Client {
    config: ClientConfig,
    /// The name of the server.
    name: &'static str,
}

impl Client {
    fn new(
        trusted: &CertificateDer<'static>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("known versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost";
        Self { config, name }
    }

    /// The same for a server of another name.
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Connects; fails if the certificate is another one.
    pub async fn connect(&self, server: &Server) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address(server)).await.expect("accepted");
        self.on(stream).await
    }

    /// Makes the handshake on a connection.
    pub async fn on(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        let name = ServerName::try_from(self.name).expect("a name");
        within("the handshake", connector.connect(name, stream)).await
    }

    /// Sends a request on a connection of its own; returns what comes back.
    pub async fn get(&self, server: &Server, path: &str) -> String {
        let mut stream = self.connect(server).await.expect("trusted");
        ask(&mut stream, path, "close").await;
        let mut answer = Vec::new();
        within("the answer", stream.read_to_end(&mut answer))
            .await
            .expect("closed well");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Sends a request on a connection.
pub async fn ask(stream: &mut TlsStream<TcpStream>, path: &str, connection: &str) {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.flush().await.expect("sent");
}
