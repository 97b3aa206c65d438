//! What reverse proxies say of a client is believed only from trusted ones.

use crate::support::raw::{self, HANDSHAKE, Heard};
use crate::support::rest;
use crate::support::server::{Server, refused_start};
use crate::support::until;

const CREATE: &str = "POST /ws/session/create?process_res=56 HTTP/1.1";

async fn ask(server: &Server, line: &str, headers: &[(&str, &str)]) -> Heard {
    raw::ask(server, line, &[&[("Host", "localhost")], headers].concat()).await
}

/// The status of a creation of a session, by a client that a proxy names.
async fn create(server: &Server, headers: &[(&str, &str)]) -> u16 {
    let headers = [&[("Connection", "close")], headers].concat();
    ask(server, CREATE, &headers).await.status
}

#[tokio::test]
async fn sessions_count_for_the_client_behind_the_proxy() {
    let one = ["--max-sessions-per-address", "1"];
    let server = Server::start(
        &[
            &one[..],
            &["--trusted-proxies", "127.0.0.1,10.0.0.0/8", "--insecure"],
        ]
        .concat(),
    )
    .await;
    for (name, value, status) in [
        ("X-Forwarded-For", "192.0.2.1", 200),
        ("X-Forwarded-For", "192.0.2.1", 429),
        // What the client itself wrote comes before what the proxy added.
        ("X-Forwarded-For", "1.1.1.1, 192.0.2.1", 429),
        ("X-Forwarded-For", "1.1.1.1, 192.0.2.1, 10.0.0.9", 429),
        (
            "Forwarded",
            "for=1.1.1.1, for=\"192.0.2.1:4711\";proto=https",
            429,
        ),
        ("X-Forwarded-For", "192.0.2.2", 200),
        ("Forwarded", "for=192.0.2.2", 429),
        ("Forwarded", "for=\"[2001:db8::1]\"", 200),
        ("X-Forwarded-For", "2001:db8::2", 429),
        // An open quote and bytes that are no text do not hide what the proxy added.
        ("X-Forwarded-For", "\"1.1.1.1, 192.0.2.1", 429),
        ("X-Forwarded-For", "exämple, 192.0.2.1", 429),
        ("Forwarded", "for=\"exämple\", for=192.0.2.1", 429),
        ("Forwarded", "for=\"1.1.1.1, for=192.0.2.1", 400),
    ] {
        assert_eq!(
            create(&server, &[(name, value)]).await,
            status,
            "{name}: {value}"
        );
    }
    // A client cannot add the header that its proxy does not write.
    let both = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("Forwarded", "for=192.0.2.9"),
    ];
    assert_eq!(create(&server, &both).await, 400);

    let wary = Server::start(&one).await;
    assert_eq!(
        create(&wary, &[("X-Forwarded-For", "192.0.2.1")]).await,
        200
    );
    for header in [
        ("X-Forwarded-For", "192.0.2.2"),
        ("Forwarded", "for=192.0.2.3"),
    ] {
        assert_eq!(
            create(&wary, &[header]).await,
            429,
            "{header:?} is not believed"
        );
    }
}

#[tokio::test]
async fn connections_count_for_the_client_behind_the_proxy() {
    let options = [
        "--insecure",
        "--trusted-proxies",
        "127.0.0.0/8",
        "--max-clients-per-address",
        "2",
    ];
    let server = Server::start(&options).await;
    let session = server.session("").await;
    let line = format!("GET /ws/reconstruct/{session} HTTP/1.1");
    let connect = async |client: &str| {
        let headers = [&HANDSHAKE[..], &[("X-Forwarded-For", client)]].concat();
        ask(&server, &line, &headers).await
    };
    let mut first = Vec::new();
    for _ in 0..2 {
        let heard = connect("192.0.2.1").await;
        assert_eq!(heard.status, 101);
        first.push(heard);
    }
    let refused = connect("192.0.2.1").await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    let other = connect("192.0.2.2").await;
    assert_eq!(other.status, 101, "another client of the same proxy");
    drop(first.pop());
    until("a place", async || {
        (connect("192.0.2.1").await.status == 101).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_own_origin_is_what_the_trusted_proxy_says() {
    let named = ["--allowed-hosts", "scan.example.org"];
    let told = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "scan.example.org"),
    ];
    let page = async |server: &Server, origin: &str| {
        create(server, &[&told[..], &[("Origin", origin)]].concat()).await
    };
    let server = Server::start(
        &[
            &named[..],
            &["--trusted-proxies", "127.0.0.1", "--insecure"],
        ]
        .concat(),
    )
    .await;
    assert_eq!(page(&server, "https://scan.example.org").await, 200);
    assert_eq!(page(&server, "http://scan.example.org").await, 403);
    assert_eq!(page(&server, "https://other.example").await, 403);
    let rebound = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Host", "evil.example"),
        ("Origin", "http://evil.example"),
    ];
    assert_eq!(
        create(&server, &rebound).await,
        421,
        "a proxy for all names"
    );
    let close = [&told[..], &[("Connection", "close")]].concat();
    let line = "GET /asyncapi.json HTTP/1.1";
    let document = ask(&server, line, &close).await.body().await;
    assert!(
        document.contains("\"wss\"") && document.contains("scan.example.org"),
        "{document}"
    );

    let wary = Server::start(&named).await;
    assert_eq!(page(&wary, "https://scan.example.org").await, 403);
    let document = ask(&wary, line, &close).await.body().await;
    assert!(!document.contains("\"wss\"") && !document.contains("scan.example.org"));
}

#[tokio::test]
async fn logs_name_the_client() {
    let server = Server::start(&["--trusted-proxies", "127.0.0.1", "--insecure"]).await;
    create(&server, &[("X-Forwarded-For", "192.0.2.77")]).await;
    server.logged("192.0.2.77").await;
    let (_, log) = refused_start(&["--trusted-proxies", "proxy.example"]).await;
    assert!(log.contains("is not an address or network"), "{log}");
}

#[tokio::test]
async fn a_proxy_that_is_not_named_is_told() {
    let server = Server::start(&[]).await;
    let url = format!("{}/healthz", server.base());
    let reply = rest::request("GET", &url, &[("X-Forwarded-For", "192.0.2.1")]).await;
    assert_eq!(reply.status, 200);
    server
        .logged("add --trusted-proxies 127.0.0.1 if it is a reverse proxy")
        .await;
}
