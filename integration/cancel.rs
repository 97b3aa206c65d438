//! Clients take requests back, and take completed sessions up again.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::pictures::photo;
use crate::support::server::Server;
use crate::support::until;

const FRAMES: u32 = 6;

/// A client with images whose reconstruction takes seconds.
async fn client(server: &Server) -> Client {
    let mut client = server.client("").await;
    for index in 0..FRAMES {
        client.upload(&format!("{index}.png"), &photo(index)).await;
    }
    client
}

async fn generate(client: &mut Client, id: &str) {
    client
        .send(json!({"type": "generate", "incremental": true, "id": id}))
        .await;
}

fn is_cancelled(message: &Value, id: &str) -> bool {
    message["type"] == "error" && message["code"] == "cancelled" && message["id"] == id
}

#[tokio::test]
async fn a_running_request_is_answered_at_once() {
    let server = Server::with_model("slow", &[]).await;
    let mut client = client(&server).await;
    generate(&mut client, "a").await;
    client.inference_started().await;
    client.send(json!({"type": "cancel", "id": "a"})).await;
    // While the model runs.
    let answer = client.answer().await.message;
    assert!(is_cancelled(&answer, "a"), "{answer}");
    let info = server.info(&client.session).await;
    assert_eq!(
        (&info["status"], &info["requests"]),
        (&json!("active"), &json!(0))
    );
    assert_eq!(info["error_message"], Value::Null);
    assert_eq!(info["image_count"], FRAMES);
    // The session goes on, and nothing comes of the cancelled request.
    generate(&mut client, "b").await;
    let delta = client.result("delta").await;
    assert_eq!(delta.message["id"], "b");
    client.expect_quiet().await;
    let session = client.session.clone();
    let files = server.files();
    let results: Vec<_> = files.iter().filter(|file| file.ends_with(".glb")).collect();
    assert_eq!(results.len(), 1, "{session}: {files:?}");
}

#[tokio::test]
async fn a_worker_ends_what_nobody_wants_in_the_middle_of_a_call() {
    // More than two frames take for ever here, until the call is ended.
    let server = Server::with_model("endless", &[]).await;
    let mut other = server.client("").await;
    for index in 0..2 {
        other.upload("x.png", &photo(index)).await;
    }
    let mut client = client(&server).await;
    generate(&mut client, "a").await;
    client.inference_started().await;
    client.send(json!({"type": "cancel", "id": "a"})).await;
    assert!(is_cancelled(&client.answer().await.message, "a"));
    generate(&mut other, "b").await;
    other.result("delta").await;

    generate(&mut client, "c").await;
    client.inference_started().await;
    let path = format!("/ws/session/{}", client.session);
    assert_eq!(server.delete(&path).await.status, 200);
    generate(&mut other, "d").await;
    other.result("delta").await;
    let stats = server.get("/stats").await.json();
    assert_eq!(stats["totals"]["worker_restarts"], 0, "{stats}");
}

#[tokio::test]
async fn one_of_several_is_cancelled() {
    let server = Server::with_model("slow", &[]).await;
    let mut client = client(&server).await;
    for id in ["a", "b", "c"] {
        generate(&mut client, id).await;
    }
    client.inference_started().await;
    client.send(json!({"type": "cancel", "id": "b"})).await;
    let answer = client.answer().await;
    assert!(is_cancelled(&answer.message, "b"));
    for id in ["a", "c"] {
        assert_eq!(client.result("delta").await.message["id"], id);
    }
    client.send(json!({"type": "cancel", "id": "b"})).await;
    let error = client.expect("error").await;
    assert_eq!(
        (&error["code"], &error["id"]),
        (&json!("nothing_to_cancel"), &json!("b"))
    );
}

#[tokio::test]
async fn all_are_cancelled_over_http() {
    let server = Server::with_model("slow", &[]).await;
    let mut client = client(&server).await;
    let path = format!("/ws/session/{}/generation", client.session);
    let reply = server.delete(&path).await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (404, &json!("nothing_to_cancel"))
    );
    generate(&mut client, "a").await;
    client.send(json!({"type": "finalize", "id": "b"})).await;
    client.inference_started().await;
    let reply = server.delete(&path).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for id in ["a", "b"] {
        assert!(is_cancelled(&client.answer().await.message, id));
    }
    // The session is not completed.
    client.upload("more.png", &photo(FRAMES)).await;
    client.send(json!({"type": "finalize", "id": "c"})).await;
    client.inference_started().await;
    client.send(json!({"type": "cancel"})).await;
    assert!(is_cancelled(&client.answer().await.message, "c"));
    client.upload("last.png", &photo(FRAMES + 1)).await;
    client.send(json!({"type": "finalize"})).await;
    let complete = client.result("complete").await;
    assert_eq!(complete.metadata()["num_frames"], FRAMES + 2);
}

#[tokio::test]
async fn a_cancelled_request_frees_its_place_in_the_queue() {
    let server = Server::with_model("slow", &[]).await;
    let mut first = client(&server).await;
    let mut second = client(&server).await;
    generate(&mut first, "a").await;
    first.inference_started().await;
    generate(&mut second, "b").await;
    second.send(json!({"type": "cancel", "id": "b"})).await;
    assert!(is_cancelled(&second.answer().await.message, "b"));
    first.result("delta").await;
    // The worker has nothing left to do for the second one.
    until("an idle worker", async || {
        let stats = server.get("/stats").await.json();
        (stats["queue"]["jobs"] == 0).then_some(())
    })
    .await;
    second.expect_quiet().await;
}

#[tokio::test]
async fn a_completed_session_is_taken_up_again() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    let path = format!("/ws/session/{}/reopen", client.session);
    for index in 0..4 {
        client.upload(&format!("{index}.png"), &photo(index)).await;
    }
    let reply = server.post(&path).await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (409, &json!("not_completed"))
    );
    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await;
    assert_eq!(server.info(&client.session).await["status"], "completed");
    let reply = server.post(&path).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(server.info(&client.session).await["status"], "active");
    client.upload("more.png", &photo(4)).await;
    client.generate(true).await;
    let delta = client.result("delta").await;
    assert_eq!(delta.metadata()["num_frames"], 5);
    // In the coordinates of the results before.
    assert_eq!(delta.metadata()["aligned"], true);
    assert_ne!(delta.metadata()["alignment"]["method"], "origin");
    client.send(json!({"type": "finalize"})).await;
    let complete = client.result("complete").await;
    assert_eq!(complete.metadata()["num_frames"], 5);
    assert_eq!(complete.metadata()["aligned"], true);
    assert_eq!(server.post("/ws/session/none/reopen").await.status, 404);
}
