//! The REST side of the protocol: every field, every status.

mod parameters;

use serde_json::{Value, json};

use crate::support::pictures::photo;
use crate::support::rest::Reply;
use crate::support::server::Server;
use crate::support::until;

fn keys(value: &Value) -> Vec<&str> {
    let fields = value.as_object().expect("an object");
    let mut keys: Vec<_> = fields.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn a_session_tells_how_it_is() {
    let server = Server::start(&[]).await;
    let mut client = server.client("max_images=9").await;
    let session = client.session.clone();
    let fresh = server.info(&session).await;
    assert_eq!(
        keys(&fresh)
            .into_iter()
            .filter(|key| PROTOCOL_FIELDS.contains(key))
            .collect::<Vec<_>>(),
        PROTOCOL_FIELDS
    );
    assert_eq!(fresh["session_id"], session.as_str());
    assert_eq!(fresh["status"], "active");
    assert_eq!(fresh["image_count"], 0);
    assert_eq!(fresh["max_images"], 9);
    assert_eq!(fresh["error_message"], Value::Null);
    let created = fresh["created_at"].as_f64().expect("seconds");
    assert!(fresh["last_activity"].as_f64().expect("seconds") >= created);

    client.upload("0.png", &photo(0)).await;
    client.upload("1.png", &photo(1)).await;
    let later = server.info(&session).await;
    assert_eq!(later["image_count"], 2);
    assert_eq!(later["created_at"].as_f64(), Some(created));
    assert!(later["last_activity"].as_f64() >= fresh["last_activity"].as_f64());
}

const PROTOCOL_FIELDS: [&str; 7] = [
    "created_at",
    "error_message",
    "image_count",
    "last_activity",
    "max_images",
    "session_id",
    "status",
];

#[tokio::test]
async fn the_list_counts_everything() {
    let server = Server::with_model(
        "slow",
        &["--max-sessions", "7", "--session-timeout", "1234.5"],
    )
    .await;
    let idle = server.session("").await;
    let mut quiet = server.client("").await;
    quiet.upload("0.png", &photo(0)).await;
    let mut busy = server.client("").await;
    for index in 0..4 {
        busy.upload("x.png", &photo(index)).await;
    }
    busy.generate(true).await;
    busy.inference_started().await;

    let list = server.get("/ws/sessions").await.json();
    assert_eq!(
        list["stats"],
        json!({
            "total_sessions": 3,
            "active_sessions": 2,
            "processing_sessions": 1,
            "max_sessions": 7,
            "total_images": 5,
            "session_timeout": 1234.5
        })
    );
    let sessions = list["sessions"].as_array().expect("a list");
    let seen: Vec<_> = sessions
        .iter()
        .map(|one| json!([one["session_id"], one["status"], one["image_count"]]))
        .collect();
    assert_eq!(
        seen,
        [
            json!([idle, "active", 0]),
            json!([quiet.session, "active", 1]),
            json!([busy.session, "processing", 4]),
        ]
    );
    for one in sessions {
        assert!(one["created_at"].is_f64() && one["last_activity"].is_f64());
    }
    busy.result("delta").await;
}

#[tokio::test]
async fn deleting_removes_the_session_and_its_files() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    let session = client.session.clone();
    let other = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    client.generate(true).await;
    client.result("delta").await;
    assert!(!server.files().is_empty(), "images and a result are files");

    let reply = server.delete(&format!("/ws/session/{session}")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.json(),
        json!({"success": true, "message": format!("Session {session} deleted")})
    );
    assert!(!server.session_folder(&session).exists());
    not_found(&server.get(&format!("/ws/session/{session}")).await);
    not_found(&server.delete(&format!("/ws/session/{session}")).await);
    not_found(&server.get(&format!("/ws/session/{session}/result")).await);
    // The deleted session's connection gets an error and is closed; the other session's is not.
    let (before, closed) = client.closed().await;
    let told = before.iter().any(|message| {
        let text = message["message"].as_str().unwrap_or_default();
        message["type"] == "error" && text.contains("deleted")
    });
    assert!(
        told || closed.reason.contains("deleted"),
        "{before:?} {closed:?}"
    );
    assert_eq!(server.info(&other.session).await["status"], "active");
}

fn not_found(reply: &Reply) {
    assert_eq!(reply.status, 404, "{}", reply.text());
    let detail = reply.detail().to_lowercase();
    assert!(detail.contains("not found"), "{detail}");
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let server = Server::start(&[]).await;
    for session in [
        "00000000-0000-4000-8000-000000000000",
        "abc",
        "%00",
        "..%2f..",
    ] {
        let path = format!("/ws/session/{session}");
        not_found(&server.get(&path).await);
        not_found(&server.delete(&path).await);
        not_found(&server.get(&format!("{path}/result")).await);
    }
    for path in ["/nothing", "/ws", "/ws/session", "/actors/workers"] {
        let reply = server.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        reply.detail();
    }
    let reply = server.post("/ws/sessions").await;
    assert_eq!(reply.status, 405);
    reply.detail();
}

#[tokio::test]
async fn at_the_limit_a_new_session_is_refused_and_none_is_evicted() {
    let server = Server::start(&["--max-sessions", "3"]).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(server.session("").await);
    }
    let reply = server.post("/ws/session/create").await;
    assert_eq!(reply.status, 503);
    let detail = reply.detail();
    assert!(detail.contains('3'), "the limit is missing: {detail}");
    for session in &sessions {
        server.info(session).await;
    }
    let reply = server.delete(&format!("/ws/session/{}", sessions[1])).await;
    assert_eq!(reply.status, 200);
    server.session("").await;
    assert_eq!(server.post("/ws/session/create").await.status, 503);
}

/// Fetches the metadata of the stored result.
async fn stored_metadata(server: &Server, session: &str) -> Value {
    let path = format!("/ws/session/{session}/result?format=json");
    let reply = server.get(&path).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn a_result_can_be_fetched() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    let path = format!("/ws/session/{}/result", client.session);
    let none = server.get(&path).await;
    assert_eq!(none.status, 404);
    assert!(none.detail().contains("result"), "{}", none.text());
    for (count, incremental) in [(1, true), (2, false)] {
        client.upload("x.png", &photo(count)).await;
        client.generate(incremental).await;
        let answer = client.answer().await;
        let stored = server.get(&path).await;
        assert_eq!(stored.status, 200);
        assert_eq!(stored.header("content-type"), Some("model/gltf-binary"));
        assert_eq!(stored.body, answer.glb(), "the latest result, byte by byte");
        let mut without_glb = answer.message.clone();
        let fields = without_glb.as_object_mut().expect("an object");
        fields.remove("glb_base64");
        assert_eq!(stored_metadata(&server, &client.session).await, without_glb);
    }
}

#[tokio::test]
async fn the_service_tells_how_it_is() {
    let server = Server::start(&[]).await;
    assert_eq!(server.get("/healthz").await.status, 200);
    until("readiness", async || {
        (server.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    let info = server.get("/info").await.text();
    for word in ["flat", "1.0.0", "Apache-2.0", "sha256:", "cpu"] {
        assert!(info.contains(word), "{word} is missing: {info}");
    }
}
