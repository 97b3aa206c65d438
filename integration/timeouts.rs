//! Idle sessions expire; sessions in use do not.

use serde_json::json;

use crate::support::pictures::photo;
use crate::support::server::Server;
use crate::support::until;

/// Whether a session still exists; this query does not count as activity.
async fn exists(server: &Server, session: &str) -> bool {
    let list = server.get("/ws/sessions").await.json();
    let sessions = list["sessions"].as_array().expect("a list");
    sessions.iter().any(|one| one["session_id"] == session)
}

#[tokio::test]
async fn idle_sessions_end_with_their_files() {
    let server = Server::start(&["--session-timeout", "2"]).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    assert!(!server.files().is_empty());
    // An open connection alone is not activity; it gets an error before the close.
    let (before, closed) = client.closed().await;
    let told = before.iter().any(|message| {
        message["message"]
            .as_str()
            .is_some_and(|text| text.contains("expired"))
    });
    assert!(
        told || closed.reason.contains("expired"),
        "{before:?} {closed:?}"
    );
    let reply = server.get(&format!("/ws/session/{}", client.session)).await;
    assert_eq!(reply.status, 404);
    until("the removal of the files", async || {
        server.files().is_empty().then_some(())
    })
    .await;
    let stats = server.get("/ws/sessions").await.json()["stats"].clone();
    assert_eq!(stats["total_sessions"], 0);
    assert_eq!(stats["total_images"], 0);
}

#[tokio::test]
async fn activity_keeps_a_session() {
    let server = Server::start(&["--session-timeout", "4"]).await;
    let mut used = server.client("").await;
    let idle = server.session("").await;
    // Both sessions are equally old; only one of them has activity.
    until("the end of the idle session", async || {
        used.send(json!({"type": "ping"})).await;
        used.expect("pong").await;
        (!exists(&server, &idle).await).then_some(())
    })
    .await;
    assert!(exists(&server, &used.session).await);
}

#[tokio::test]
async fn a_running_generation_keeps_its_session() {
    let server = Server::with_model("slow", &["--session-timeout", "2"]).await;
    let mut client = server.client("").await;
    for index in 0..24 {
        client.upload("x.png", &photo(index)).await;
    }
    let witness = server.session("").await;
    client.generate(true).await;
    client.inference_started().await;
    // No client is connected, and the model runs longer than the timeout.
    let session = client.session.clone();
    client.vanish();
    until("the end of the idle session", async || {
        (!exists(&server, &witness).await).then_some(())
    })
    .await;
    assert_eq!(server.info(&session).await["status"], "processing");
    // After the generation the timeout restarts; then the session expires as well.
    until("the result", async || {
        let path = format!("/ws/session/{session}/result");
        (server.get(&path).await.status == 200).then_some(())
    })
    .await;
    until("its end", async || {
        (!exists(&server, &session).await).then_some(())
    })
    .await;
}
