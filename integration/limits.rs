//! Messages beyond the size limit, and other limits.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::Client;
use crate::support::pictures::{noise, photo, sized};
use crate::support::server::Server;
use crate::support::tokens::{Tokens, create, with_token};
use crate::support::until;

#[tokio::test]
async fn a_message_over_the_limit_closes_the_connection_with_1009() {
    let server = Server::start(&["--max-message-bytes", "100000"]).await;
    let mut neighbour = server.client("").await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    let session = client.session.clone();
    // Slightly over the limit, so that all of it is sent before the connection closes.
    let padding = " ".repeat(100_000);
    client
        .send_raw(Message::text(format!("{{\"type\": \"ping\"}}{padding}")))
        .await;
    let text = client.expect_error(&["100000"]).await;
    assert!(text.contains("bytes"), "{text}");
    let (before, closed) = client.closed().await;
    assert!(before.is_empty(), "{before:?}");
    assert_eq!(closed.code, Some(1009), "{closed:?}");

    // The session and the other client are unaffected.
    let mut again = Client::connect(&server, &session).await;
    assert_eq!(again.greeting["image_count"], 1);
    again.upload("1.png", &photo(1)).await;
    neighbour.expect_quiet().await;
}

#[tokio::test]
async fn a_message_at_the_limit_is_taken() {
    let server = Server::start(&["--max-message-bytes", "100000"]).await;
    let mut client = server.client("").await;
    let ping = r#"{"type": "ping"}"#;
    let padding = " ".repeat(100_000 - ping.len());
    client
        .send_raw(Message::text(format!("{ping}{padding}")))
        .await;
    client.expect("pong").await;
}

#[tokio::test]
async fn huge_messages_cost_no_memory() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    let before = server.resident_bytes();
    // Sending may fail, because the server may close before it has received everything.
    let _ = client
        .try_send_raw(Message::text(" ".repeat(400 << 20)))
        .await;
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(
        grown < 150 << 20,
        "{grown} bytes more for a message of 400 MiB"
    );
    let mut again = Client::connect(&server, &client.session).await;
    again.expect_quiet().await;
}

#[tokio::test]
async fn an_image_over_the_limit_is_refused_and_the_connection_stays() {
    let server = Server::start(&["--max-image-bytes", "5000"]).await;
    let mut client = server.client("").await;
    let large = sized(300, 300);
    assert!(large.len() > 5000, "{}", large.len());
    client.send_image("large.png", &large).await;
    client.expect_error(&["5000", "bytes"]).await;
    client.upload("small.png", &photo(0)).await;
}

#[tokio::test]
async fn points_are_limited_as_asked() {
    let server = Server::start(&[]).await;
    for (query, most, least) in [
        ("num_max_points=500&show_cameras=false", 500, 500),
        ("num_max_points=1&show_cameras=true", 1, 1),
        ("show_cameras=true", usize::MAX, 501),
    ] {
        let mut client = server.client(query).await;
        client.upload("0.png", &photo(0)).await;
        client.upload("1.png", &photo(1)).await;
        client
            .send(json!({"type": "generate", "incremental": false}))
            .await;
        let answer = client.result("complete").await;
        let contents = crate::support::glb::read(&answer.glb());
        let points = contents.points.len();
        assert!((least..=most).contains(&points), "{query}: {points} points");
        assert_eq!(answer.metadata()["num_points"], points);
        assert_eq!(
            contents.line_ends > 0,
            query.contains("show_cameras=true"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_address_has_its_share_of_the_sessions() {
    let options = ["--max-sessions", "3", "--max-sessions-per-address", "2"];
    let server = Server::start(&options).await;
    let first = server.session("").await;
    server.session("").await;
    let refused = server.post("/ws/session/create").await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.detail().contains("127.0.0.1 has 2 sessions"));
    assert!(refused.header("retry-after").is_some());
    server.delete(&format!("/ws/session/{first}")).await;
    server.session("").await;
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends_soon() {
    let server = Server::start(&["--unused-session-timeout", "1"]).await;
    let unused = server.session("").await;
    let mut client = server.client("").await;
    let path = format!("/ws/session/{unused}");
    let gone = async || (server.get(&path).await.status == 404).then_some(());
    until("the end of the unused session", gone).await;
    client.expect_quiet().await;
    let used = client.session.clone();
    client.vanish();
    // It was used, so that it waits for its client.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    server.info(&used).await;
}

#[tokio::test]
async fn a_session_has_its_share_of_the_disk() {
    let server = Server::start(&["--max-session-disk-mb", "1"]).await;
    let mut client = server.client("").await;
    client.upload("small.png", &photo(0)).await;
    client.send_image("large.png", &noise(700, 700)).await;
    client
        .expect_error(&["the session has used all of its 1048576 bytes"])
        .await;
    // Others have a share of their own, and what is stored stays.
    server.client("").await.upload("0.png", &photo(0)).await;
    client.generate(true).await;
    client.result("delta").await;
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("kind=\"disk_full\""), "{metrics}");
}

#[tokio::test]
async fn the_sessions_of_a_client_share_a_part_of_the_disk() {
    let tokens = Tokens::new();
    let one = tokens.add("one", "create,use").await;
    let two = tokens.add("two", "create,use,operate").await;
    let limit = ["--max-disk-mb-per-client", "2", "--max-disk-mb", "100"];
    let server = tokens.server(&limit).await;
    // Image and prepared frame have more than 1 MiB and less than 2 MiB.
    let large = noise(640, 640);
    let client = async |token: &str| {
        let (session, _) = create(&server, token).await;
        Client::with_token(&server, &session, token).await
    };
    let mut first = client(&one).await;
    first.upload("0.png", &large).await;
    let mut second = client(&one).await;
    second.send_image("1.png", &large).await;
    second
        .expect_error(&["all sessions of this client have used their 2097152 bytes"])
        .await;
    // Others have a share of their own, and what is removed is free again.
    client(&two).await.upload("0.png", &large).await;
    let path = format!("/ws/session/{}", first.session);
    assert_eq!(with_token(&server, &one, "DELETE", &path).await.status, 200);
    second.upload("1.png", &large).await;
    let metrics = with_token(&server, &two, "GET", "/metrics").await.text();
    let figure = |name: &str| -> f64 {
        let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
        let text = lines.next().expect("a figure").trim();
        text.parse().expect("a number")
    };
    let used = figure("pointstream_disk_used_bytes ");
    assert!(used > 2e6, "{used}");
    let left = figure("pointstream_disk_left_bytes ");
    assert_eq!(used + left, f64::from(100 << 20));
}

#[tokio::test]
async fn one_client_does_not_fill_the_disk_space_of_all() {
    let tokens = Tokens::new();
    let one = tokens.add("one", "create,use").await;
    let two = tokens.add("two", "create,use").await;
    let server = tokens.server(&["--max-disk-mb", "4"]).await;
    let client = async |token: &str| {
        let (session, _) = create(&server, token).await;
        Client::with_token(&server, &session, token).await
    };
    let large = noise(640, 640);
    let mut greedy = client(&one).await;
    greedy.upload("0.png", &large).await;
    greedy.send_image("1.png", &large).await;
    greedy
        .expect_error(&["all sessions of this client have used their 2097152 bytes"])
        .await;
    client(&two).await.upload("0.png", &large).await;
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_reported() {
    let server = Server::start(&["--min-free-disk-mb", "1000000000000"]).await;
    let mut client = server.client("").await;
    client.send_image("0.png", &photo(0)).await;
    client.expect_error(&["nearly full"]).await;
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("nearly full"), "{}", ready.text());
}
