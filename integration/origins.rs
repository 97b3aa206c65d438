//! Web pages of other origins may use the server only if its operator allows them.

use crate::support::raw;
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

#[tokio::test]
async fn a_page_learns_why_its_request_was_turned_away() {
    const PAGE: &str = "https://app.example";
    let options = [
        "--cors-origins",
        PAGE,
        "--trusted-proxies",
        "127.0.0.1",
        "--insecure",
    ];
    let ask = async |server: &Server, client: &str, host: &str, origin: &str| {
        let headers = [
            ("Host", host),
            ("X-Forwarded-For", client),
            ("Origin", origin),
        ];
        raw::ask(server, "GET /healthz HTTP/1.1", &headers).await
    };
    let rate = ["--max-requests-per-second", "0.1"];
    let server = Server::start(&[&options[..], &rate].concat()).await;
    let own = format!("http://{}", raw::address(&server));
    let own_host = own.trim_start_matches("http://");
    let foreign = "http://evil.example";
    for (client, host, origin, status, readable) in [
        ("192.0.2.1", "evil.example", PAGE, 421, true),
        ("192.0.2.1", "evil.example", foreign, 421, false),
        ("192.0.2.1", "localhost", PAGE, 429, true),
        ("192.0.2.1", "localhost", foreign, 429, false),
        ("192.0.2.1", own_host, &own, 429, true),
        // It is no page of this server, whatever its host says.
        ("192.0.2.1", "evil.example", foreign, 429, false),
        ("192.0.2.2", "local host", PAGE, 400, true),
    ] {
        let heard = ask(&server, client, host, origin).await;
        assert_eq!(heard.status, status, "{client} {host} {origin}");
        let allowed = heard.header("access-control-allow-origin");
        assert_eq!(allowed, readable.then_some(origin), "{status} {origin}");
        if readable {
            let exposed = heard.header("access-control-expose-headers");
            assert!(exposed.is_some_and(|names| names.contains("retry-after")));
        }
    }
    let one = ["--max-clients-per-address", "1"];
    let server = Server::start(&[&options[..], &one].concat()).await;
    let _first = ask(&server, "192.0.2.1", "localhost", PAGE).await;
    let full = ask(&server, "192.0.2.1", "localhost", PAGE).await;
    assert_eq!(full.status, 503);
    assert_eq!(full.header("access-control-allow-origin"), Some(PAGE));
}
