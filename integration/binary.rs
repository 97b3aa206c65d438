//! Images and results as binary messages, together with JSON messages.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{Client, binary};
use crate::support::glb;
use crate::support::pictures::photo;
use crate::support::server::Server;

const IMAGE: &str = r#"{"type": "image"}"#;

/// Two clients of one session; only the first receives binary results.
async fn both_kinds(server: &Server) -> (Client, Client) {
    let session = server.session("").await;
    let binary = Client::connect_with(server, &session, "binary=true").await;
    let json = Client::connect(server, &session).await;
    (binary, json)
}

/// The names of a message's fields and of those in its metadata.
fn fields(message: &Value) -> Vec<&String> {
    let fields = message.as_object().expect("an object");
    let metadata = fields["metadata"].as_object().expect("an object");
    fields
        .keys()
        .filter(|name| *name != "glb_base64")
        .chain(metadata.keys())
        .collect()
}

#[tokio::test]
async fn images_in_and_a_result_out() {
    let server = Server::start(&[]).await;
    let session = server.session("").await;
    let mut client = Client::connect_with(&server, &session, "binary=true").await;
    assert_eq!(client.greeting["binary"], true);
    client
        .send_binary(
            r#"{"type": "image", "filename": "Straße \u6f22.png", "unknown": {"a": [1]}}"#,
            &photo(0),
        )
        .await;
    let ack = client.expect("ack").await;
    assert_eq!(ack["image_count"], 1);
    assert_eq!(ack["image_path"], "Straße \u{6f22}.png");
    client.send_binary(IMAGE, &photo(1)).await;
    assert_eq!(client.expect("ack").await["image_path"], "image_002");
    client
        .send_binary(r#"{"type": "image", "filename": null}   "#, &photo(2))
        .await;
    assert_eq!(client.expect("ack").await["image_path"], "image_003");

    client.generate(true).await;
    let delta = client.result("delta").await;
    assert!(delta.is_binary());
    assert!(delta.progress().count() > 0, "progress stays text");
    assert_eq!(delta.message.get("glb_base64"), None);
    assert_eq!(delta.message["image_count"], 3);
    let glb = delta.glb();
    assert_eq!(delta.metadata()["glb_size_bytes"], glb.len());
    assert_eq!(delta.metadata()["num_points"], glb::read(&glb).points.len());
    let stored = server
        .get(&format!("/ws/session/{session}/result?format=glb"))
        .await;
    assert_eq!(stored.body, glb);

    client.send(json!({"type": "finalize"})).await;
    let complete = client.result("complete").await;
    assert!(complete.is_binary());
    assert_eq!(complete.metadata()["num_frames"], 3);
    client.send_binary(IMAGE, &photo(3)).await;
    client.expect_error(&["completed"]).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn each_client_of_a_session_is_answered_in_its_own_way() {
    let server = Server::start(&[]).await;
    let (mut binary, mut json) = both_kinds(&server).await;
    assert_eq!(json.greeting.get("binary"), None);
    json.upload("0.png", &photo(0)).await;
    binary.send_binary(IMAGE, &photo(1)).await;
    assert_eq!(binary.expect("ack").await["image_count"], 2);
    // A client with JSON results may send binary images, and vice versa.
    json.send_binary(r#"{"type":"image","filename":"2.png"}"#, &photo(2))
        .await;
    assert_eq!(json.expect("ack").await["image_count"], 3);
    binary.upload("3.png", &photo(3)).await;

    json.generate(false).await;
    let text = json.result("complete").await;
    let result = format!("/ws/session/{}/result", json.session);
    assert_eq!(server.get(&result).await.body, text.glb());
    binary.generate(false).await;
    let bytes = binary.result("complete").await;
    assert_eq!(server.get(&result).await.body, bytes.glb());
    assert!(bytes.is_binary() && !text.is_binary());
    assert_eq!(fields(&bytes.message), fields(&text.message));
    assert_eq!(
        text.metadata()["frames"],
        json!(["0.png", "image_002", "2.png", "3.png"])
    );
}

#[tokio::test]
async fn a_large_result_comes_in_fragments_and_pings_in_between_are_answered() {
    let server = Server::start(&[]).await;
    let session = server.session("process_res=504").await;
    let mut client = Client::connect_with(&server, &session, "binary=true").await;
    for index in 0..4 {
        client.upload("x.png", &photo(index)).await;
    }
    client.generate(false).await;
    client.send(json!({"type": "ping"})).await;
    let (_, message) = client.up_to(&["pong"]).await;
    assert_eq!(message["type"], "pong");
    let answer = client.result("complete").await;
    let glb = answer.glb();
    assert!(glb.len() > 1 << 20, "{} bytes are too few", glb.len());
    assert_eq!(
        answer.metadata()["num_points"],
        glb::read(&glb).points.len()
    );
}

#[tokio::test]
async fn messages_that_do_not_follow_the_header() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    let picture = photo(0);
    let mut wrong_version = binary(IMAGE, &picture);
    wrong_version[3] = 2;
    let mut huge = binary(IMAGE, &picture);
    huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut longer_than_it_is = binary(IMAGE, b"");
    longer_than_it_is[4] += 1;
    let mut not_utf8 = binary(IMAGE, &picture);
    not_utf8[10] = 0xff;
    let cases: Vec<(Vec<u8>, &[&str])> = vec![
        (Vec::new(), &["binary", "50 53 42"]),
        (picture.clone(), &["binary", "50 53 42", "JSON"]),
        (b"PSX\x01\0\0\0\0".to_vec(), &["binary", "50 53 42"]),
        (wrong_version, &["binary", "version 2"]),
        (b"PSB".to_vec(), &["3 bytes", "ends before its header"]),
        (b"PSB\x01\x02\0\0".to_vec(), &["7 bytes", "ends before"]),
        (huge, &["4294967295", "131072"]),
        (longer_than_it_is, &["18 bytes", "17 follow"]),
        (not_utf8, &["UTF-8"]),
        (binary("", &picture), &["header", "JSON"]),
        (binary("{", &picture), &["header", "JSON"]),
        (binary("[1]", &picture), &["header", "an array"]),
        (binary("{}", &picture), &["header", "\"type\"", "image"]),
        (binary(r#"{"type": 4}"#, &picture), &["header", "type"]),
        (
            binary(r#"{"type": "generate"}"#, b""),
            &["\"generate\"", "JSON text"],
        ),
        (
            binary(r#"{"type": "image", "data": "QUJD"}"#, &picture),
            &["\"data\""],
        ),
        (
            binary(r#"{"type": "image", "filename": 9}"#, &picture),
            &["filename"],
        ),
        (binary(IMAGE, b""), &["no bytes of an image"]),
        (binary(IMAGE, b"not an image"), &["image"]),
        (binary(IMAGE, &picture[..picture.len() / 2]), &["image"]),
    ];
    for (bytes, words) in cases {
        client.send_raw(Message::binary(bytes)).await;
        client.expect_error(words).await;
    }
    client.expect_quiet().await;
    assert_eq!(server.info(&client.session).await["image_count"], 0);
    client.send_binary(IMAGE, &picture).await;
    assert_eq!(client.expect("ack").await["image_count"], 1);
    client.generate(true).await;
    client.result("delta").await;
}

#[tokio::test]
async fn what_is_no_yes_or_no_is_refused() {
    let server = Server::start(&[]).await;
    let session = server.session("").await;
    let address = format!("{}?binary=maybe", server.socket(&session));
    let (messages, closed) = Client::refused(&address).await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    let text = messages[0]["message"].as_str().expect("text");
    assert!(text.contains("binary must be true or false"), "{text}");
    assert_eq!(closed.code, Some(4422));
}

#[tokio::test]
async fn limits_hold_for_binary_messages() {
    let server =
        Server::start(&["--max-message-bytes", "20000", "--max-image-bytes", "5000"]).await;
    let mut client = server.client("").await;
    client.send_binary(IMAGE, &[7; 6000]).await;
    client.expect_error(&["5000"]).await;
    client.send_binary(IMAGE, &photo(0)).await;
    client.expect("ack").await;
    // The server may close the connection before the message is sent.
    let _ = client
        .try_send_raw(Message::binary(binary(IMAGE, &[7; 30_000])))
        .await;
    let (messages, closed) = client.closed().await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["type"], "error");
    assert_eq!(closed.code, Some(1009));
}

#[tokio::test]
async fn a_missed_result_is_taken_up_in_the_other_way() {
    let server = Server::with_model("slow", &[]).await;
    for (first, second) in [
        ("binary=false", "resume=true&binary=true"),
        ("binary=true", "resume=true"),
    ] {
        let session = server.session("").await;
        let mut client = Client::connect_with(&server, &session, first).await;
        for index in 0..3 {
            client.send_binary(IMAGE, &photo(index)).await;
            client.expect("ack").await;
        }
        client.generate(false).await;
        client.inference_started().await;
        client.vanish();
        server.settled(&session).await;
        let mut again = Client::connect_with(&server, &session, second).await;
        let answer = again.result("complete").await;
        assert_eq!(answer.is_binary(), second.contains("binary"));
        assert_eq!(answer.metadata()["glb_size_bytes"], answer.glb().len());
        again.expect_quiet().await;
    }
}
