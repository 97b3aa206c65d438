//! Sessions side by side, and several connections to one.

use std::collections::HashSet;

use serde_json::json;

use crate::support::client::Client;
use crate::support::pictures::photo;
use crate::support::server::Server;

/// Uploads photos of one's own and asks for results after each; returns what came back.
async fn reconstruct(server: &Server, name: &str, photos: u32) -> Client {
    let mut client = server.client("").await;
    for index in 1..=photos {
        client
            .upload(&format!("{name}-{index}.png"), &photo(index))
            .await;
        client.generate(true).await;
        let answer = client.result("delta").await;
        let names: Vec<_> = (1..=index)
            .map(|index| format!("{name}-{index}.png"))
            .collect();
        assert_eq!(answer.metadata()["frames"], json!(names));
        assert_eq!(answer.metadata()["session_id"], client.session.as_str());
        assert_eq!(answer.message["image_count"], index);
    }
    client
}

#[tokio::test]
async fn two_clients_at_once_get_results_of_their_own() {
    let server = Server::with_model("slow", &[]).await;
    let (left, right) = tokio::join!(
        reconstruct(&server, "left", 3),
        reconstruct(&server, "right", 4)
    );
    assert_eq!(server.info(&left.session).await["image_count"], 3);
    assert_eq!(server.info(&right.session).await["image_count"], 4);
    let list = server.get("/ws/sessions").await.json();
    assert_eq!(list["stats"]["total_sessions"], 2);
    assert_eq!(list["stats"]["total_images"], 7);
}

#[tokio::test]
async fn many_clients_at_once() {
    let server = Server::start(&[]).await;
    let names: Vec<_> = (0..12).map(|index| format!("client{index}")).collect();
    let all = names.iter().map(|name| reconstruct(&server, name, 2));
    let clients = futures_util::future::join_all(all).await;
    let sessions: HashSet<_> = clients.iter().map(|client| &client.session).collect();
    assert_eq!(sessions.len(), 12);
}

#[tokio::test]
async fn sessions_are_kept_apart_in_their_files() {
    let server = Server::start(&[]).await;
    let mut first = server.client("").await;
    let mut second = server.client("").await;
    first.upload("same.png", &photo(1)).await;
    second.upload("same.png", &photo(2)).await;
    let reply = server
        .delete(&format!("/ws/session/{}", first.session))
        .await;
    assert_eq!(reply.status, 200);
    assert!(!server.files().is_empty());
    second.generate(true).await;
    second.result("delta").await;
}

#[tokio::test]
async fn several_connections_share_a_session() {
    let server = Server::start(&["--max-connections", "2"]).await;
    let mut first = server.client("").await;
    let mut second = Client::connect(&server, &first.session).await;
    first.upload("0.png", &photo(0)).await;
    let ack = second.upload("1.png", &photo(1)).await;
    assert_eq!(ack["image_count"], 2);
    // One more than allowed is told so, and the others stay.
    let (messages, closed) = Client::refused(&server.socket(&first.session)).await;
    let text = messages[0]["message"].as_str().expect("an error");
    assert!(text.contains('2') && text.contains("connections"), "{text}");
    assert_eq!(closed.code, Some(4429), "{closed:?}");
    // Who asked gets the answer.
    second.generate(true).await;
    let answer = second.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], 2);
    first.expect_quiet().await;
}
