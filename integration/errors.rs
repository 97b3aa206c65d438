//! Invalid input gets a clear error, and the session continues.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::Client;
use crate::support::pictures::{decompression_bomb, photo, sized};
use crate::support::server::Server;

#[tokio::test]
async fn messages_that_are_none() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    let cases: &[(&str, &[&str])] = &[
        ("", &["JSON"]),
        ("hello", &["JSON"]),
        ("{\"type\": \"ping\"", &["JSON"]),
        ("{\"type\": \"ping\"} and more", &["JSON"]),
        ("[]", &["object"]),
        ("\"ping\"", &["object"]),
        ("42", &["object"]),
        ("null", &["object"]),
        ("{}", &["type"]),
        ("{\"type\": 7}", &["type"]),
        ("{\"type\": null}", &["type"]),
        ("{\"type\": \"\"}", &["type"]),
        ("{\"type\": \"dance\"}", &["dance"]),
        ("{\"type\": \"Ping\"}", &["Ping"]),
        ("{\"type\": \"image\"}", &["data"]),
        ("{\"type\": \"image\", \"data\": 5}", &["data"]),
        ("{\"type\": \"image\", \"data\": null}", &["data"]),
        ("{\"type\": \"image\", \"data\": [\"aa\"]}", &["data"]),
        ("{\"type\": \"image\", \"data\": \"!?\"}", &["base64"]),
        ("{\"type\": \"image\", \"data\": \"QUJ\"}", &["base64"]),
        (
            "{\"type\": \"generate\", \"incremental\": \"yes\"}",
            &["incremental"],
        ),
        (
            "{\"type\": \"generate\", \"incremental\": 1}",
            &["incremental"],
        ),
    ];
    for (text, words) in cases {
        client.send_raw(Message::text(*text)).await;
        client.expect_error(words).await;
    }
    // A name that is not a string is an error even if the image is valid.
    client
        .send(json!({"type": "image", "data": encoded(&photo(0)), "filename": 9}))
        .await;
    client.expect_error(&["filename"]).await;
    client.send_raw(Message::binary(photo(0))).await;
    client.expect_error(&["binary"]).await;
    // Ten thousand brackets deep.
    client.send_raw(Message::text("[".repeat(10_000))).await;
    client.expect_error(&["JSON"]).await;
    lives_on(&server, &mut client, 0).await;
}

#[tokio::test]
async fn data_that_is_no_picture() {
    let server = Server::start(&["--max-image-pixels", "10000"]).await;
    let mut client = server.client("").await;
    let mut cut_off = photo(1);
    cut_off.truncate(cut_off.len() / 2);
    let cases: &[(&[u8], &[&str])] = &[
        (b"", &["image"]),
        (b"this is text and not an image", &["image"]),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", &["image"]),
        (&cut_off, &["image"]),
        (&sized(101, 100), &["pixels", "10000"]),
        (&decompression_bomb(), &["pixels"]),
    ];
    for (bytes, words) in cases {
        client.send_image("what.png", bytes).await;
        client.expect_error(words).await;
    }
    assert_eq!(server.info(&client.session).await["image_count"], 0);
    client.upload("fits.png", &sized(100, 100)).await;
    lives_on(&server, &mut client, 1).await;
}

#[tokio::test]
async fn decompression_bombs_cost_no_memory() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.upload("good.png", &photo(0)).await;
    let before = server.resident_bytes();
    for _ in 0..4 {
        client.send_image("bomb.png", &decompression_bomb()).await;
        client.expect_error(&["pixels"]).await;
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    lives_on(&server, &mut client, 1).await;
}

#[tokio::test]
async fn generate_without_images() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    for message in [
        json!({"type": "generate", "incremental": true}),
        json!({"type": "generate", "incremental": false}),
        json!({"type": "generate"}),
        json!({"type": "finalize"}),
    ] {
        client.send(message).await;
        client.expect_error(&["image"]).await;
    }
    // The session was not finalized, and no generation failed.
    let info = server.info(&client.session).await;
    assert_eq!(info["status"], "active");
    assert_eq!(info["error_message"], Value::Null);
    lives_on(&server, &mut client, 0).await;
}

#[tokio::test]
async fn one_image_more_than_the_limit() {
    let server = Server::start(&[]).await;
    let mut client = server.client("max_images=2").await;
    assert_eq!(client.greeting["max_images"], 2);
    client.upload("0.png", &photo(0)).await;
    client.upload("1.png", &photo(1)).await;
    for _ in 0..2 {
        client.send_image("2.png", &photo(2)).await;
        client.expect_error(&["maximum", "image", "2"]).await;
    }
    let info = server.info(&client.session).await;
    assert_eq!(info["image_count"], 2);
    client.generate(false).await;
    let answer = client.result("complete").await;
    assert_eq!(answer.metadata()["frames"], json!(["0.png", "1.png"]));
}

#[tokio::test]
async fn a_refused_image_does_not_count() {
    let server = Server::start(&[]).await;
    let mut client = server.client("max_images=1").await;
    client.send_image("bad.png", b"invalid").await;
    client.expect_error(&["image"]).await;
    let ack = client.upload("good.png", &photo(0)).await;
    assert_eq!(ack["image_count"], 1);
}

#[tokio::test]
async fn nothing_after_finalize() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await;
    assert_eq!(server.info(&client.session).await["status"], "completed");
    client.send_image("1.png", &photo(1)).await;
    client.expect_error(&["completed"]).await;
    client.generate(true).await;
    client.expect_error(&["completed"]).await;
    client.send(json!({"type": "finalize"})).await;
    client.expect_error(&["completed"]).await;
    // The connection and the result still exist.
    client.expect_quiet().await;
    let info = server.info(&client.session).await;
    assert_eq!(info["status"], "completed");
    assert_eq!(info["image_count"], 1);
}

#[tokio::test]
async fn messages_right_behind_finalize_are_refused() {
    let server = Server::with_model("slow", &[]).await;
    let mut client = server.client("").await;
    for index in 0..4 {
        client.upload("x.png", &photo(index)).await;
    }
    client.send(json!({"type": "finalize"})).await;
    client.send_image("late.png", &photo(5)).await;
    let (before, error) = client.up_to(&["error"]).await;
    assert!(before.iter().all(|message| message["type"] == "progress"));
    let text = error["message"].as_str().expect("text");
    assert!(text.contains("finalize"), "{text}");
    let answer = client.result("complete").await;
    assert_eq!(answer.metadata()["num_frames"], 4);
}

#[tokio::test]
async fn sessions_that_do_not_exist() {
    let server = Server::start(&[]).await;
    for session in [
        "00000000-0000-4000-8000-000000000000",
        "abc",
        "..",
        "%2e%2e%2f",
    ] {
        let (messages, closed) = Client::refused(&server.socket(session)).await;
        assert_eq!(messages.len(), 1, "{session}: {messages:?}");
        assert_eq!(
            messages[0],
            json!({"type": "error", "code": "session_not_found", "message": "Session not found"})
        );
        assert_eq!(closed.code, Some(4404), "{session}: {closed:?}");
    }
}

fn encoded(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Checks that the session still accepts images and requests.
async fn lives_on(server: &Server, client: &mut Client, images: usize) {
    client.expect_quiet().await;
    let ack = client.upload("fine.png", &photo(9)).await;
    assert_eq!(ack["image_count"], images + 1);
    client.generate(true).await;
    let answer = client.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], images + 1);
    let info = server.info(&client.session).await;
    assert_eq!(info["status"], "active");
    assert_eq!(info["error_message"], Value::Null);
}
