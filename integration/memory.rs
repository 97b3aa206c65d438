//! Requests that need more memory than available.

use serde_json::json;

use crate::support::client::Client;
use crate::support::pictures::sized;
use crate::support::rest::{self, FORM};
use crate::support::server::Server;
use crate::support::until;

/// Number of images; according to the model's metadata, their pairs need 14.4 TB.
const IMAGES: usize = 60;

#[tokio::test]
async fn what_does_not_fit_is_refused_with_what_does() {
    let server = Server::with_model("hungry", &[]).await;
    let mut client = server.client("process_res=28&finalize_mode=whole").await;
    let picture = sized(28, 28);
    for index in 0..IMAGES {
        client.upload(&format!("{index}.png"), &picture).await;
    }
    client.send(json!({"type": "finalize"})).await;
    let answer = client.answer().await;
    assert_eq!(answer.message["type"], "error");
    let text = answer.message["message"]
        .as_str()
        .expect("an error has a message");
    // Clients search for this prefix.
    assert!(text.starts_with("Out of memory: "), "{text}");
    assert!(
        text.contains("60 images at process_res 28 need about 14400 GB"),
        "{text}"
    );
    assert!(text.contains("GB are free"), "{text}");
    assert!(
        answer
            .progress()
            .all(|progress| progress["stage"] != "inference"),
        "no progress before the refusal"
    );

    // The stated number of images fits.
    let words: Vec<&str> = text.split_whitespace().collect();
    let place = words.iter().rposition(|word| word.starts_with("image"));
    let count: usize = words[place.expect("a number of images") - 1]
        .parse()
        .expect("a number");
    assert!((1..IMAGES).contains(&count), "{text}");
    let mut modest = server.client("process_res=28").await;
    for index in 0..count {
        modest.upload(&format!("{index}.png"), &picture).await;
    }
    modest.send(json!({"type": "finalize"})).await;
    modest.result("complete").await;

    // The same in a single request.
    let parts = vec![("images", None, picture.as_slice()); IMAGES];
    let url = format!("{}/reconstruct?process_res=28", server.base());
    let headers = [("content-type", FORM)];
    let reply = rest::request_with("POST", &url, &headers, rest::form(&parts)).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    // How much is free changes all the time.
    let need = |text: &str| text.split_once(';').map(|(need, _)| need.to_owned());
    assert!(need(text).is_some());
    assert_eq!(need(&reply.detail()), need(text));

    // The session with the refused request continues.
    client.expect_quiet().await;
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("kind=\"out_of_memory\""), "{metrics}");
}

#[tokio::test]
async fn an_idle_connection_takes_little_memory() {
    const SESSIONS: usize = 50;
    const CONNECTIONS: usize = 8;
    let server = Server::start(&[]).await;
    // The model takes memory of its own while it is loaded.
    until("the model", async || {
        (server.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(server.session("").await);
    }
    // What is allocated once.
    drop(Client::connect(&server, &sessions[0]).await);
    let before = server.resident_bytes();
    let mut clients = Vec::new();
    for session in sessions.iter().flat_map(|id| [id; CONNECTIONS]) {
        clients.push(Client::connect(&server, session).await);
    }
    let each = server.resident_bytes().saturating_sub(before) / clients.len() as u64;
    assert!(each <= 24 << 10, "{each} bytes for each connection");
}
