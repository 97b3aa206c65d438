//! Message identifiers: the answers repeat the `id` of their message.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::pictures::{black, photo, sized};
use crate::support::server::Server;

fn image(bytes: &[u8], id: &Value, filename: &str) -> Value {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    json!({"type": "image", "data": data, "id": id, "filename": filename})
}

#[tokio::test]
async fn answers_repeat_the_identifier_of_their_message() {
    let server = Server::start(&[]).await;
    for query in ["", "binary=true"] {
        let session = server.session("").await;
        let mut client = Client::connect_with(&server, &session, query).await;
        let long = "ß".repeat(128);
        client
            .send(image(&photo(0), &json!("first \"image\""), "0.png"))
            .await;
        client.send(image(&photo(1), &json!(long), "1.png")).await;
        client
            .send_binary(r#"{"type": "image", "id": "2"}"#, &photo(2))
            .await;
        for id in ["first \"image\"", &long, "2"] {
            assert_eq!(client.expect("ack").await["id"], id);
        }
        client
            .send(json!({"type": "generate", "id": "now", "incremental": true}))
            .await;
        let delta = client.result("delta").await;
        assert_eq!(delta.message["id"], "now");
        assert!(delta.progress().all(|message| message["id"] == "now"));
        client
            .send(json!({"type": "finalize", "id": "\u{1F600}"}))
            .await;
        assert_eq!(client.result("complete").await.message["id"], "\u{1F600}");
        client.send(json!({"type": "generate", "id": "late"})).await;
        assert_eq!(client.expect("error").await["id"], "late");
        client.send(json!({"type": "finalize", "id": "too"})).await;
        assert_eq!(client.expect("error").await["id"], "too");
    }
}

#[tokio::test]
async fn an_error_names_its_image() {
    let server = Server::start(&[]).await;
    let mut client = server.client("max_images=1").await;
    // Not an image; not base64; not a camera; one image too many.
    client.send(image(b"invalid", &json!("a"), "a.png")).await;
    expect_refusal(&mut client, "a").await;
    client
        .send(json!({"type": "image", "id": "b", "filename": "b.png", "data": "!"}))
        .await;
    expect_refusal(&mut client, "b").await;
    client
        .send_binary(
            r#"{"type": "image", "id": "c", "filename": "c.png", "intrinsics": 1}"#,
            &photo(0),
        )
        .await;
    expect_refusal(&mut client, "c").await;
    client.upload("fits.png", &photo(0)).await;
    client.send(image(&photo(1), &json!("d"), "d.png")).await;
    expect_refusal(&mut client, "d").await;
}

#[tokio::test]
async fn images_are_answered_in_their_order_whatever_comes_of_them() {
    let server = Server::start(&[]).await;
    let mut client = server.client("max_images=2").await;
    // Decoding these images takes a while; the errors of those in between are known at once.
    let slow = sized(3000, 2000);
    client.send(image(&slow, &json!("0"), "0.png")).await;
    client
        .send(json!({"type": "image", "id": "1", "data": "!"}))
        .await;
    client.send(image(&slow, &json!("2"), "2.png")).await;
    client.send(json!({"type": "dance", "id": "3"})).await;
    client.send(image(&slow, &json!("4"), "4.png")).await;
    client
        .send_binary(r#"{"type": "image", "id": "5"}"#, b"")
        .await;
    client.send(json!({"type": "finalize", "id": "7"})).await;
    client.send(image(&photo(0), &json!("6"), "6.png")).await;
    let mut answers = Vec::new();
    while answers.len() < 8 {
        let message = client.next().await;
        if message["type"] != "progress" {
            answers.push(format!(
                "{} {}",
                message["id"].as_str().expect("a name"),
                message["type"].as_str().expect("a type")
            ));
        }
    }
    assert_eq!(
        answers,
        [
            "0 ack",
            "1 error",
            "2 ack",
            "3 error",
            "4 error",
            "5 error",
            "6 error",
            "7 complete"
        ]
    );
}

/// Expects the refusal of the image with this identifier.
async fn expect_refusal(client: &mut Client, id: &str) {
    let error = client.expect("error").await;
    assert_eq!(error["id"], id);
    assert_eq!(error["filename"], format!("{id}.png"));
}

#[tokio::test]
async fn clients_that_name_nothing_see_no_names() {
    let server = Server::with_model("raises_on_black", &[]).await;
    let mut client = server.client("").await;
    client.send(json!({"type": "generate"})).await;
    let refused = client.expect("error").await;
    client.send(json!({"type": "image", "data": "!"})).await;
    let invalid = client.expect("error").await;
    let ack = client.upload("0.png", &photo(0)).await;
    client.generate(true).await;
    let delta = client.result("delta").await.message;
    let mut failing = server.client("").await;
    failing.upload("black.png", &black()).await;
    failing.generate(true).await;
    let failed = failing.answer().await.message;
    assert_eq!(failed["type"], "error");
    for message in [refused, invalid, ack, delta, failed] {
        assert_eq!(message.get("id"), None, "{}", message["type"]);
        assert_eq!(message.get("filename"), None, "{}", message["type"]);
    }
}

#[tokio::test]
async fn a_failed_generation_is_answered_under_its_name() {
    let server = Server::with_model("raises_on_black", &[]).await;
    let mut client = server.client("").await;
    client.upload("black.png", &black()).await;
    client.send(json!({"type": "generate", "id": "g"})).await;
    let answer = client.answer().await.message;
    assert_eq!(
        (&answer["type"], &answer["id"]),
        (&json!("error"), &json!("g"))
    );
    assert_eq!(answer.get("filename"), None);
}

#[tokio::test]
async fn who_resumes_learns_which_request_was_answered() {
    let server = Server::with_model("slow", &[]).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    client
        .send(json!({"type": "generate", "incremental": true, "id": "mine"}))
        .await;
    client.inference_started().await;
    let session = client.session.clone();
    client.vanish();
    let mut client = Client::resume(&server, &session).await;
    assert_eq!(client.result("delta").await.message["id"], "mine");
}

#[tokio::test]
async fn identifiers_that_are_none_are_refused() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    let long = "n".repeat(129);
    for id in [json!(""), json!(long), json!(7), json!(["a"]), json!(true)] {
        for message in [
            image(&photo(1), &id, "1.png"),
            json!({"type": "generate", "id": id}),
            json!({"type": "finalize", "id": id}),
        ] {
            client.send(message).await;
            let error = client.expect("error").await;
            let text = error["message"].as_str().expect("text");
            assert!(text.contains("\"id\""), "{text}");
            assert_eq!(error.get("id"), None);
        }
        let header = json!({"type": "image", "id": id}).to_string();
        client.send_binary(&header, &photo(1)).await;
        client.expect_error(&["\"id\""]).await;
    }
    // null counts as missing.
    client.send(json!({"type": "generate", "id": null})).await;
    assert_eq!(client.result("complete").await.message.get("id"), None);
    // Messages without identifiers ignore the field, like any unknown field.
    client.send(json!({"type": "ping", "id": ""})).await;
    assert_eq!(client.expect("pong").await.get("id"), None);
    assert_eq!(server.info(&client.session).await["image_count"], 1);
}
