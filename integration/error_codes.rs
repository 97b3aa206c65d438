//! Each error has a code of the documented list, and progress names its request.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::pictures::{black, photo};
use crate::support::rest::{FORM, form, request_with};
use crate::support::server::Server;

/// Sends a message that is refused; returns the code of the error.
async fn code(client: &mut Client, message: Value) -> String {
    client.send(message).await;
    let error = client.expect("error").await;
    error["code"].as_str().expect("a code").to_owned()
}

#[tokio::test]
async fn errors_of_messages_have_codes() {
    let server = Server::with_model("raises_on_black", &[]).await;
    let mut client = server.client("max_images=2").await;
    for (message, expected) in [
        (json!({"type": "dance"}), "invalid_message"),
        (json!(["generate"]), "invalid_message"),
        (json!({"type": "generate"}), "no_images"),
        (json!({"type": "image", "data": "!"}), "invalid_message"),
        (
            json!({"type": "image", "data": "aGVsbG8="}),
            "invalid_image",
        ),
        (json!({"type": "received", "number": 1}), "unknown_result"),
    ] {
        assert_eq!(
            code(&mut client, message.clone()).await,
            expected,
            "{message}"
        );
    }
    client.upload("black.png", &black()).await;
    let failed = code_of_answer(&mut client, json!({"type": "generate"})).await;
    assert_eq!(failed, "model_failed");
    client.upload("0.png", &photo(0)).await;
    client.send_image("1.png", &photo(1)).await;
    assert_eq!(client.expect("error").await["code"], "too_many_images");
    // An image that is too large by its bytes.
    let narrow = Server::start(&["--max-image-bytes", "100"]).await;
    let mut client = narrow.client("").await;
    client.send_image("0.png", &photo(0)).await;
    assert_eq!(client.expect("error").await["code"], "image_too_large");
}

/// The code of the error that answers a request.
async fn code_of_answer(client: &mut Client, message: Value) -> String {
    client.send(message).await;
    let answer = client.answer().await;
    let code = answer.message["code"].as_str();
    code.expect("an error").to_owned()
}

#[tokio::test]
async fn a_completed_session_says_so() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    client.send(json!({"type": "finalize", "id": "last"})).await;
    let answer = client.result("complete").await;
    let progress: Vec<_> = answer.progress().collect();
    assert!(!progress.is_empty());
    assert!(progress.iter().all(|message| message["id"] == "last"));
    for message in [
        json!({"type": "generate"}),
        json!({"type": "image", "data": "aGVsbG8="}),
    ] {
        assert_eq!(code(&mut client, message).await, "session_completed");
    }
    // A request without an identifier has progress without one.
    let mut other = server.client("").await;
    other.upload("0.png", &photo(0)).await;
    other.generate(true).await;
    let answer = other.result("delta").await;
    assert!(answer.progress().all(|message| message.get("id").is_none()));
}

#[tokio::test]
async fn the_end_of_a_connection_has_a_code() {
    let server = Server::start(&["--max-connections", "1"]).await;
    let session = server.session("").await;
    let mut first = Client::connect(&server, &session).await;
    // A client that reads keeps its place.
    let first = tokio::spawn(async move { first.closed().await });
    let none = "00000000-0000-4000-8000-000000000000";
    let address = server.socket(&session);
    for (address, close, code) in [
        (server.socket(none), 4404, "session_not_found"),
        (server.socket("none"), 4404, "session_not_found"),
        (address.clone(), 4429, "too_many_connections"),
        (
            format!("{address}?resume=perhaps"),
            4422,
            "invalid_parameter",
        ),
        (format!("{address}?resumes=true"), 4422, "unknown_parameter"),
    ] {
        let (before, closed) = Client::refused(&address).await;
        assert_eq!(closed.code, Some(close), "{address}");
        assert_eq!(before[0]["code"], code, "{address}");
        assert!(
            closed.reason.starts_with(&format!("{code}: ")),
            "{closed:?}"
        );
    }
    server.delete(&format!("/ws/session/{session}")).await;
    let (before, closed) = first.await.expect("no panic");
    assert_eq!(before[0]["code"], "session_deleted");
    assert!(closed.reason.starts_with("session_deleted: "), "{closed:?}");
}

#[tokio::test]
async fn http_errors_have_codes() {
    let server = Server::start(&["--max-sessions", "1"]).await;
    let session = server.session("").await;
    let path = format!("/ws/session/{session}");
    for (method, path, status, code) in [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/ws/session/none", 404, "session_not_found"),
        ("GET", &format!("{path}/result"), 404, "no_result"),
        (
            "GET",
            &format!("{path}/result?format=x"),
            422,
            "invalid_parameter",
        ),
        (
            "GET",
            &format!("{path}/images/0/thumbnail"),
            404,
            "not_found",
        ),
        ("POST", &path, 405, "method_not_allowed"),
        (
            "GET",
            &format!("/ws/reconstruct/{session}"),
            426,
            "upgrade_required",
        ),
        (
            "POST",
            "/ws/session/create?max_images=0",
            422,
            "invalid_parameter",
        ),
        ("POST", "/ws/session/create", 503, "too_many_sessions"),
        ("POST", "/actors/workers/7/restart", 404, "not_found"),
        ("POST", "/reconstruct", 415, "unsupported_media_type"),
    ] {
        let url = format!("{}{path}", server.base());
        let reply = request_with(method, &url, &[], Vec::new()).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        assert_eq!(reply.json()["code"], code, "{method} {path}");
        assert!(!reply.detail().is_empty());
    }
    server.delete(&path).await;
    let url = format!("{}/reconstruct?process_res=56", server.base());
    let headers = [("Content-Type", FORM)];
    for (parts, code) in [
        (vec![], "no_images"),
        (vec![("images", Some("a.png"), &b"no"[..])], "invalid_image"),
        (vec![("photo", Some("a.png"), &b"no"[..])], "invalid_form"),
    ] {
        let reply = request_with("POST", &url, &headers, form(&parts)).await;
        assert_eq!(reply.json()["code"], code, "{}", reply.text());
    }
    let headers = [("Origin", "https://elsewhere.example")];
    let url = format!("{}/ws/session/create", server.base());
    let reply = request_with("POST", &url, &headers, Vec::new()).await;
    assert_eq!(reply.json()["code"], "origin_not_allowed");
}
