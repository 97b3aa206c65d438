//! Tokens to watch a session: they show it, and do nothing else.

use crate::support::client::Client;
use crate::support::pictures::photo;
use crate::support::server::Server;
use crate::support::tokens::{Tokens, create, with_token};

#[tokio::test]
async fn a_token_to_watch_shows_one_session_and_changes_nothing() {
    let tokens = Tokens::new();
    let owner = tokens.add("owner", "create,use").await;
    let server = tokens.server(&[]).await;
    let (session, own) = create(&server, &owner).await;
    let (other, _) = create(&server, &owner).await;
    let mut client = Client::with_token(&server, &session, &own).await;
    client.upload("a", &photo(0)).await;
    client.generate(false).await;
    client.result("complete").await;

    let path = format!("/ws/session/{session}");
    let made = with_token(&server, &own, "POST", &format!("{path}/watch-token")).await;
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(made.json()["session_id"], session);
    let watch = made.json()["watch_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    assert!(watch.starts_with("psw_"));
    let again = with_token(&server, &owner, "POST", &format!("{path}/watch-token")).await;
    assert_eq!(again.json()["watch_token"], watch);

    for seen in ["", "/result", "/images", "/images/0", "/images/0/thumbnail"] {
        let reply = with_token(&server, &watch, "GET", &format!("{path}{seen}")).await;
        assert_eq!(reply.status, 200, "{seen}: {}", reply.text());
        let others = format!("/ws/session/{other}{seen}");
        let reply = with_token(&server, &watch, "GET", &others).await;
        assert_eq!(reply.status, 404, "{seen}");
    }
    for (method, closed) in [
        ("DELETE", ""),
        ("DELETE", "/generation"),
        ("POST", "/reopen"),
        ("POST", "/rerun"),
        ("POST", "/watch-token"),
    ] {
        let reply = with_token(&server, &watch, method, &format!("{path}{closed}")).await;
        assert_eq!(reply.status, 403, "{method} {closed}: {}", reply.text());
    }
    let listed = with_token(&server, &watch, "GET", "/ws/sessions").await;
    assert_eq!(listed.status, 403);

    let address = server.socket(&session);
    let bearer = format!("Bearer {watch}");
    let headers = [("authorization", &*bearer)];
    let watching = format!("{address}?watch=true");
    let (mut watcher, _) = Client::with_headers(&watching, &session, &headers).await;
    assert_eq!(watcher.expect("connected").await["watch"], true);
    watcher.expect("changed").await;
    let (mut user, _) = Client::with_headers(&address, &session, &headers).await;
    let (messages, closed) = user.closed().await;
    assert_eq!(closed.code, Some(4403));
    assert_eq!(messages[0]["code"], "missing_scope");

    // It ends with the token that created the session.
    tokens.revoke("owner").await;
    let (_, closed) = watcher.closed().await;
    assert_eq!(closed.code, Some(4401));
    let reply = with_token(&server, &watch, "GET", &path).await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn a_server_that_asks_nobody_has_no_tokens_to_watch() {
    let server = Server::start(&[]).await;
    let session = server.session("process_res=56").await;
    let made = server
        .post(&format!("/ws/session/{session}/watch-token"))
        .await;
    assert_eq!(made.status, 200);
    assert!(made.json()["watch_token"].is_null());
}
