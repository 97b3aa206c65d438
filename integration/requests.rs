//! Each `generate` and `finalize` gets exactly one answer, in order.

use serde_json::json;

use crate::support::pictures::photo;
use crate::support::server::Server;

#[tokio::test]
async fn answers_come_in_order_each_once() {
    let server = Server::start(&["--max-pending-requests", "8"]).await;
    let mut client = server.client("").await;
    for index in 0..5 {
        client
            .send_image(&format!("{index}.png"), &photo(index))
            .await;
        client.generate(index % 2 == 0).await;
    }
    client.send(json!({"type": "finalize"})).await;
    for index in 0..5 {
        let kind = if index % 2 == 0 { "delta" } else { "complete" };
        let answer = client.result(kind).await;
        assert_eq!(answer.message["image_count"], index + 1, "order");
        assert_eq!(answer.metadata()["num_frames"], index + 1);
    }
    let answer = client.result("complete").await;
    assert_eq!(answer.message["image_count"], 5);
    client.expect_quiet().await;
    assert_eq!(server.info(&client.session).await["status"], "completed");
}

#[tokio::test]
async fn beyond_the_limit_the_answer_is_busy() {
    let server = Server::with_model("slow", &["--max-pending-requests", "2"]).await;
    let mut client = server.client("").await;
    for index in 0..4 {
        client.upload("x.png", &photo(index)).await;
    }
    // The first request runs for seconds, two more may wait, and the last three exceed the limit.
    for _ in 0..6 {
        client.generate(true).await;
    }
    let (mut results, mut refusals) = (0, 0);
    while results + refusals < 6 {
        let answer = client.answer().await;
        match answer.message["type"].as_str() {
            Some("delta") => results += 1,
            _ => {
                let text = answer.message["message"].as_str().expect("text");
                assert!(text.contains("busy"), "{text}");
                refusals += 1;
            }
        }
    }
    assert_eq!((results, refusals), (3, 3));
    client.expect_quiet().await;
    // A refusal because of load is not a failure of the session.
    assert_eq!(server.info(&client.session).await["status"], "active");
    client.generate(false).await;
    client.result("complete").await;
}

#[tokio::test]
async fn a_request_is_not_incremental_unless_it_says_so() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    client.send(json!({"type": "generate"})).await;
    client.result("complete").await;
    // The session is not completed by that.
    client.upload("1.png", &photo(1)).await;
    // Unknown fields are ignored.
    client
        .send(json!({"type": "generate", "incremental": true, "colour": "red"}))
        .await;
    client.result("delta").await;
}
