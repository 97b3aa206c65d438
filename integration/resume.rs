//! A dropped connection loses nothing.

use tokio_tungstenite::tungstenite::Message;

use crate::support::client::Client;
use crate::support::pictures::photo;
use crate::support::server::Server;

const FRAMES: u32 = 4;

/// Connects a client and starts a request that runs in the model.
async fn running(server: &Server) -> Client {
    let mut client = server.client("").await;
    for index in 0..FRAMES {
        client.upload(&format!("{index}.png"), &photo(index)).await;
    }
    client.generate(true).await;
    client.inference_started().await;
    client
}

#[tokio::test]
async fn a_session_is_found_as_it_was() {
    let server = Server::start(&[]).await;
    let mut client = server.client("max_images=5").await;
    client.upload("0.png", &photo(0)).await;
    client.upload("1.png", &photo(1)).await;
    let session = client.session.clone();
    client.vanish();
    let mut again = Client::connect(&server, &session).await;
    assert_eq!(again.greeting["session_id"], session.as_str());
    assert_eq!(again.greeting["image_count"], 2);
    assert_eq!(again.greeting["max_images"], 5);
    let ack = again.upload("2.png", &photo(2)).await;
    assert_eq!(ack["image_count"], 3);
    again.generate(true).await;
    let answer = again.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], 3);
}

#[tokio::test]
async fn a_running_generation_goes_on_and_is_taken_over() {
    let server = Server::with_model("slow", &[]).await;
    let client = running(&server).await;
    let session = client.session.clone();
    client.vanish();
    let mut again = Client::resume(&server, &session).await;
    assert_eq!(again.greeting["image_count"], FRAMES);
    let answer = again.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], FRAMES);
    assert!(
        answer
            .before
            .iter()
            .all(|message| message["type"] == "progress")
    );
    again.expect_quiet().await;
}

#[tokio::test]
async fn a_result_waits_for_its_client() {
    let server = Server::with_model("slow", &[]).await;
    let client = running(&server).await;
    let session = client.session.clone();
    client.vanish();
    let info = server.settled(&session).await;
    assert_eq!(info["status"], "active");
    let stored = server.get(&format!("/ws/session/{session}/result")).await;
    assert_eq!(stored.status, 200);
    // The answer follows right after `connected`, and only once.
    let mut again = Client::resume(&server, &session).await;
    let delta = again.expect("delta").await;
    assert_eq!(delta["image_count"], FRAMES);
    again.expect_quiet().await;
    again.vanish();
    let mut third = Client::resume(&server, &session).await;
    third.expect_quiet().await;
}

#[tokio::test]
async fn without_resume_nothing_old_is_sent() {
    let server = Server::with_model("slow", &[]).await;
    let client = running(&server).await;
    let session = client.session.clone();
    client.vanish();
    server.settled(&session).await;
    let mut plain = Client::connect(&server, &session).await;
    plain.expect_quiet().await;
    // The answer is still available to a client that resumes.
    plain.vanish();
    let mut again = Client::resume(&server, &session).await;
    again.expect("delta").await;
}

#[tokio::test]
async fn queued_requests_survive_too() {
    let server = Server::with_model("slow", &[]).await;
    let mut client = running(&server).await;
    client.generate(false).await;
    client.send(serde_json::json!({"type": "finalize"})).await;
    // The three images are in the session before the connection drops.
    client.send(serde_json::json!({"type": "ping"})).await;
    client.up_to(&["pong"]).await;
    let session = client.session.clone();
    client.vanish();
    let mut again = Client::resume(&server, &session).await;
    again.result("delta").await;
    again.result("complete").await;
    again.result("complete").await;
    again.expect_quiet().await;
    assert_eq!(server.info(&session).await["status"], "completed");
}

#[tokio::test]
async fn answers_of_several_lost_connections_are_kept() {
    let server = Server::with_model("slow", &[]).await;
    let mut client = running(&server).await;
    let session = client.session.clone();
    for number in FRAMES..FRAMES + 3 {
        for _ in 0..3 {
            client.generate(true).await;
        }
        // The session has the requests before the connection drops.
        client.send(serde_json::json!({"type": "ping"})).await;
        client.up_to(&["pong"]).await;
        client.vanish();
        server.settled(&session).await;
        client = Client::connect(&server, &session).await;
        client
            .upload(&format!("{number}.png"), &photo(number))
            .await;
    }
    client.vanish();
    let mut again = Client::resume(&server, &session).await;
    for _ in 0..1 + 3 * 3 {
        again.result("delta").await;
    }
    again.expect_quiet().await;
}

#[tokio::test]
async fn a_close_right_after_a_request_loses_no_answer() {
    let server = Server::start(&[]).await;
    for _ in 0..5 {
        let mut client = server.client("").await;
        client.upload("0.png", &photo(0)).await;
        let session = client.session.clone();
        client.generate(true).await;
        client.send_raw(Message::Close(None)).await;
        client.closed().await;
        let mut back = Client::resume(&server, &session).await;
        back.result("delta").await;
    }
}
