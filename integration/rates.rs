//! A client cannot do things as often as it likes.

use std::time::Duration;

use serde_json::json;

use crate::support::client::Client;
use crate::support::pictures::{noise, photo};
use crate::support::raw;
use crate::support::rest::{self, FORM, Reply, form};
use crate::support::scrape::Scrape;
use crate::support::server::Server;
use crate::support::tokens::{Tokens, create, with_token};

#[tokio::test]
async fn requests_above_the_rate_are_refused_for_a_while() {
    let proxy = ["--trusted-proxies", "127.0.0.1", "--insecure"];
    let rate = ["--max-requests-per-second", "0.1"];
    let server = Server::start(&[&proxy[..], &rate].concat()).await;
    let ask = async |client: &str| {
        let url = format!("{}/healthz", server.base());
        rest::request("GET", &url, &[("X-Forwarded-For", client)]).await
    };
    for _ in 0..2 {
        assert_eq!(ask("192.0.2.1").await.status, 200);
    }
    let refused = ask("192.0.2.1").await;
    assert_eq!(refused.status, 429);
    assert!(
        refused
            .detail()
            .contains("too many requests from this address")
    );
    let wait: u64 = refused
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("seconds");
    assert!((1..=10).contains(&wait), "{wait}");
    assert_eq!(
        ask("192.0.2.2").await.status,
        200,
        "others are not affected"
    );
    let url = format!("{}/metrics", server.base());
    let metrics = rest::request("GET", &url, &[("X-Forwarded-For", "192.0.2.3")])
        .await
        .text();
    assert!(
        metrics.contains(r#"pointstream_rate_refusals_total{what="requests"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn requests_that_are_refused_count_too() {
    let options = [
        "--max-requests-per-second",
        "0.1",
        "--insecure",
        "--trusted-proxies",
        "127.0.0.1",
    ];
    let server = Server::start(&options).await;
    for (refused, status) in [
        (("Host", "evil.example"), 421),
        (("Host", "local host"), 400),
        (("X-Forwarded-Host", "evil.example"), 421),
    ] {
        let client = format!("192.0.2.{}{}", refused.0.len(), status % 10);
        for expected in [status, status, 429] {
            let mut headers = vec![("X-Forwarded-For", &*client), refused];
            if refused.0 != "Host" {
                headers.push(("Host", "localhost"));
            }
            let heard = raw::ask(&server, "GET /healthz HTTP/1.1", &headers).await;
            assert_eq!(heard.status, expected, "{refused:?}");
        }
    }
}

#[tokio::test]
async fn sessions_above_the_rate_are_refused() {
    let server = Server::start(&["--max-new-sessions-per-minute", "2"]).await;
    for _ in 0..2 {
        server.session("").await;
    }
    let refused = server.post("/ws/session/create").await;
    assert_eq!(refused.status, 429);
    assert!(
        refused.detail().contains("too many new sessions"),
        "{}",
        refused.detail()
    );
    let url = format!("{}/reconstruct", server.base());
    let picture = photo(0);
    let body = form(&[("images", None, &picture)]);
    let refused = rest::request_with("POST", &url, &[("Content-Type", FORM)], body).await;
    assert_eq!(refused.status, 429);
    let list = server.get("/ws/sessions").await.json();
    assert_eq!(list["sessions"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn a_socket_above_the_rate_is_read_more_slowly() {
    let server = Server::start(&["--max-messages-per-second", "20"]).await;
    let mut client = server.client("").await;
    // The burst of 10 seconds, and a second's worth more.
    const COUNT: usize = 220;
    for _ in 0..COUNT {
        client.send(json!({"type": "ping"})).await;
    }
    for _ in 0..COUNT {
        client.expect("pong").await;
    }
    let pauses = |scrape: &Scrape, what: &str| {
        scrape.value("pointstream_rate_pauses_total", &[("what", what)])
    };
    let scrape = Scrape::of(&server).await;
    assert!(pauses(&scrape, "messages") > 0.0);

    // The burst is 200 KiB; each image has about 75.
    let server = Server::start(&["--max-upload-mb-per-second", "0.02"]).await;
    let mut client = server.client("").await;
    for _ in 0..3 {
        client.upload("a.png", &noise(160, 120)).await;
    }
    client.send(json!({"type": "ping"})).await;
    client.expect("pong").await;
    assert!(pauses(&Scrape::of(&server).await, "bytes") > 0.0);
}

#[tokio::test]
async fn a_socket_far_above_the_rate_is_closed_and_told_how_long_to_wait() {
    // 61 KiB at once, and 61 more in a pause of 10 s; each image has about 75 KiB.
    let options = ["--max-upload-mb-per-second", "0.006"];
    let server = Server::start(&options).await;
    let picture = noise(160, 120);
    let mut client = server.client("").await;
    client.upload("a.png", &picture).await;
    let mut wait = 0;
    for attempt in ["the same socket", "another socket"] {
        client.send_image("b.png", &picture).await;
        let session = client.session.clone();
        let (before, closed) = client.closed().await;
        let error = before.last().expect("an error");
        assert_eq!(error["code"], "too_many_requests", "{attempt}: {error}");
        let text = error["message"].as_str().expect("a text");
        assert_eq!(closed.code, Some(1013), "{attempt}: {closed:?}");
        assert!(closed.reason.contains(text), "{closed:?}");
        let seconds = text
            .strip_prefix("too many bytes from this address; wait ")
            .and_then(|text| text.strip_suffix(" s"));
        wait = seconds.expect(text).parse().expect("seconds");
        assert!((1..=20).contains(&wait), "{text}");
        client = Client::resume(&server, &session).await;
    }
    let scrape = Scrape::of(&server).await;
    let refused = [("what", "bytes")];
    assert_eq!(
        scrape.value("pointstream_rate_refusals_total", &refused),
        2.0
    );
    let reasons = [("reason", "too_many_requests")];
    assert_eq!(
        scrape.value("pointstream_refused_callers_total", &reasons),
        2.0
    );
    // It is as the server says, and nothing came of what was refused.
    tokio::time::sleep(Duration::from_secs(wait)).await;
    let count = client.upload("c.png", &picture).await["image_count"].clone();
    assert_eq!(count, 2);
}

#[tokio::test]
async fn the_pauses_of_a_limited_upload_are_not_the_clients() {
    // A burst of 200 KiB, and pauses of more than a second for the rest.
    let options = [
        "--max-upload-mb-per-second",
        "0.02",
        "--receive-timeout",
        "0.5",
    ];
    let server = Server::start(&options).await;
    let pictures: Vec<_> = (0..4).map(|_| noise(160, 120)).collect();
    let parts: Vec<_> = pictures
        .iter()
        .map(|one| ("images", None, &one[..]))
        .collect();
    let url = format!("{}/reconstruct?process_res=56", server.base());
    let reply = rest::request_with("POST", &url, &[("Content-Type", FORM)], form(&parts)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let pauses = [("what", "bytes")];
    let scrape = Scrape::of(&server).await;
    assert!(scrape.value("pointstream_rate_pauses_total", &pauses) > 0.0);
}

/// A server with limits for the owners of tokens. Addresses of this machine have none, and others behind a
/// proxy have their own.
async fn limited(tokens: &Tokens, options: &[&str]) -> Server {
    let proxy = ["--trusted-proxies", "127.0.0.1"];
    tokens.server(&[options, &proxy].concat()).await
}

/// Uploads photos with a token, from an address.
async fn reconstruct(server: &Server, token: &str, from: &str) -> Reply {
    let url = format!("{}/reconstruct?process_res=56", server.base());
    let bearer = format!("Bearer {token}");
    let headers = [
        ("Content-Type", FORM),
        ("Authorization", &*bearer),
        ("X-Forwarded-For", from),
    ];
    let picture = noise(160, 120);
    let parts = ["images"; 2].map(|field| (field, None, &picture[..]));
    rest::request_with("POST", &url, &headers, form(&parts)).await
}

async fn pauses(server: &Server, operator: &str, what: &str) -> f64 {
    let metrics = with_token(server, operator, "GET", "/metrics").await;
    let scrape = Scrape::read(metrics.body).await;
    scrape.value("pointstream_rate_pauses_total", &[("what", what)])
}

#[tokio::test]
async fn the_owner_of_a_token_has_rates_of_its_own() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let other = tokens.add("other", "create,use").await;
    let operator = tokens.add("operator", "operate").await;
    let sessions = ["--max-new-sessions-per-minute-per-token", "3"];
    let messages = ["--max-messages-per-second-per-token", "20"];
    let server = limited(&tokens, &[sessions, messages].concat()).await;
    let made = [create(&server, &user).await, create(&server, &user).await];
    let third = reconstruct(&server, &user, "192.0.2.1").await;
    assert_eq!(third.status, 200, "{}", third.text());
    let refused = reconstruct(&server, &user, "192.0.2.2").await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    let detail = refused.detail();
    assert!(
        detail.contains("too many new sessions by the owner"),
        "{detail}"
    );
    assert!(refused.header("retry-after").is_some());
    let path = format!("/ws/session/{}/rerun", made[0].0);
    assert_eq!(with_token(&server, &user, "POST", &path).await.status, 429);
    create(&server, &other).await;

    // The tokens of sessions are those of their owner: each sends less than the burst of 200.
    let mut clients = Vec::new();
    for (session, token) in &made {
        clients.push(Client::with_token(&server, session, token).await);
    }
    for client in &mut clients {
        for _ in 0..110 {
            client.send(json!({"type": "ping"})).await;
        }
    }
    for client in &mut clients {
        for _ in 0..110 {
            client.expect("pong").await;
        }
    }
    assert!(pauses(&server, &operator, "messages").await > 0.0);
}

#[tokio::test]
async fn the_owner_of_a_token_sends_as_much_from_all_addresses() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let operator = tokens.add("operator", "operate").await;
    // The burst is 200 KiB; each upload has about 150.
    let bytes = ["--max-upload-mb-per-second-per-token", "0.02"];
    let server = limited(&tokens, &bytes).await;
    for from in ["192.0.2.1", "192.0.2.2"] {
        let reply = reconstruct(&server, &user, from).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert!(pauses(&server, &operator, "bytes").await > 0.0);
}
