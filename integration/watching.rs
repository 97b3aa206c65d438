//! Clients that watch a session: they see what it has and what changes, and change nothing.

use serde_json::json;

use crate::support::client::Client;
use crate::support::pictures::photo;
use crate::support::server::Server;
use crate::support::until;

async fn watch(server: &Server, session: &str) -> Client {
    Client::connect_with(server, session, "watch=true").await
}

#[tokio::test]
async fn who_watches_is_told_of_results_and_status() {
    let server = Server::start(&[]).await;
    let mut owner = server.client("process_res=56").await;
    let mut watcher = watch(&server, &owner.session.clone()).await;
    let now = watcher.expect("changed").await;
    assert_eq!(now["session_id"], owner.session);
    assert_eq!(now["image_count"], 0);
    assert_eq!(
        (&now["status"], &now["number"]),
        (&json!("active"), &json!(null))
    );

    owner.upload("a", &photo(0)).await;
    owner.upload("b", &photo(1)).await;
    owner.generate(true).await;
    let delta = owner.result("delta").await;
    let number = delta.message["number"].as_u64().expect("a number");
    let told = loop {
        let told = watcher.expect("changed").await;
        if !told["number"].is_null() && told["status"] == "active" {
            break told;
        }
    };
    assert_eq!(told["number"], number);
    assert_eq!(told["image_count"], 2);
    let path = format!("/ws/session/{}/result", owner.session);
    assert_eq!(
        server.get(&path).await.status,
        200,
        "it can be fetched at once"
    );

    owner.send(json!({"type": "finalize"})).await;
    owner.result("complete").await;
    let last = loop {
        let told = watcher.expect("changed").await;
        if told["status"] == "completed" {
            break told;
        }
    };
    assert!(last["number"].as_u64() > Some(number));
    // Whoever comes later knows it at once.
    let mut late = watch(&server, &owner.session).await;
    assert_eq!(late.expect("changed").await, last);
}

#[tokio::test]
async fn who_watches_changes_nothing() {
    let server = Server::start(&[]).await;
    let mut owner = server.client("process_res=56").await;
    owner.upload("a", &photo(0)).await;
    let mut watcher = watch(&server, &owner.session).await;
    watcher.expect("changed").await;
    for message in [
        json!({"type": "generate", "incremental": true, "id": "mine"}),
        json!({"type": "finalize", "id": "mine"}),
        json!({"type": "cancel", "id": "mine"}),
        json!({"type": "received", "number": 1, "id": "mine"}),
        json!({"type": "nonsense", "id": "mine"}),
    ] {
        watcher.send(message.clone()).await;
        let error = watcher.expect("error").await;
        assert_eq!(error["code"], "watches_only", "{message}");
        assert_eq!(error["id"], "mine", "{message}");
    }
    watcher.send_image("b", &photo(1)).await;
    assert_eq!(watcher.expect("error").await["code"], "watches_only");
    watcher.send(json!({"type": "map", "id": "m"})).await;
    assert_eq!(watcher.expect("poses").await["id"], "m");
    watcher.send(json!({"type": "ping"})).await;
    watcher.expect("pong").await;
    assert_eq!(owner.upload("c", &photo(2)).await["image_count"], 2);
    let status = server.get(&format!("/ws/session/{}", owner.session)).await;
    assert_eq!(status.json()["status"], "active");

    // It takes no memory of uploads.
    let large = "x".repeat(100_000);
    watcher
        .send(json!({"type": "ping", "padding": large}))
        .await;
    let (messages, closed) = watcher.closed().await;
    assert_eq!(closed.code, Some(1008), "{}", closed.reason);
    let last = messages.last().expect("an error");
    assert_eq!(last["code"], "watches_only");
}

#[tokio::test]
async fn watchers_take_no_places_of_others() {
    let server = Server::start(&["--max-connections", "1", "--max-watchers", "2"]).await;
    let mut owner = server.client("process_res=56").await;
    let mut first = watch(&server, &owner.session).await;
    let mut second = watch(&server, &owner.session).await;
    let socket = server.socket(&owner.session);
    for watcher in [&mut first, &mut second] {
        watcher.expect("changed").await;
    }
    // They answer when they are asked whether they are there.
    let are_there = async {
        loop {
            for client in [&mut owner, &mut first, &mut second] {
                client.expect_quiet().await;
            }
        }
    };
    let refused = async {
        for (address, words) in [
            (format!("{socket}?watch=true"), "2 clients watch"),
            (socket.clone(), "1 connections"),
        ] {
            let (messages, closed) = Client::refused(&address).await;
            assert_eq!(closed.code, Some(4429), "{closed:?}");
            assert_eq!(messages[0]["code"], "too_many_connections");
            let message = messages[0]["message"].as_str().expect("text");
            assert!(message.contains(words), "{message}");
        }
    };
    tokio::select! {
        () = refused => {}
        () = are_there => unreachable!("they stay"),
    }
}

#[tokio::test]
async fn watchers_do_not_keep_a_session() {
    let server = Server::start(&["--session-timeout", "3"]).await;
    let owner = server.client("process_res=56").await;
    let session = owner.session.clone();
    drop(owner);
    let address = format!("{}?watch=true", server.socket(&session));
    // They come, ask and go again and again.
    let ended = until("the end of the session", async || {
        let (mut watcher, _) = Client::with_headers(&address, &session, &[]).await;
        let greeting = watcher.next().await;
        if greeting["type"] == "error" {
            assert_eq!(greeting["code"], "session_not_found");
            return Some(());
        }
        watcher.send(json!({"type": "map"})).await;
        watcher.expect("changed").await;
        watcher.expect("poses").await;
        None
    });
    Box::pin(ended).await;
}

#[tokio::test]
async fn silent_watchers_are_ended_for_watchers_alone() {
    let server = Server::start(&["--max-watchers", "1"]).await;
    let owner = server.client("process_res=56").await;
    let _silent = watch(&server, &owner.session).await;
    // Neither reads, and so neither answers pings; only the one that watches makes room.
    let mut next = watch(&server, &owner.session).await;
    next.expect("changed").await;
    let state = server.info(&owner.session).await;
    assert_eq!(state["connections"], 2, "the owner is still there");
}

#[tokio::test]
async fn watching_does_not_go_with_parameters_of_use() {
    let server = Server::start(&[]).await;
    let owner = server.client("process_res=56").await;
    let socket = server.socket(&owner.session);
    for (query, words) in [
        (
            "watch=true&resume=true",
            "resume does not work with watch=true",
        ),
        (
            "watch=true&deltas=append",
            "deltas does not work with watch=true",
        ),
        ("watch=maybe", "watch must be"),
    ] {
        let (messages, closed) = Client::refused(&format!("{socket}?{query}")).await;
        assert_eq!(closed.code, Some(4422), "{query}");
        let message = messages[0]["message"].as_str().expect("text");
        assert!(message.contains(words), "{query}: {message}");
    }
}
