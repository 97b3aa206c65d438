//! HTTP/2 inside TLS.

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::io::AsyncReadExt as _;
use tokio_rustls::rustls::version::TLS13;
use ureq::http::Request;

use crate::support::server::Server;
use crate::support::tls::Certificate;
use crate::support::tokens::Tokens;
use crate::support::within;

/// A connection, whose streams have windows of so many bytes.
struct Client {
    requests: SendRequest<Bytes>,
    ended: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    async fn connect(certificate: &Certificate, server: &Server, window: u32) -> Self {
        let tls = certificate.client_of(&TLS13, &["h2"]);
        let stream = tls.connect(server).await.expect("trusted");
        let mut builder = Builder::new();
        builder.initial_window_size(window);
        let (requests, connection) = builder.handshake(stream).await.expect("HTTP/2");
        Self {
            requests,
            ended: tokio::spawn(connection),
        }
    }

    /// The status and the body of the answer to a request for this host.
    async fn get(&self, address: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut request = Request::get(address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("valid");
        let mut ready = self.requests.clone().ready().await.expect("open");
        let (answer, _) = ready.send_request(request, true).expect("sent");
        let answer = within("the answer", answer).await.expect("an answer");
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        let mut text = Vec::new();
        while let Some(piece) = within("the body", body.data()).await {
            let piece = piece.expect("readable");
            text.extend_from_slice(&piece);
            body.flow_control()
                .release_capacity(piece.len())
                .expect("open");
        }
        (status, String::from_utf8_lossy(&text).into_owned())
    }
}

#[tokio::test]
async fn requests_share_a_connection() {
    let certificate = Certificate::new();
    let server = certificate
        .server(&["--cors-origins", "https://app.example"])
        .await;
    let client = Client::connect(&certificate, &server, 65_535).await;
    let (page, health) = tokio::join!(
        client.get("https://localhost/", &[]),
        client.get("https://localhost/healthz", &[]),
    );
    assert_eq!((page.0, health.0), (200, 200));
    assert!(
        page.1.len() > 200_000 && page.1.contains("</html>"),
        "{} bytes",
        page.1.len()
    );
    let own = [("origin", "https://localhost")];
    assert_eq!(client.get("https://localhost/healthz", &own).await.0, 200);
    let (status, body) = client.get("https://evil.example/healthz", &[]).await;
    assert_eq!(status, 421, "{body}");
    assert_eq!(
        client.get("https://app.example:1/healthz", &[]).await.0,
        200
    );
    let other = [("host", "evil.example")];
    assert_eq!(client.get("https://localhost/healthz", &other).await.0, 400);
    // A WebSocket needs a connection with HTTP/1.1.
    let socket = "https://localhost/ws/reconstruct/none";
    assert_eq!(client.get(socket, &[]).await.0, 426);
    assert!(!client.requests.is_extended_connect_protocol_enabled());
}

#[tokio::test]
async fn no_log_has_a_token() {
    let certificate = Certificate::new();
    let tokens = Tokens::new();
    let user = tokens.add("user", "use").await;
    let file = tokens.file();
    let file = file.to_str().expect("a plain name");
    let server = certificate
        .server(&[
            "--auth",
            "tokens",
            "--tokens-file",
            file,
            "--log-level",
            "trace,pointstream=trace",
        ])
        .await;
    let client = Client::connect(&certificate, &server, 65_535).await;
    let wrong = "pst_wrong-but-secret";
    for (token, expected) in [(&*user, 200), (wrong, 401)] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer)];
        let list = "https://localhost/ws/sessions";
        assert_eq!(client.get(list, &headers).await.0, expected);
        let offered = format!("pointstream, pointstream.bearer.{token}");
        let headers = [("sec-websocket-protocol", &*offered)];
        client.get(list, &headers).await;
        client.get(&format!("{list}?token={token}"), &[]).await;
    }
    // The library of HTTP/2 logs its frames at this level.
    let log = server.logged("Headers {").await;
    for token in [&*user, wrong] {
        assert!(!log.contains(&token[4..]), "a token is in {log}");
    }
}

#[tokio::test]
async fn an_idle_client_is_disconnected() {
    let certificate = Certificate::new();
    let server = certificate.server(&[]).await;
    let tls = certificate.client_of(&TLS13, &["h2"]);
    let mut silent = tls.connect(&server).await.expect("trusted");
    let client = Client::connect(&certificate, &server, 65_535).await;
    client.get("https://localhost/healthz", &[]).await;
    // The server's settings, then the end.
    let _ = within("the end", silent.read_to_end(&mut Vec::new())).await;
    // Also of one that has asked once. Its library may still write when the server has closed.
    let _ = within("the end", client.ended).await.expect("no panic");
    let client = Client::connect(&certificate, &server, 65_535).await;
    let health = client.get("https://localhost/healthz", &[]).await;
    assert_eq!(health.0, 200);
}

#[tokio::test]
async fn a_client_that_reads_no_answer_is_disconnected() {
    let certificate = Certificate::new();
    let server = certificate.server(&["--send-timeout", "1"]).await;
    let client = Client::connect(&certificate, &server, 1000).await;
    let request = Request::get("https://localhost/").body(()).expect("valid");
    let mut ready = client.requests.clone().ready().await.expect("open");
    let (answer, _) = ready.send_request(request, true).expect("sent");
    let answer = within("the answer", answer).await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    // Its window of 1000 bytes stays closed.
    let _ = within("the end", client.ended).await.expect("no panic");
    // The last piece of an answer is no exception.
    let client = Client::connect(&certificate, &server, 100).await;
    let request = Request::get("https://localhost/info")
        .body(())
        .expect("valid");
    let mut ready = client.requests.clone().ready().await.expect("open");
    let (answer, _) = ready.send_request(request, true).expect("sent");
    let answer = within("the answer", answer).await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    let _ = within("the end", client.ended).await.expect("no panic");
    let client = Client::connect(&certificate, &server, 16_384).await;
    let (status, page) = client.get("https://localhost/", &[]).await;
    assert_eq!(status, 200, "one that reads slowly is served");
    assert!(page.contains("</html>"));
}
