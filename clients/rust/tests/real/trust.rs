//! Tokens, certificates, and the signatures of webhooks.

use std::sync::Arc;

use pointstream_client::rustls::{self, ClientConfig, RootCertStore};
use pointstream_client::{
    Attach, Client, ClientOptions, Deltas, Error, SessionOptions, SocketOptions, Webhook, webhooks,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::program::{PATIENCE, Server, client, pictures, program, small};

#[tokio::test]
async fn a_token_is_asked_for() {
    let Some(mut command) = program() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.json");
    let tokens = tokens.to_str().unwrap();
    command.args([
        "token",
        "--tokens-file",
        tokens,
        "add",
        "me",
        "--scopes",
        "create,use",
    ]);
    let token = String::from_utf8(command.output().await.unwrap().stdout).unwrap();
    let options = ["--auth", "tokens", "--tokens-file", tokens];
    let server = Server::start("flat", &options).await.unwrap();
    let client = client(&server.url);
    let error = client.create(small()).await.unwrap_err();
    assert!(matches!(error, Error::Authentication(_)) && error.to_string().contains("token add"));
    let session = client
        .clone()
        .token(token.trim())
        .create(small())
        .await
        .unwrap();
    let its = session.token().unwrap().to_owned();
    assert_ne!(its, token.trim());
    session.upload_many(pictures(0..2)).await.unwrap();
    session.close().await;
    let again = client
        .attach(Attach::new(session.id()).token(its))
        .await
        .unwrap();
    assert_eq!(again.finalize().await.unwrap().image_count, 2);
    again.delete().await.unwrap();
}

#[tokio::test]
async fn a_certificate_must_be_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let options = ["--tls-cert", cert, "--tls-key", key];
    let Some(server) = Server::start("flat", &options).await else {
        return;
    };
    assert!(server.url.starts_with("https://"));
    let error = Client::new(&server.url).unwrap().info().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let options = ClientOptions {
        tls: Some(Arc::new(tls)),
        ..ClientOptions::default()
    };
    let client = Client::with_options(&server.url, options).unwrap();
    let session = client.create(small()).await.unwrap();
    session.upload_many(pictures(0..2)).await.unwrap();
    assert_eq!(session.finalize().await.unwrap().image_count, 2);
    session.delete().await.unwrap();
}

#[tokio::test]
async fn webhooks_are_verified() {
    let options = ["--webhook-allow-http", "--webhook-allow-private", "all"];
    let Some(server) = Server::start("flat", &options).await else {
        return;
    };
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    let options = SessionOptions {
        parameters: small(),
        webhook: Some(Webhook {
            url,
            events: Some(vec!["result.made".to_owned()]),
            secret: None,
        }),
        socket: SocketOptions {
            deltas: Some(Deltas::Cumulative),
            ..SocketOptions::default()
        },
    };
    let session = client(&server.url).create(options).await.unwrap();
    session.upload_many(pictures(0..2)).await.unwrap();
    session.finalize().await.unwrap();
    let received = async {
        let (mut stream, _) = receiver.accept().await.unwrap();
        let mut request = Vec::new();
        let (head, body) = loop {
            stream.read_buf(&mut request).await.unwrap();
            let text = String::from_utf8_lossy(&request).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && body.ends_with('}')
            {
                break (head.to_owned(), body.to_owned());
            }
        };
        stream
            .write_all(b"HTTP/1.1 204 Done\r\n\r\n")
            .await
            .unwrap();
        (head, body)
    };
    let (head, body) = tokio::time::timeout(PATIENCE, received).await.unwrap();
    let mut headers = pointstream_client::HeaderMap::new();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        let name: hyper::header::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    let secret = session.webhook_secret().unwrap();
    let message = webhooks::verify(secret, &headers, body.as_bytes()).unwrap();
    assert_eq!(message.kind, "result.made");
    assert_eq!(message.data["session_id"], session.id());
    assert!(webhooks::verify(secret, &headers, format!("{body} ").as_bytes()).is_err());
    session.delete().await.unwrap();
}
