//! Web pages of other origins may use the server only if its operator allows them.

use crate::support::rest;
use crate::support::server::Server;

#[tokio::test]
async fn pages_of_other_origins() {
    const ALLOWED: &str = "access-control-allow-origin";
    let get = async |server: &Server, origin: &str| {
        let url = format!("{}/ws/sessions", server.base());
        rest::request("GET", &url, &[("Origin", origin)]).await
    };
    let local = Server::start(&[]).await;
    let page = "http://localhost:8080";
    let reply = get(&local, page).await;
    assert_eq!(reply.header(ALLOWED), Some(page));
    let reply = get(&local, "http://elsewhere.example").await;
    assert_eq!(reply.header(ALLOWED), None);

    let one = Server::start(&["--cors-origins", "http://elsewhere.example"]).await;
    let reply = get(&one, "http://elsewhere.example").await;
    assert_eq!(reply.header(ALLOWED), Some("http://elsewhere.example"));
    let url = format!("{}/ws/session/create", one.base());
    let headers = [
        ("Origin", "http://elsewhere.example"),
        ("Access-Control-Request-Method", "POST"),
    ];
    let preflight = rest::request("OPTIONS", &url, &headers).await;
    assert!(
        (200..300).contains(&preflight.status),
        "{}",
        preflight.status
    );
    let methods = preflight
        .header("access-control-allow-methods")
        .expect("methods");
    assert!(
        methods.contains("POST") && methods.contains("DELETE"),
        "{methods}"
    );

    // A page of a forbidden origin can neither change anything nor open a socket.
    let headers = [("Origin", "http://other.example")];
    let reply = rest::request("POST", &url, &headers).await;
    assert_eq!(reply.status, 403);
    reply.detail();
    let session = one.session("").await;
    let path = format!("{}/ws/reconstruct/{session}", one.base());
    let headers = [
        headers[0],
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(rest::request("GET", &path, &headers).await.status, 403);

    let every = Server::start(&["--cors-origins", "*"]).await;
    let allowed = get(&every, "http://anywhere.example").await;
    assert!(allowed.header(ALLOWED).is_some());
}
