//! Tokens that are added, revoked or expire while the server runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::tokens::{Tokens, create, with_token};
use crate::support::until;

/// Waits until a token has this status at the list of sessions.
async fn status(server: &Server, token: &str, wanted: u16) {
    until("the change of the tokens", async || {
        let reply = with_token(server, token, "GET", "/ws/sessions").await;
        (reply.status == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_revoked_token_ends_sockets_and_the_tokens_of_sessions() {
    let tokens = Tokens::new();
    let token = tokens.add("user", "create,use").await;
    let other = tokens.add("other", "create,use").await;
    let server = tokens.server(&[]).await;
    let (session, own) = create(&server, &token).await;
    let (others, _) = create(&server, &other).await;
    let mut clients = [
        Client::with_token(&server, &session, &token).await,
        Client::with_token(&server, &session, &own).await,
    ];
    let mut stays = Client::with_token(&server, &others, &other).await;

    tokens.revoke("user").await;
    for client in &mut clients {
        let (before, closed) = client.closed().await;
        assert_eq!(closed.code, Some(4401));
        let message = before[0]["message"].as_str().expect("text");
        assert!(message.contains("revoked"), "{message}");
    }
    for token in [&token, &own] {
        status(&server, token, 401).await;
    }
    stays.expect_quiet().await;

    // The name gets another token: its sessions are still there, but old tokens stay dead.
    let again = tokens.add("user", "create,use").await;
    status(&server, &again, 200).await;
    let path = format!("/ws/session/{session}");
    assert_eq!(with_token(&server, &again, "GET", &path).await.status, 200);
    for token in [&token, &own] {
        assert_eq!(with_token(&server, token, "GET", &path).await.status, 401);
    }
}

#[tokio::test]
async fn an_expired_token_ends_sockets_too() {
    let tokens = Tokens::new();
    let far = "2999-01-01T00:00:00Z";
    let token = tokens.add_with(&["user", "--expires", far]).await;
    let server = tokens.server(&[]).await;
    let (session, own) = create(&server, &token).await;
    let mut clients = [
        Client::with_token(&server, &session, &token).await,
        Client::with_token(&server, &session, &own).await,
    ];
    // The server reads the new time before it comes.
    let soon = OffsetDateTime::now_utc() + std::time::Duration::from_secs(5);
    let soon = soon.format(&Rfc3339).expect("a time");
    let text = fs::read_to_string(tokens.file()).expect("the file");
    fs::write(tokens.file(), text.replace(far, &soon)).expect("writable");
    for client in &mut clients {
        let (before, closed) = client.closed().await;
        assert_eq!(closed.code, Some(4401));
        let message = before[0]["message"].as_str().expect("text");
        assert!(message.contains("expired"), "{message}");
    }
    let reply = with_token(&server, &token, "GET", "/ws/sessions").await;
    assert_eq!(reply.status, 401);
    assert!(reply.detail().contains("expired"), "{}", reply.detail());
    let listed = tokens.run(&["list"]).await.done();
    assert!(listed.contains("user  create,use"), "{listed}");
    assert!(listed.contains("expired"), "{listed}");
}

#[tokio::test]
async fn a_socket_ends_when_its_token_loses_the_scope() {
    // To watch is not enough for a client that uses the session.
    for (left, list) in [("operate", 200), ("watch", 403)] {
        let tokens = Tokens::new();
        let token = tokens.add("user", "create,use").await;
        let server = tokens.server(&[]).await;
        let (session, _) = create(&server, &token).await;
        let mut client = Client::with_token(&server, &session, &token).await;
        let text = fs::read_to_string(tokens.file()).expect("the file");
        let text = text.replace("\"use\"", &format!("\"{left}\""));
        fs::write(tokens.file(), text).expect("writable");
        let (_, closed) = client.closed().await;
        assert_eq!(closed.code, Some(4403), "{left}");
        status(&server, &token, list).await;
    }
}

#[tokio::test]
async fn new_tokens_are_read_and_a_broken_file_keeps_the_old_ones() {
    let tokens = Tokens::new();
    let first = tokens.add("first", "create,use").await;
    let server = tokens.server(&[]).await;
    let second = tokens.add("second", "create,use").await;
    status(&server, &second, 200).await;

    let good = fs::read_to_string(tokens.file()).expect("the file");
    let (session, _) = create(&server, &first).await;
    let mut client = Client::with_token(&server, &session, &first).await;
    for (broken, words) in [
        (good[..good.len() / 2].to_owned(), "not a file of tokens"),
        (good.replace("\"first\"", "\"second\""), "occurs twice"),
        (good.replace("\"scopes\"", "\"rights\""), "rights"),
    ] {
        fs::write(tokens.file(), broken).expect("writable");
        server.logged(words).await;
        server.logged("last valid content stay").await;
        for token in [&first, &second] {
            status(&server, token, 200).await;
        }
    }
    fs::remove_file(tokens.file()).expect("there");
    server.logged("No such file").await;
    status(&server, &first, 200).await;
    client.expect_quiet().await;

    fs::write(tokens.file(), &good).expect("writable");
    fs::set_permissions(tokens.file(), PermissionsExt::from_mode(0o666)).expect("ours");
    server.logged("chmod o-w").await;
    fs::set_permissions(tokens.file(), PermissionsExt::from_mode(0o600)).expect("ours");
    tokens.revoke("second").await;
    status(&server, &second, 401).await;
    status(&server, &first, 200).await;
    client.expect_quiet().await;
}
