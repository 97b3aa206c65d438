//! HTTPS: handshakes, new certificates, and clients that do not speak it.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_tungstenite::client_async;

use crate::support::archives::repository;
use crate::support::python;
use crate::support::rest;
use crate::support::scene::Scene;
use crate::support::server::{Server, refused_start};
use crate::support::tls::{Certificate, address, ask, text};
use crate::support::{until, within};

#[tokio::test]
async fn both_versions_serve_http() {
    let certificate = Certificate::new();
    let server = certificate.server(&[]).await;
    assert!(
        server.base().starts_with("https://127.0.0.1:"),
        "{}",
        server.base()
    );
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = certificate.client_of(version, &["http/1.1"]);
        let stream = client.connect(&server).await.expect("trusted");
        let (_, connection) = stream.get_ref();
        assert_eq!(connection.protocol_version(), Some(expected));
        assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
        let answer = client.get(&server, "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(!answer.to_lowercase().contains("strict-transport-security"));
    }
    let unknown = certificate.client_of(&TLS13, &["spdy/1"]);
    assert!(
        unknown.connect(&server).await.is_err(),
        "no common protocol"
    );
    let document = certificate.client().get(&server, "/asyncapi.json").await;
    assert!(document.contains("\"wss\""), "{document}");
}

#[tokio::test]
async fn a_new_certificate_is_used_and_a_broken_one_is_not() {
    let mut certificate = Certificate::new();
    let server = certificate.server(&[]).await;
    let old = certificate.client();
    let mut open = old.connect(&server).await.expect("trusted");
    certificate.renew();
    let new = certificate.client();
    until("the new certificate", async || {
        new.connect(&server).await.ok()
    })
    .await;
    assert!(
        old.connect(&server).await.is_err(),
        "the old one is not used"
    );

    std::fs::write(certificate.cert(), "not a certificate").expect("writable");
    server.logged("the new certificate cannot be used").await;
    new.connect(&server).await.expect("the last one stays");
    certificate.renew();
    let newest = certificate.client();
    until("the newest certificate", async || {
        newest.connect(&server).await.ok()
    })
    .await;

    // A connection does not notice any of this.
    ask(&mut open, "/healthz", "close").await;
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.expect("closed well");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn operators_are_told_when_a_certificate_expires() {
    let mut certificate = Certificate::new();
    let server = certificate.server(&[]).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs() as i64;
    for (days, told) in [
        (3, "the certificate expires soon"),
        (-1, "the certificate has expired"),
    ] {
        let end = now + days * 24 * 60 * 60;
        // Clients refuse a certificate that has expired.
        let mut open = certificate.client().connect(&server).await;
        let open = open.as_mut().expect("trusted");
        certificate.renew_until(end);
        server.logged(told).await;
        ask(open, "/metrics", "close").await;
        let mut metrics = String::new();
        let read = within("the metrics", open.read_to_string(&mut metrics)).await;
        read.expect("closed well");
        let line = format!("pointstream_tls_certificate_expiry_timestamp_seconds {end}\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test]
async fn a_plain_client_is_told_how_to_connect() {
    let certificate = Certificate::new();
    let server = certificate.server(&[]).await;
    let url = format!("http://{}/ws/sessions", address(&server));
    let reply = rest::request("POST", &url, &[]).await;
    assert_eq!(reply.status, 400);
    assert!(reply.detail().contains("https://"), "{}", reply.detail());
    let mut stream = TcpStream::connect(address(&server))
        .await
        .expect("accepted");
    stream.write_all(&[0x80; 1000]).await.expect("sent");
    let mut answer = Vec::new();
    within("the end", stream.read_to_end(&mut answer))
        .await
        .expect("closed well");
    assert!(answer.starts_with(b"HTTP/1.1 400 "));
}

#[tokio::test]
async fn handshakes_take_places_and_end_in_time() {
    let certificate = Certificate::new();
    let server = certificate.server(&["--max-clients", "4"]).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address(&server))
            .await
            .expect("accepted");
        // The begin of a record of 512 bytes.
        stream.write_all(&[0x16, 3, 1, 2, 0]).await.expect("sent");
        silent.push(stream);
    }
    let answer = certificate.client().get(&server, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for mut stream in silent {
        let ended = within("the end of a handshake", stream.read(&mut [0; 16])).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
}

#[tokio::test]
async fn sockets_are_encrypted_too() {
    let certificate = Certificate::new();
    let server = certificate.server(&[]).await;
    let stream = certificate
        .client()
        .connect(&server)
        .await
        .expect("trusted");
    let address = "wss://localhost/ws/reconstruct/none";
    let (mut socket, _) = client_async(address, stream).await.expect("a socket");
    let message = within("the error", futures_util::StreamExt::next(&mut socket)).await;
    let message = message.expect("a message").expect("readable");
    assert!(
        message
            .to_text()
            .expect("text")
            .contains("Session not found")
    );
}

#[tokio::test]
async fn what_cannot_be_used_is_said_at_the_start() {
    let [one, other] = [Certificate::new(), Certificate::new()];
    let (cert, key) = (text(&one.cert()), text(&one.key()));
    let foreign = text(&other.key());
    for (options, words) in [
        (
            &["--tls-cert", &cert, "--tls-key", &foreign][..],
            "does not fit the certificate",
        ),
        (
            &["--tls-cert", &key, "--tls-key", &key],
            "has no certificate",
        ),
        (
            &["--tls-cert", &cert, "--tls-key", &cert],
            "has no private key",
        ),
        (
            &["--tls-cert", &cert, "--tls-key", "/nowhere"],
            "cannot read /nowhere",
        ),
        (&["--tls-cert", &cert], "--tls-key"),
    ] {
        let (_, log) = refused_start(options).await;
        assert!(log.contains(words), "{words:?} is missing:\n{log}");
    }
}

#[tokio::test]
async fn operators_on_this_machine_need_no_tls() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let operators = free.local_addr().expect("an address").to_string();
    drop(free);
    let certificate = Certificate::new();
    let server = certificate.server(&["--operator-listen", &operators]).await;
    let url = format!("http://{operators}/metrics");
    assert_eq!(rest::request("GET", &url, &[]).await.status, 200);
    drop(server);
}

#[tokio::test]
async fn a_local_certificate_serves_the_example_client() {
    let folder = TempDir::new().expect("writable");
    let place = |name: &str| text(&folder.path().join(name));
    let made = Command::new(repository().join("scripts/local-certificate.sh"))
        .args(["--folder", &text(folder.path()), "scan.lan"])
        .stdin(Stdio::null())
        .output();
    let made = within("the certificate", made).await.expect("a shell");
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(
        made.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&made.stderr)
    );
    assert!(said.contains("scan.lan"), "{said}");
    assert!(!folder.path().join("ca.key").exists());

    let tls = [
        "--tls-cert",
        &place("cert.pem"),
        "--tls-key",
        &place("key.pem"),
    ];
    let server = Server::start(&tls).await;
    let scene = Scene::load();
    let photos: Vec<_> = (0..3).map(|view| text(&scene.path(view))).collect();
    let output = Command::new(python::interpreter())
        .arg(repository().join("examples/websocket_client.py"))
        .args(["--server", server.base(), "--process-res", "140"])
        .args(["--output-dir", &text(folder.path()), "--images"])
        .args(&photos)
        .env("SSL_CERT_FILE", place("ca.pem"))
        .kill_on_drop(true)
        .output();
    let output = within("the client's end", output)
        .await
        .expect("Python runs");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    assert!(folder.path().join("scene.glb").exists());
}

/// Whether the health check of the image finds a server on a port.
async fn is_healthy(port: u16) -> bool {
    let mut check = Command::new(repository().join("deploy/healthy.sh"));
    check.arg(port.to_string()).stderr(Stdio::null());
    within("the check", check.status())
        .await
        .expect("it runs")
        .success()
}

#[tokio::test]
async fn the_check_of_the_image_finds_servers_with_and_without_a_certificate() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    assert!(!is_healthy(port).await, "nobody listens");
    let encrypted = Certificate::new().server(&[]).await;
    for server in [encrypted, Server::start(&[]).await] {
        let (_, port) = server.base().rsplit_once(':').expect("a port");
        let port = port.parse().expect("a number");
        assert!(is_healthy(port).await, "{}", server.base());
    }
}
