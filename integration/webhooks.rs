//! Webhooks: what receivers are told, how often, and who may be told.

use std::fs;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::archives::archive;
use crate::support::client::Client;
use crate::support::paths::repository;
use crate::support::pictures::{black, photo};
use crate::support::python;
use crate::support::receiver::{Message, Receiver};
use crate::support::rest::{Reply, request_with};
use crate::support::server::{Server, new_data_dir};
use crate::support::tls::Certificate;
use crate::support::tokens::{Tokens, with_token};
use crate::support::{until, within};

/// Lets receivers be on this machine.
const HERE: [&str; 3] = [
    "--webhook-allow-http",
    "--webhook-allow-private",
    "127.0.0.0/8",
];
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn create(server: &Server, body: &Value) -> Reply {
    let url = format!("{}/ws/session/create?process_res=56", server.base());
    let headers = [("Content-Type", "application/json")];
    request_with("POST", &url, &headers, body.to_string().into_bytes()).await
}

/// Creates a session with a webhook; returns its identifier and its secret.
async fn session(server: &Server, body: &Value) -> (String, String) {
    let reply = create(server, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let created = reply.json();
    let session = created["session_id"].as_str().expect("text").to_owned();
    let secret = created["webhook"]["secret"].as_str().unwrap_or(SECRET);
    (session, secret.to_owned())
}

/// Uploads images to a session and lets it make a point cloud.
async fn generate(server: &Server, session: &str) {
    let mut client = Client::connect(server, session).await;
    for index in 0..2 {
        client.upload("x.png", &photo(index)).await;
    }
    client
        .send(json!({"type": "generate", "incremental": true, "id": "mine"}))
        .await;
    client.result("delta").await;
}

async fn delete(server: &Server, session: &str) {
    let reply = server.delete(&format!("/ws/session/{session}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// The messages, as operators see them.
async fn deliveries(server: &Server, query: &str) -> Vec<Value> {
    let reply = server.get(&format!("/webhooks/deliveries?{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["deliveries"]
        .as_array()
        .expect("a list")
        .clone()
}

/// Waits until the newest message is in this state.
async fn settled(server: &Server, state: &str) -> Value {
    until(&format!("a message that is {state}"), async || {
        let found = deliveries(server, "").await;
        let newest = found.first()?.clone();
        (newest["state"] == state).then_some(newest)
    })
    .await
}

fn kinds(messages: &[Message]) -> Vec<String> {
    messages.iter().map(Message::kind).collect()
}

/// A server with a test model that can be started again in its data directory.
async fn start_in(data: tempfile::TempDir, options: &[&str]) -> Server {
    let path = archive("flat");
    let model = path.to_str().expect("the folder has a plain name");
    Server::start_in(data, &[&["--model", model], options].concat()).await
}

#[tokio::test]
async fn a_receiver_is_told_of_results_and_of_the_end() {
    let server = Server::start(&HERE).await;
    let receiver = Receiver::start().await;
    let (session, secret) = session(&server, &receiver.wanted(json!({}))).await;
    assert!(secret.starts_with("whsec_"));
    generate(&server, &session).await;
    receiver.received(1).await;
    delete(&server, &session).await;
    let messages = receiver.received(2).await;
    assert_eq!(kinds(&messages), ["result.made", "session.ended"]);
    for message in &messages {
        assert_eq!(message.path, "/hook?key=hidden");
        assert!(message.is_signed_with(&secret));
        assert!(!message.is_signed_with(SECRET));
        assert_eq!(message.header("content-type"), "application/json");
        assert!(message.header("user-agent").starts_with("pointstream/"));
    }
    assert_ne!(messages[0].id(), messages[1].id());
    let made = messages[0].json();
    assert_eq!(
        made["data"],
        json!({
            "session_id": session, "number": 1, "kind": "delta", "id": "mine",
            "result_url": format!("/ws/session/{session}/result"),
        })
    );
    let ended = messages[1].json();
    assert_eq!(
        ended["data"],
        json!({"session_id": session, "reason": "deleted"})
    );
    assert!(
        ended["timestamp"].as_str().expect("text") >= made["timestamp"].as_str().expect("text")
    );
    settled(&server, "delivered").await;
    for hidden in [secret.as_str(), "hidden"] {
        assert!(!server.log().contains(hidden), "{hidden} is in the log");
    }
    let mode = fs::metadata(server.data_dir().join("webhooks.sqlite")).expect("there");
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_receiver_gets_the_events_it_asked_for_signed_with_its_secret() {
    let server = Server::start(&HERE).await;
    let receiver = Receiver::start().await;
    let wanted = receiver.wanted(json!({"events": ["session.ended"], "secret": SECRET}));
    let reply = create(&server, &wanted).await;
    let created = reply.json();
    assert_eq!(created["webhook"], json!({"events": ["session.ended"]}));
    let session = created["session_id"].as_str().expect("text").to_owned();
    generate(&server, &session).await;
    delete(&server, &session).await;
    let messages = receiver.received(1).await;
    assert_eq!(kinds(&messages), ["session.ended"]);
    assert!(messages[0].is_signed_with(SECRET));
}

#[tokio::test]
async fn a_rerun_has_a_webhook_of_its_own_and_failures_are_told() {
    let server = Server::with_model("raises_on_black", &HERE).await;
    let receiver = Receiver::start().await;
    let session = server.session("").await;
    let mut client = Client::connect(&server, &session).await;
    client.upload("black.png", &black()).await;
    let url = format!("{}/ws/session/{session}/rerun", server.base());
    let body = receiver.wanted(json!({})).to_string().into_bytes();
    let reply = request_with("POST", &url, &[], body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let rerun = reply.json()["session_id"]
        .as_str()
        .expect("text")
        .to_owned();
    let mut client = Client::connect(&server, &rerun).await;
    client.generate(true).await;
    assert_eq!(client.answer().await.message["type"], "error");
    let told = receiver.received(1).await.remove(0).json();
    assert_eq!(told["type"], "request.failed");
    assert_eq!(told["data"]["session_id"], rerun.as_str());
    assert_eq!(told["data"]["code"], "model_failed");
    delete(&server, &session).await;
    delete(&server, &rerun).await;
    assert_eq!(kinds(&receiver.received(2).await)[1], "session.ended");
}

#[tokio::test]
async fn a_message_is_tried_again_with_the_same_identifier() {
    let server = Server::start(&HERE).await;
    let receiver = Receiver::start().await;
    receiver.answer("500 Sorry");
    let (session, secret) = session(&server, &receiver.wanted(json!({}))).await;
    delete(&server, &session).await;
    receiver.received(1).await;
    let waiting = until("the outcome of the first attempt", async || {
        let found = deliveries(&server, "").await.remove(0);
        (found["attempts"] == 1).then_some(found)
    })
    .await;
    assert_eq!(waiting["state"], "waiting");
    assert_eq!(waiting["last_status"], 500);
    let next = waiting["next_attempt_at"].as_f64().expect("a time");
    assert!(next > waiting["last_attempt_at"].as_f64().expect("a time"));
    let messages = receiver.received(2).await;
    assert_eq!(messages[0].id(), messages[1].id());
    assert_eq!(messages[0].body, messages[1].body);
    assert!(messages[1].is_signed_with(&secret));
    let delivered = settled(&server, "delivered").await;
    assert_eq!(delivered["attempts"], 2);
    assert_eq!(delivered["last_status"], 204);
    assert_eq!(delivered["next_attempt_at"], Value::Null);
    let metrics = server.get("/metrics").await.text();
    for line in [
        r#"pointstream_webhook_attempts_total{outcome="delivered"} 1"#,
        r#"pointstream_webhook_attempts_total{outcome="refused"} 1"#,
        "pointstream_waiting_webhooks 0",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

#[tokio::test]
async fn a_receiver_that_was_down_gets_its_message_when_it_is_up() {
    let server = Server::start(&HERE).await;
    let receiver = Receiver::start().await;
    let (address, wanted) = (receiver.address, receiver.wanted(json!({})));
    let (session, secret) = session(&server, &wanted).await;
    drop(receiver);
    delete(&server, &session).await;
    until("a failed attempt", async || {
        let found = deliveries(&server, "").await.remove(0);
        (found["attempts"] == 1).then_some(())
    })
    .await;
    let receiver = Receiver::at(address).await;
    let message = receiver.received(1).await.remove(0);
    assert!(message.is_signed_with(&secret));
}

#[tokio::test]
async fn a_receiver_says_when_to_try_again() {
    let server = Server::start(&HERE).await;
    let receiver = Receiver::start().await;
    receiver.answer("503 Busy\r\nRetry-After: 3600");
    let (session, _) = session(&server, &receiver.wanted(json!({}))).await;
    delete(&server, &session).await;
    let found = until("the first attempt", async || {
        let found = deliveries(&server, "").await.remove(0);
        (found["attempts"] == 1).then_some(found)
    })
    .await;
    let time = |name: &str| found[name].as_f64().expect("a time");
    let wait = time("next_attempt_at") - time("last_attempt_at");
    assert!((3599.0..3700.0).contains(&wait), "{wait}");
}

#[tokio::test]
async fn nothing_is_lost_or_told_under_two_names_when_the_server_is_killed() {
    let server = start_in(new_data_dir(), &HERE).await;
    let receiver = Receiver::start().await;
    let (address, wanted) = (receiver.address, receiver.wanted(json!({})));
    let (session, secret) = session(&server, &wanted).await;
    generate(&server, &session).await;
    let first = receiver.received(1).await.remove(0);
    settled(&server, "delivered").await;
    drop(receiver);
    generate(&server, &session).await;
    // The result is durable; whether the outbox has its message is left to chance.
    let server = start_in(server.kill(), &HERE).await;
    let receiver = Receiver::at(address).await;
    let second = receiver.received(1).await.remove(0);
    assert_eq!(second.json()["data"]["number"], 2);
    assert!(second.is_signed_with(&secret));
    settled(&server, "delivered").await;
    let found = deliveries(&server, "").await;
    let ids: Vec<_> = found.iter().map(|one| one["message_id"].clone()).collect();
    assert_eq!(json!(ids), json!([second.id(), first.id()]));
    // What is delivered is not told again.
    let server = start_in(server.kill(), &HERE).await;
    delete(&server, &session).await;
    let messages = receiver.received(2).await;
    assert_eq!(kinds(&messages), ["result.made", "session.ended"]);
}

#[tokio::test]
async fn an_outbox_that_lost_its_messages_gets_them_from_the_journals() {
    let server = start_in(new_data_dir(), &HERE).await;
    let receiver = Receiver::start().await;
    let (session, _) = session(&server, &receiver.wanted(json!({}))).await;
    let data = server.kill();
    // The state of an outbox that was written before the result was made.
    let outbox = || {
        let entries = fs::read_dir(data.path()).expect("there").flatten();
        let is_outbox = |name: &str| name.starts_with("webhooks.sqlite");
        entries
            .map(|entry| entry.path())
            .filter(|path| is_outbox(&path.file_name().expect("a name").to_string_lossy()))
            .collect::<Vec<_>>()
    };
    let before: Vec<_> = outbox()
        .into_iter()
        .map(|path| (fs::read(&path).expect("there"), path))
        .collect();
    let server = start_in(data, &HERE).await;
    generate(&server, &session).await;
    let first = receiver.received(1).await.remove(0);
    let data = server.kill();
    for entry in fs::read_dir(data.path()).expect("there").flatten() {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("webhooks.sqlite")
        {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    for (bytes, path) in before {
        fs::write(path, bytes).expect("written");
    }
    let _server = start_in(data, &HERE).await;
    let again = receiver.received(2).await.remove(1);
    assert_eq!(again.id(), first.id());
    assert_eq!(again.json()["data"], first.json()["data"]);
}

#[tokio::test]
async fn private_addresses_are_refused_when_they_are_named_and_when_they_are_found() {
    let server = Server::start(&["--webhook-allow-http"]).await;
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    for host in [
        "127.0.0.1",
        "[::1]",
        "10.0.0.1",
        "169.254.169.254",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ] {
        let url = format!("http://{host}:{port}/");
        let reply = create(&server, &json!({"webhook": {"url": url}})).await;
        assert_eq!(reply.status, 422, "{host}: {}", reply.text());
        assert_eq!(reply.json()["code"], "invalid_parameter");
        assert!(
            reply.detail().contains("public internet"),
            "{}",
            reply.detail()
        );
    }
    // Names are looked up when a message is sent. These mean this machine.
    for host in ["localhost", "127.1", "2130706433"] {
        let url = format!("http://{host}:{port}/");
        let (session, _) = session(&server, &json!({"webhook": {"url": url}})).await;
        delete(&server, &session).await;
        let found = until("an attempt", async || {
            let found = deliveries(&server, &format!("session={session}")).await;
            let found = found.into_iter().next()?;
            (found["attempts"] == 1).then_some(found)
        })
        .await;
        let error = found["last_error"].as_str().expect("text");
        assert!(
            error.contains("public internet") || error.contains("looked up"),
            "{host}: {error}"
        );
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn webhooks_that_cannot_be_used_are_refused() {
    let server = Server::start(&["--webhook-hosts", "*.example.org"]).await;
    let url = "https://a.example.org/";
    for (webhook, words) in [
        (json!({"url": "http://a.example.org/"}), &["https://"][..]),
        (json!({"url": "https://example.com/"}), &["--webhook-hosts"]),
        (json!({"url": "https://u:p@a.example.org/"}), &["user name"]),
        (json!({"url": "a.example.org"}), &["https://example.org"]),
        (
            json!({"url": url, "secret": "whsec_c2hvcnQ="}),
            &["24 to 64 bytes"],
        ),
        (
            json!({"url": url, "events": ["result"]}),
            &["result.made", "session.failed"],
        ),
        (json!({"url": url, "events": []}), &["no events"]),
        (json!({"url": url, "method": "PUT"}), &["method"]),
        (json!({"events": []}), &["url"]),
        (json!("https://a.example.org/"), &["webhook"]),
    ] {
        let reply = create(&server, &json!({"webhook": webhook})).await;
        assert_eq!(reply.status, 422, "{webhook}: {}", reply.text());
        assert_eq!(reply.json()["code"], "invalid_parameter");
        for word in words {
            assert!(
                reply.detail().contains(word),
                "{webhook}: {}",
                reply.detail()
            );
        }
    }
    let reply = create(&server, &json!({"webhook": {"url": url}, "max_images": 3})).await;
    assert_eq!(reply.json()["code"], "unexpected_body");
    let reply = create(&server, &json!({"webhook": {"url": url}})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = create(&server, &json!({"webhook": null})).await;
    assert_eq!(reply.json().get("webhook"), None);
}

#[tokio::test]
async fn a_receiver_that_is_gone_and_one_that_moves_get_nothing_more() {
    let server = Server::start(&HERE).await;
    let [gone, elsewhere] = [Receiver::start().await, Receiver::start().await];
    gone.answer("410 Gone");
    let (session, _) = session(&server, &gone.wanted(json!({}))).await;
    generate(&server, &session).await;
    gone.received(1).await;
    let failed = settled(&server, "failed").await;
    assert_eq!(
        (&failed["last_status"], &failed["attempts"]),
        (&json!(410), &json!(1))
    );
    delete(&server, &session).await;
    assert_eq!(
        deliveries(&server, "").await.len(),
        1,
        "the end is not told"
    );

    let moved = Receiver::start().await;
    moved.answer(&format!("307 Moved\r\nLocation: {}", elsewhere.url()));
    let (session, _) = self::session(&server, &moved.wanted(json!({}))).await;
    delete(&server, &session).await;
    let found = until("an attempt", async || {
        let found = deliveries(&server, &format!("session={session}")).await;
        let found = found.into_iter().next()?;
        (found["attempts"] == 1).then_some(found)
    })
    .await;
    assert_eq!(found["state"], "waiting");
    assert!(
        found["last_error"]
            .as_str()
            .expect("text")
            .contains("redirects")
    );
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_silent_receiver_does_not_hold_up_others() {
    let server = Server::start(&HERE).await;
    let [silent, other] = [Receiver::start().await, Receiver::start().await];
    silent.fall_silent();
    for _ in 0..6 {
        let (session, _) = session(&server, &silent.wanted(json!({}))).await;
        delete(&server, &session).await;
    }
    let (session, _) = session(&server, &other.wanted(json!({}))).await;
    delete(&server, &session).await;
    other.received(1).await;
    settled(&server, "delivered").await;
    let waiting = deliveries(&server, "state=waiting").await;
    assert_eq!(waiting.len(), 6, "none of the silent one has ended");
    assert!(silent.messages().len() <= 2, "two at the same time");
}

#[tokio::test]
async fn links_have_the_path_of_the_reverse_proxy() {
    let server = Server::start(&[&HERE[..], &["--path-prefix", "/a"]].concat()).await;
    let receiver = Receiver::start().await;
    let (session, _) = session(&server, &receiver.wanted(json!({}))).await;
    generate(&server, &session).await;
    let told = receiver.received(1).await[0].json();
    let result = format!("/a/ws/session/{session}/result");
    assert_eq!(told["data"]["result_url"], result);
}

#[tokio::test]
async fn the_operator_is_told_of_all_sessions_and_replaces_its_secret() {
    let folder = new_data_dir();
    let file = folder.path().join("secrets");
    let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    fs::write(&file, format!("{SECRET}\n{other}\n")).expect("written");
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let file = file.to_str().expect("a plain name");
    let options = ["--webhook-url", &url, "--webhook-secret-file", file];
    let options = [
        &options[..],
        &["--public-url", "https://scan.example.org/p", "--insecure"],
    ]
    .concat();
    // Sessions of before are told of from now on.
    let server = start_in(new_data_dir(), &[]).await;
    let old = server.session("").await;
    generate(&server, &old).await;
    let server = start_in(server.kill(), &options).await;
    generate(&server, &old).await;
    let messages = receiver.received(1).await;
    let told = messages[0].json();
    assert_eq!(told["data"]["number"], 2, "what was before is not told");
    let result = format!("https://scan.example.org/p/ws/session/{old}/result");
    assert_eq!(told["data"]["result_url"], result);
    for secret in [SECRET, other] {
        assert!(messages[0].is_signed_with(secret));
    }
    let new = server.session("").await;
    delete(&server, &new).await;
    assert_eq!(
        receiver.received(2).await[1].json()["data"]["session_id"],
        new
    );
    let found = settled(&server, "delivered").await;
    assert_eq!(found["receiver"], "operator");
    assert_eq!(found["host"], format!("http://{}", receiver.address));
    assert!(!server.log().contains("hidden"));
}

#[tokio::test]
async fn operators_list_messages_and_send_them_again() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let operator = tokens.add("operator", "operate").await;
    let log = tokens.folder().join("audit.log");
    let audit = ["--audit-log", log.to_str().expect("a plain name")];
    let server = tokens.server(&[&HERE[..], &audit].concat()).await;
    let receiver = Receiver::start().await;
    let body = receiver.wanted(json!({})).to_string().into_bytes();
    let url = format!("{}/ws/session/create", server.base());
    let bearer = format!("Bearer {user}");
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let reply = request_with("POST", &url, &[("authorization", &bearer)], body.clone()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let session = reply.json()["session_id"]
            .as_str()
            .expect("text")
            .to_owned();
        let path = format!("/ws/session/{session}");
        with_token(&server, &user, "DELETE", &path).await;
        sessions.push(session);
    }
    let messages = receiver.received(3).await;
    let get = async |query: &str| {
        let path = format!("/webhooks/deliveries?{query}");
        with_token(&server, &operator, "GET", &path).await
    };
    until("all are delivered", async || {
        let found = get("state=delivered").await.json();
        (found["deliveries"].as_array()?.len() == 3).then_some(())
    })
    .await;
    let first = get("limit=2").await.json();
    assert_eq!(first["deliveries"][0]["session_id"], sessions[2]);
    let rest = get(&format!("limit=2&before={}", first["next"]))
        .await
        .json();
    assert_eq!(rest["deliveries"].as_array().expect("a list").len(), 1);
    assert_eq!(rest["deliveries"][0]["session_id"], sessions[0]);
    assert_eq!(rest["next"], Value::Null);
    for wrong in ["limit=0", "limit=1001", "state=lost", "session=x", "page=2"] {
        assert_eq!(get(wrong).await.status, 422, "{wrong}");
    }
    let refused = with_token(&server, &user, "GET", "/webhooks/deliveries").await;
    assert_eq!(refused.status, 403);

    let number = &rest["deliveries"][0]["number"];
    let again = format!("/webhooks/deliveries/{number}/redeliver");
    assert_eq!(
        with_token(&server, &operator, "POST", &again).await.status,
        200
    );
    let message = receiver.received(4).await.remove(3);
    assert!(messages.iter().any(|one| one.id() == message.id()));
    let missing = "/webhooks/deliveries/99/redeliver";
    assert_eq!(
        with_token(&server, &operator, "POST", missing).await.status,
        404
    );
    let log = fs::read_to_string(log).expect("there");
    assert_eq!(
        log.matches(r#""action":"webhook_added""#).count(),
        3,
        "{log}"
    );
    let entry = log
        .lines()
        .find(|line| line.contains("webhook_redelivered"));
    assert!(
        entry
            .expect("it is there")
            .contains(&format!(r#""delivery":{number}"#))
    );
}

#[tokio::test]
async fn a_lost_session_is_told() {
    let server = start_in(new_data_dir(), &HERE).await;
    let receiver = Receiver::start().await;
    let (session, _) = session(&server, &receiver.wanted(json!({}))).await;
    let mut client = Client::connect(&server, &session).await;
    client.upload("x.png", &photo(0)).await;
    let data = server.kill();
    fs::remove_file(data.path().join("sessions").join(&session).join("1.rgb")).expect("there");
    let _server = start_in(data, &HERE).await;
    let told = receiver.received(1).await.remove(0).json();
    assert_eq!(told["type"], "session.failed");
    assert_eq!(told["data"]["session_id"], session);
}

#[tokio::test]
async fn a_damaged_outbox_is_set_aside_and_sessions_go_on() {
    let server = start_in(new_data_dir(), &HERE).await;
    let session = server.session("").await;
    let data = server.kill();
    let _ = fs::remove_file(data.path().join("webhooks.sqlite-wal"));
    fs::write(
        data.path().join("webhooks.sqlite"),
        "no database, but long enough",
    )
    .expect("written");
    let server = start_in(data, &HERE).await;
    assert_eq!(server.info(&session).await["image_count"], 0);
    server.logged("set aside").await;
    assert!(server.data_dir().join("webhooks.damaged").exists());
}

#[tokio::test]
async fn an_encrypted_message_goes_to_a_receiver_that_the_system_trusts() {
    let certificate = Certificate::new();
    let receiver = Receiver::with(&certificate).await;
    let model = archive("flat");
    let model = ["--model", model.to_str().expect("a plain name")];
    let options = [&HERE[..], &model].concat();

    let trusted = format!("SSL_CERT_FILE={}", certificate.cert().display());
    let wrapper = ["env", trusted.as_str()];
    let server = Server::start_through(&wrapper, new_data_dir(), &options).await;
    let (id, secret) = session(&server, &receiver.wanted(json!({}))).await;
    generate(&server, &id).await;
    let messages = receiver.received(1).await;
    assert_eq!(messages[0].kind(), "result.made");
    assert!(messages[0].is_signed_with(&secret));
    settled(&server, "delivered").await;
    drop(server);

    // Another certificate authority is trusted here.
    let server = Server::start_in(new_data_dir(), &options).await;
    let (id, _) = session(&server, &receiver.wanted(json!({}))).await;
    generate(&server, &id).await;
    let waiting = until("a failed attempt", async || {
        let newest = deliveries(&server, "").await.first()?.clone();
        (newest["attempts"] != 0).then_some(newest)
    })
    .await;
    assert_eq!(receiver.messages().len(), 1, "{waiting}");
    let said = waiting.to_string();
    assert!(said.contains("the TLS handshake fails"), "{said}");
}

#[tokio::test]
async fn the_example_verifies_messages() {
    let mut example = Command::new(python::interpreter())
        .arg(repository().join("examples/webhook_receiver.py"))
        .args(["--port", "0"])
        .env("WEBHOOK_SECRET", SECRET)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python starts");
    let mut lines = BufReader::new(example.stdout.take().expect("a pipe")).lines();
    let mut line = async || {
        let line = within("a line of the example", lines.next_line()).await;
        line.expect("readable").expect("it goes on")
    };
    let address = line().await;
    let url = address
        .strip_prefix("listening on ")
        .expect("its address")
        .to_owned();
    let server = Server::start(&HERE).await;
    let webhook = json!({"webhook": {"url": url, "secret": SECRET}});
    let (session, _) = session(&server, &webhook).await;
    generate(&server, &session).await;
    let said = line().await;
    assert!(
        said.starts_with("result.made") && said.contains(&session),
        "{said}"
    );
    delete(&server, &session).await;
    let said = line().await;
    assert!(
        said.starts_with("session.ended") && said.contains("deleted"),
        "{said}"
    );
    // It refuses what is old, or not signed.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later");
    for timestamp in ["1", &now.as_secs().to_string()] {
        let headers = [
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", "v1,x"),
        ];
        let forged = request_with("POST", &url, &headers, b"{}".to_vec()).await;
        assert_eq!(forged.status, 400);
    }
}
