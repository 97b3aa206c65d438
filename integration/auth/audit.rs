//! The audit log, and that no log has a token.

use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::pictures::photo;
use crate::support::raw;
use crate::support::rest::{self, FORM, form};
use crate::support::server::Server;
use crate::support::tokens::{Tokens, create, with_token};
use crate::support::until;

/// The entries of an audit log in a file.
fn entries(tokens: &Tokens) -> Vec<Value> {
    let text = std::fs::read_to_string(tokens.folder().join("audit.log")).expect("a log");
    let entries = text.lines().map(|line| {
        let entry: Value = serde_json::from_str(line).expect("each line is JSON");
        assert_eq!(entry["target"], "audit", "{entry}");
        entry
    });
    entries.collect()
}

async fn audited(tokens: &Tokens, options: &[&str]) -> Server {
    let log = tokens.folder().join("audit.log");
    let log = log.to_str().expect("a plain name");
    let own = ["--audit-log", log, "--log-level", "ERROR"];
    tokens.server(&[&own, options].concat()).await
}

#[tokio::test]
async fn who_did_what_from_where_is_in_a_file_of_its_own() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let operator = tokens.add("operator", "operate").await;
    let server = audited(&tokens, &[]).await;
    let log = std::fs::metadata(tokens.folder().join("audit.log")).expect("a log");
    assert_eq!(log.mode() & 0o777, 0o600, "nobody else reads it");
    let (session, own) = create(&server, &user).await;
    Client::with_token(&server, &session, &own).await.vanish();
    let path = format!("/ws/session/{session}");
    assert_eq!(
        with_token(&server, &user, "GET", "/actors").await.status,
        403
    );
    assert_eq!(
        with_token(&server, "pst_x", "DELETE", &path).await.status,
        401
    );
    let restart = "/actors/workers/0/restart";
    let restarted = with_token(&server, &operator, "POST", restart).await;
    assert_eq!(
        with_token(&server, &operator, "DELETE", &path).await.status,
        200
    );

    let mut expected = vec![
        json!(["session_created", "token:user", session, null]),
        json!([
            "session_opened",
            "token:user (token of a session)",
            session,
            null
        ]),
        json!(["refused", "token:user", null, "/actors"]),
        json!(["refused", null, null, "/ws/session/{session_id}"]),
    ];
    if restarted.status == 200 {
        expected.push(json!(["worker_restarted", "token:operator", null, null]));
    }
    expected.push(json!(["session_deleted", "token:operator", session, null]));
    let entries = entries(&tokens);
    let found = entries.iter().map(|entry| {
        assert_eq!(entry["from"], "127.0.0.1", "{entry}");
        json!([
            entry["action"],
            entry["who"],
            entry["session_id"],
            entry["route"]
        ])
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let reasons: Vec<_> = entries.iter().map(|entry| &entry["reason"]).collect();
    assert_eq!(reasons[2..4], ["no_scope", "unknown"]);
    assert!(!server.log().contains("audit"), "{}", server.log());
}

#[tokio::test]
async fn what_is_done_with_a_session_is_there() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let server = audited(&tokens, &[]).await;
    let (session, _) = create(&server, &user).await;
    let mut client = Client::with_token(&server, &session, &user).await;
    client.upload("a.png", &photo(0)).await;
    let ask = async |method: &str, path: &str| {
        let path = format!("/ws/session/{session}/{path}");
        let reply = with_token(&server, &user, method, &path).await;
        (reply.status, reply.json())
    };
    // What was refused is not there.
    assert_eq!(ask("POST", "reopen").await.0, 409);
    assert_eq!(ask("DELETE", "generation").await.0, 404);
    client.send(json!({"type": "cancel"})).await;
    client.expect_error(&[]).await;
    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await;
    let path = format!("/ws/session/{session}/result");
    assert_eq!(with_token(&server, &user, "GET", &path).await.status, 200);
    assert_eq!(with_token(&server, &user, "HEAD", &path).await.status, 200);
    assert_eq!(ask("POST", "reopen").await.0, 200);
    let (status, again) = ask("POST", "rerun").await;
    assert_eq!(status, 200);
    let again = again["session_id"].clone();
    let entries = entries(&tokens);
    let found = entries.iter().skip(2).map(|entry| {
        assert_eq!(entry["who"], "token:user");
        json!([entry["action"], entry["session_id"]])
    });
    let expected = [
        json!(["finalize_asked", session]),
        json!(["result_downloaded", session]),
        json!(["session_reopened", session]),
        json!(["session_rerun", session]),
        json!(["session_created", again]),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn what_is_asked_again_and_again_does_not_fill_the_log() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let server = audited(&tokens, &[]).await;
    let (session, _) = create(&server, &user).await;
    let mut client = Client::with_token(&server, &session, &user).await;
    for _ in 0..200 {
        // Refused, as there are no images.
        client.send(json!({"type": "finalize"})).await;
        client.expect_error(&[]).await;
    }
    let entries = entries(&tokens);
    let asked = entries
        .iter()
        .filter(|entry| entry["action"] == "finalize_asked");
    // One minute ends at most once meanwhile.
    let asked = asked.count();
    assert!((60..=120).contains(&asked), "{asked}");
}

#[tokio::test]
async fn refused_sessions_and_foreign_pages_are_there() {
    let tokens = Tokens::new();
    let user = tokens.add_with(&["user", "--max-sessions", "1"]).await;
    let operator = tokens.add("operator", "operate").await;
    let server = audited(&tokens, &[]).await;
    let (session, _) = create(&server, &user).await;
    let bearer = format!("Bearer {user}");
    let again = format!("/ws/session/{session}/rerun");
    for path in ["/ws/session/create", &*again, "/reconstruct"] {
        let url = format!("{}{path}", server.base());
        let headers = [("content-type", FORM), ("authorization", &*bearer)];
        let body = match path {
            "/reconstruct" => form(&[("images", None, &photo(0))]),
            _ => Vec::new(),
        };
        let headers = match path {
            "/reconstruct" => &headers[..],
            _ => &headers[1..],
        };
        let reply = rest::request_with("POST", &url, headers, body).await;
        assert_eq!(reply.status, 429, "{path}: {}", reply.text());
    }
    let line = format!("GET /ws/session/{session} HTTP/1.1");
    let foreign = [("Host", "evil.example"), ("Connection", "close")];
    assert_eq!(raw::ask(&server, &line, &foreign).await.status, 421);
    let page = [("Origin", "https://evil.example")];
    let url = format!("{}/ws/session/create", server.base());
    assert_eq!(rest::request("POST", &url, &page).await.status, 403);
    let entries = entries(&tokens);
    let refused = entries.iter().filter(|entry| entry["action"] == "refused");
    let found = refused.map(|entry| {
        assert_eq!(entry["from"], "127.0.0.1", "{entry}");
        json!([entry["reason"], entry["who"], entry["route"]])
    });
    let expected = [
        json!(["too_many_sessions", "token:user", "/ws/session/create"]),
        json!([
            "too_many_sessions",
            "token:user",
            "/ws/session/{session_id}/rerun"
        ]),
        json!(["too_many_sessions", "token:user", "/reconstruct"]),
        json!(["host_not_allowed", null, "/ws/session/{session_id}"]),
        json!(["origin_not_allowed", null, "/ws/session/create"]),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let text = with_token(&server, &operator, "GET", "/metrics")
        .await
        .text();
    let counted = "pointstream_refused_callers_total{reason=\"too_many_sessions\"} 3";
    assert!(text.contains(counted), "{text}");
}

#[tokio::test]
async fn foreign_hosts_cannot_fill_the_log() {
    let tokens = Tokens::new();
    tokens.add("user", "create,use").await;
    let server = audited(&tokens, &[]).await;
    let foreign = [("Host", "evil.example"), ("Connection", "close")];
    for _ in 0..200 {
        let heard = raw::ask(&server, "GET / HTTP/1.1", &foreign).await;
        assert_eq!(heard.status, 421);
    }
    let entries = entries(&tokens);
    assert!((60..=122).contains(&entries.len()), "{}", entries.len());
}

#[tokio::test]
async fn a_session_whose_files_stay_has_ended_and_is_there() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let server = audited(&tokens, &[]).await;
    let (session, _) = create(&server, &user).await;
    let path = format!("/ws/session/{session}");
    // Without their folder the files cannot be removed.
    let folders = server.data_dir().join("sessions");
    std::fs::rename(&folders, server.data_dir().join("elsewhere")).expect("writable");
    std::fs::write(&folders, b"no folder").expect("writable");
    assert_eq!(
        with_token(&server, &user, "DELETE", &path).await.status,
        500
    );
    let nobodys = "/ws/session/00000000-0000-4000-8000-000000000000";
    let unknown = with_token(&server, &user, "DELETE", nobodys).await;
    assert_eq!(unknown.status, 404);
    let entries = entries(&tokens);
    let found = entries.iter().skip(1);
    let found = found.map(|entry| json!([entry["action"], entry["session_id"]]));
    // Who asks for a session that is not there leaves a trace without its identifier.
    let expected = [
        json!(["session_deleted", session]),
        json!(["refused", null]),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert_eq!(entries[2]["reason"], "session_not_found");
}

#[tokio::test]
async fn who_leaves_without_a_token_had_none() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let server = audited(&tokens, &[]).await;
    let (session, _) = create(&server, &user).await;
    let address = server.socket(&session);
    let (client, _) = Client::with_headers(&address, &session, &[]).await;
    client.vanish();
    let refused = until("the refusal", async || {
        let entries = entries(&tokens);
        entries
            .into_iter()
            .find(|entry| entry["action"] == "refused")
    });
    assert_eq!(refused.await["reason"], "no_token");
}

#[tokio::test]
async fn requests_that_are_cancelled_are_there() {
    let server = Server::with_model("slow", &["--log-format", "json"]).await;
    let mut client = server.client("").await;
    client.upload("a.png", &photo(0)).await;
    client.upload("b.png", &photo(1)).await;
    client.generate(true).await;
    client.inference_started().await;
    let path = format!("/ws/session/{}/generation", client.session);
    assert_eq!(server.delete(&path).await.status, 200);
    assert_eq!(client.answer().await.message["code"], "cancelled");

    client
        .send(json!({"type": "generate", "incremental": true, "id": "a"}))
        .await;
    client.inference_started().await;
    // What is refused is not there.
    client.send(json!({"type": "cancel", "id": "b"})).await;
    assert_eq!(client.answer().await.message["code"], "nothing_to_cancel");
    client.send(json!({"type": "cancel", "id": "a"})).await;
    assert_eq!(client.answer().await.message["code"], "cancelled");

    let path = format!("/ws/session/{}", client.session);
    assert_eq!(server.delete(&path).await.status, 200);
    let log = server.logged("session_deleted").await;
    let entries = log
        .lines()
        .filter(|line| line.contains("generation_cancelled"));
    let entries: Vec<Value> = entries
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(entries.len(), 2, "over HTTP, and over the socket: {log}");
    for entry in entries {
        assert_eq!(
            (&entry["target"], &entry["who"]),
            (&json!("audit"), &json!("anyone"))
        );
        assert_eq!(entry["session_id"], client.session);
    }
}

#[tokio::test]
async fn the_audit_log_is_a_part_of_the_log_without_a_file() {
    let server = Server::start(&["--log-format", "json"]).await;
    let session = server.session("").await;
    let log = server.logged("session_created").await;
    let mut lines = log.lines().filter(|line| line.contains("session_created"));
    let entry: Value = serde_json::from_str(lines.next().expect("an entry")).expect("JSON");
    assert_eq!(entry["target"], "audit");
    assert_eq!(entry["who"], "anyone");
    assert_eq!(entry["session_id"], session);
}

#[tokio::test]
async fn refusals_cannot_fill_the_log() {
    let tokens = Tokens::new();
    let operator = tokens.add("operator", "operate").await;
    let server = audited(&tokens, &[]).await;
    for _ in 0..200 {
        assert_eq!(server.get("/stats").await.status, 401);
    }
    let text = with_token(&server, &operator, "GET", "/metrics")
        .await
        .text();
    let counted = "pointstream_refused_callers_total{reason=\"no_token\"} 200";
    assert!(text.contains(counted), "{text}");
    // One minute ends at most once meanwhile.
    let entries = entries(&tokens);
    assert!((60..=122).contains(&entries.len()), "{}", entries.len());
}

#[tokio::test]
async fn no_log_has_a_token() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use,operate").await;
    let server = tokens
        .server(&["--log-level", "trace,pointstream=trace"])
        .await;
    let (session, own) = create(&server, &user).await;
    let address = server.socket(&session);
    let wrong = "pst_wrong-but-secret";
    for token in [&*user, &*own, wrong] {
        with_token(
            &server,
            token,
            "GET",
            &format!("/ws/session/{session}/images"),
        )
        .await;
        with_token(
            &server,
            token,
            "GET",
            &format!("/ws/sessions?token={token}"),
        )
        .await;
        let bearer = format!("Bearer {token}");
        let offered = format!("pointstream, pointstream.bearer.{token}");
        for headers in [
            [("authorization", &*bearer)],
            [("sec-websocket-protocol", &*offered)],
        ] {
            let (mut client, _) = Client::with_headers(&address, &session, &headers).await;
            client.next().await;
        }
        for message in [json!({"type": "auth", "token": token}), json!(token)] {
            let (mut client, _) = Client::with_headers(&address, &session, &[]).await;
            client.send(message.clone()).await;
            client.next().await;
            let mut client = Client::with_token(&server, &session, &user).await;
            client.send(message).await;
            client.next().await;
        }
    }
    let mut client = Client::with_token(&server, &session, &user).await;
    client.upload("a.png", &photo(0)).await;
    let (stats, actors) = (
        with_token(&server, &user, "GET", "/stats").await.text(),
        with_token(&server, &user, "GET", "/actors").await.text(),
    );
    // The log is at its most talkative level.
    for text in [server.logged("TRACE").await, stats, actors] {
        assert!(text.len() > 100);
        for token in [&*user, &*own, wrong] {
            assert!(!text.contains(&token[4..]), "a token is in {text}");
        }
    }
}

#[tokio::test]
async fn an_audit_log_that_cannot_be_written_prevents_the_start() {
    let options = ["--audit-log", "/no/such/folder/audit.log"];
    let (code, said) = crate::support::server::refused_start(&options).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/no/such/folder"), "{said}");
}
