//! Places for network connections: nobody shuts the others out.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::client::{Client, open};
use crate::support::raw;
use crate::support::rest;
use crate::support::server::{Server, refused_start};
use crate::support::{until, within};

fn address(server: &Server) -> SocketAddr {
    let base = server.base().trim_start_matches("http://");
    base.parse().expect("an address")
}

async fn silent(server: &Server, count: usize) -> Vec<TcpStream> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(TcpStream::connect(address(server)).await.expect("accepted"));
    }
    connections
}

#[tokio::test]
async fn silent_connections_shut_nobody_out() {
    let server = Server::start(&["--max-clients", "4"]).await;
    let mut client = server.client("").await;
    let session = client.session.clone();
    let mut silent = silent(&server, 20).await;
    assert_eq!(server.get("/healthz").await.status, 200);
    let mut other = Client::connect(&server, &session).await;
    // A client that has been heard keeps its place.
    client.expect_quiet().await;
    other.expect_quiet().await;
    let closed = silent[0].read(&mut [0; 1]).await;
    assert!(
        matches!(closed, Ok(0) | Err(_)),
        "the oldest has lost its place"
    );
}

#[tokio::test]
async fn connections_that_were_turned_away_shut_nobody_out() {
    let server = Server::start(&["--max-clients", "4"]).await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        let heard = raw::ask(&server, "GET / HTTP/1.1", &[("Host", "evil.example")]).await;
        assert_eq!(heard.status, 421);
        kept.push(heard);
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn an_address_has_its_share() {
    let server = Server::start(&["--max-clients-per-address", "3"]).await;
    let session = server.session("").await;
    let socket = server.socket(&session);
    // The connection of the request above may still have its place.
    let place = async || until("a place", async || open(&socket).await.ok()).await;
    let mut clients = vec![place().await, place().await, place().await];
    let mut refused = TcpStream::connect(address(&server))
        .await
        .expect("accepted");
    let mut answer = String::new();
    within("the refusal", refused.read_to_string(&mut answer))
        .await
        .expect("text");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("too many connections from this address"));
    drop(clients.pop());
    place().await;
    let metrics = server.get("/metrics").await.text();
    assert!(!metrics.contains("pointstream_connections_refused_total 0\n"));
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_counted() {
    let server = Server::start(&[]).await;
    let long = format!("GET /{} HTTP/1.1", "a".repeat(70_000));
    let header = "a".repeat(300_000);
    for (line, headers, expected) in [
        ("NONSENSE", vec![], 400),
        (&*long, vec![], 414),
        ("GET / HTTP/1.1", vec![("X", &*header)], 431),
    ] {
        let mut heard = raw::ask(&server, line, &headers).await;
        assert_eq!(heard.status, expected, "{}", heard.head);
        assert_eq!(heard.body().await, "");
    }
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("pointstream_connections_malformed_total 3\n"));
}

#[tokio::test]
async fn operators_have_a_door_of_their_own() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let operators = free.local_addr().expect("an address").to_string();
    drop(free);
    let options = ["--operator-listen", &operators, "--max-clients", "1"];
    let server = Server::start(&options).await;
    let get = async |path: &str| {
        let url = format!("http://{operators}{path}");
        rest::request("GET", &url, &[]).await.status
    };
    for path in ["/metrics", "/actors", "/stats", "/dashboard"] {
        assert_eq!(
            server.get(path).await.status,
            404,
            "{path} is not for clients"
        );
    }
    let ready = async || (server.get("/readyz").await.status == 200).then_some(());
    until("the model", ready).await;
    for path in ["/healthz", "/readyz", "/info"] {
        assert_eq!(server.get(path).await.status, 200, "{path} is for all");
    }
    // A client has the only place for clients.
    let mut client = server.client("").await;
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/actors",
        "/stats",
        "/dashboard",
        "/ws/sessions",
    ] {
        assert_eq!(get(path).await, 200, "{path}");
    }
    assert_eq!(get("/ws/reconstruct/x").await, 404);
    client.expect_quiet().await;

    let (_, log) = refused_start(&["--operator-listen", "9000"]).await;
    assert!(log.contains("HOST:PORT"), "{log}");
}

#[tokio::test]
async fn a_closed_terminal_does_not_end_the_server() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    server.signal(libc::SIGHUP);
    client.expect_quiet().await;
    assert_eq!(server.get("/healthz").await.status, 200);
}
