//! The server answers under the names that its operator allows, and under addresses.

use crate::support::raw::{self, HANDSHAKE};
use crate::support::server::{Server, refused_start};

/// The status of a request with this `Host`.
async fn status(server: &Server, line: &str, host: &str) -> u16 {
    let headers = [("Host", host), ("Connection", "close")];
    raw::ask(server, line, &headers).await.status
}

const LIST: &str = "GET /ws/sessions HTTP/1.1";
const CREATE: &str = "POST /ws/session/create HTTP/1.1";

#[tokio::test]
async fn a_foreign_name_that_points_here_gets_nothing() {
    let server = Server::start(&[]).await;
    let session = server.session("").await;
    let evil = format!("evil.example:{}", raw::address(&server).port());
    let origin = format!("http://{evil}");
    let foreign = [
        ("Host", &*evil),
        ("Origin", &*origin),
        ("Connection", "close"),
    ];
    for line in [
        LIST,
        CREATE,
        "GET / HTTP/1.1",
        "GET /healthz HTTP/1.1",
        "GET /nothing HTTP/1.1",
        "POST /actors/workers/0/restart HTTP/1.1",
        "OPTIONS /ws/session/create HTTP/1.1",
        &format!("DELETE /ws/session/{session} HTTP/1.1"),
    ] {
        let mut heard = raw::ask(&server, line, &foreign).await;
        assert_eq!(heard.status, 421, "{line}");
        assert_eq!(heard.header("access-control-allow-origin"), None);
        let body = heard.body().await;
        for words in ["evil.example", "--allowed-hosts"] {
            assert!(body.contains(words), "{body}");
        }
    }
    let line = format!("GET /ws/reconstruct/{session} HTTP/1.1");
    let socket = [&foreign[..2], &HANDSHAKE].concat();
    assert_eq!(raw::ask(&server, &line, &socket).await.status, 421);
    let own = [
        &[("Host", "localhost"), ("Origin", "http://localhost")],
        &HANDSHAKE[..],
    ]
    .concat();
    assert_eq!(raw::ask(&server, &line, &own).await.status, 101);
    let metrics = server.get("/metrics").await.text();
    let refused =
        r#"pointstream_http_requests_total{method="GET",route="/ws/sessions",status="421"} 1"#;
    assert!(metrics.contains(refused), "{metrics}");
}

#[tokio::test]
async fn the_name_may_be_written_in_many_ways() {
    let server = Server::start(&["--allowed-hosts", "Scan.example.org,*.lan"]).await;
    for host in [
        "localhost",
        "LOCALHOST.:1",
        "app.localhost",
        "127.0.0.1:1",
        "[::1]:8000",
        "192.168.0.7",
        "[2001:db8::1]",
        "scan.example.org",
        "SCAN.example.ORG.:8443",
        "a.lan",
    ] {
        assert_eq!(status(&server, LIST, host).await, 200, "{host}");
    }
    for host in [
        "example.org",
        "scan.example.org.evil.example",
        "lan",
        "127.1",
        "2130706433",
        "127.0.0.1.evil.example",
    ] {
        assert_eq!(status(&server, LIST, host).await, 421, "{host}");
    }
    for host in [
        "user@localhost",
        "[::1",
        "local host",
        "localhost,evil.example",
        "localhost:99999",
    ] {
        assert_eq!(status(&server, LIST, host).await, 400, "{host}");
    }
}

#[tokio::test]
async fn a_request_names_one_host() {
    let server = Server::start(&[]).await;
    let ask = async |line: &str, hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| ("Host", *host));
        let headers: Vec<_> = hosts.chain([("Connection", "close")]).collect();
        raw::ask(&server, line, &headers).await.status
    };
    assert_eq!(ask(LIST, &[]).await, 400, "HTTP 1.1 needs a host");
    assert_eq!(ask(LIST, &[""]).await, 400);
    assert_eq!(ask("GET /healthz HTTP/1.0", &[]).await, 200, "a probe");
    assert_eq!(ask("GET /healthz HTTP/1.0", &["evil.example"]).await, 421);
    assert_eq!(ask(LIST, &["localhost", "evil.example"]).await, 400);
    assert_eq!(ask(LIST, &["localhost", "localhost"]).await, 400);
    let whole = "GET http://localhost/ws/sessions HTTP/1.1";
    assert_eq!(ask(whole, &["localhost"]).await, 200);
    assert_eq!(ask(whole, &["evil.example"]).await, 400);
    let foreign = "GET http://evil.example/ws/sessions HTTP/1.1";
    assert_eq!(ask(foreign, &["evil.example"]).await, 421);
    assert_eq!(ask(foreign, &["localhost"]).await, 400);
}

#[tokio::test]
async fn names_that_other_options_give_are_allowed() {
    let page = async |server: &Server, host: &str, origin: &str| {
        let headers = [("Host", host), ("Origin", origin), ("Connection", "close")];
        raw::ask(server, CREATE, &headers).await.status
    };
    let cors = Server::start(&["--cors-origins", "http://app.example:8080"]).await;
    assert_eq!(
        page(&cors, "app.example:8000", "http://app.example:8000").await,
        200
    );
    assert_eq!(status(&cors, LIST, "other.example").await, 421);
    let every = Server::start(&["--cors-origins", "*"]).await;
    assert_eq!(page(&every, "any.example", "http://any.example").await, 200);
    let listened = Server::start(&["--host", "localhost"]).await;
    assert_eq!(status(&listened, LIST, "localhost").await, 200);

    // Whether a proxy passes the host on or not.
    let public = Server::start(&["--public-url", "https://Scan.example.org/", "--insecure"]).await;
    let own = "https://scan.example.org";
    assert_eq!(page(&public, "scan.example.org", own).await, 200);
    assert_eq!(page(&public, "127.0.0.1:8000", own).await, 200);
    assert_eq!(
        page(&public, "127.0.0.1:8000", "http://other.example").await,
        403
    );
    assert_eq!(page(&public, "other.example", own).await, 421);
}

#[tokio::test]
async fn the_door_for_operators_has_the_same_rules() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let operators = free.local_addr().expect("an address").to_string();
    drop(free);
    let server = Server::start(&["--operator-listen", &operators]).await;
    let ask = async |host: &str| {
        let url = format!("http://{operators}/metrics");
        let headers = [("Host", host)];
        crate::support::rest::request("GET", &url, &headers)
            .await
            .status
    };
    assert_eq!(ask("localhost").await, 200);
    assert_eq!(ask("evil.example").await, 421);
    drop(server);
    let (_, log) = refused_start(&["--allowed-hosts", "http://a.test"]).await;
    assert!(log.contains("is not a host"), "{log}");
}
