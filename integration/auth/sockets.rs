//! Tokens of sockets: in the handshake, or in the first message.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{Client, Closed};
use crate::support::pictures::photo;
use crate::support::server::Server;
use crate::support::tokens::{Tokens, create};

const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";

/// Opens a socket without a token.
async fn strange(server: &Server, session: &str) -> Client {
    let address = server.socket(session);
    Client::with_headers(&address, session, &[]).await.0
}

/// Expects that a socket is closed with this code, after nothing but an error with this text.
async fn refused(client: &mut Client, code: u16, words: &str) {
    let (
        before,
        Closed {
            code: found,
            reason,
        },
    ) = client.closed().await;
    assert_eq!(found, Some(code), "{reason}");
    assert_eq!(before.len(), 1, "{before:?}");
    assert_eq!(before[0]["type"], "error");
    let message = before[0]["message"].as_str().expect("text");
    assert!(message.contains(words), "{message}");
    let code = before[0]["code"].as_str().expect("a code");
    assert!(
        format!("{code}: {message}").starts_with(&*reason),
        "{reason}"
    );
}

#[tokio::test]
async fn a_token_comes_in_the_handshake_or_in_the_first_message() {
    let tokens = Tokens::new();
    let token = tokens.add("user", "create,use").await;
    let server = tokens.server(&[]).await;
    let (session, own) = create(&server, &token).await;
    let address = server.socket(&session);
    for token in [&token, &own] {
        let mut client = Client::with_token(&server, &session, token).await;
        client.expect_quiet().await;

        let offered = format!("pointstream, pointstream.bearer.{token}");
        let headers = [("sec-websocket-protocol", &*offered)];
        let (mut client, selected) = Client::with_headers(&address, &session, &headers).await;
        assert_eq!(selected.as_deref(), Some("pointstream"));
        client.expect("connected").await;
        client.expect_quiet().await;

        let mut client = strange(&server, &session).await;
        client.send(json!({"type": "auth", "token": token})).await;
        // It need not wait for an answer.
        client.send_image("a.png", &photo(0)).await;
        client.expect("connected").await;
        client.expect("ack").await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_said_about_the_session() {
    let tokens = Tokens::new();
    let token = tokens.add("user", "create,use").await;
    let maker = tokens.add("maker", "create").await;
    let server = tokens.server(&[]).await;
    let (session, _) = create(&server, &token).await;
    for session in [&*session, NOBODYS, "nonsense"] {
        let mut client = strange(&server, session).await;
        client
            .send(json!({"type": "auth", "token": "pst_wrong"}))
            .await;
        refused(&mut client, 4401, "unknown").await;

        let mut client = strange(&server, session).await;
        client.send(json!({"type": "ping"})).await;
        refused(&mut client, 4401, "first message").await;

        let mut client = strange(&server, session).await;
        client.send_raw(Message::binary(vec![0; 100])).await;
        refused(&mut client, 4401, "first message").await;

        let mut client = strange(&server, session).await;
        client.send(json!({"type": "auth", "token": maker})).await;
        refused(&mut client, 4403, "scope use").await;

        for (value, code, words) in [
            ("Bearer pst_wrong".to_owned(), 4401, "unknown"),
            ("Basic eDp5".to_owned(), 4401, "Bearer TOKEN"),
            (format!("Bearer {maker}"), 4403, "scope use"),
        ] {
            let address = format!("{}?since=wrong", server.socket(session));
            let headers = [("authorization", &*value)];
            let (mut client, _) = Client::with_headers(&address, session, &headers).await;
            refused(&mut client, code, words).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_disconnected() {
    let tokens = Tokens::new();
    let token = tokens.add("user", "create,use").await;
    let server = tokens.server(&[]).await;
    let (session, _) = create(&server, &token).await;
    let mut client = strange(&server, &session).await;
    refused(&mut client, 4401, "in time").await;
}

#[tokio::test]
async fn a_stranger_sends_no_large_messages() {
    let tokens = Tokens::new();
    let token = tokens.add("user", "create,use").await;
    let server = tokens.server(&[]).await;
    let (session, _) = create(&server, &token).await;
    let mut client = strange(&server, &session).await;
    let long = "x".repeat(60 << 10);
    client.send(json!({"type": "auth", "token": long})).await;
    refused(&mut client, 4401, "too much came before the token").await;
}

#[tokio::test]
async fn the_subprotocol_is_selected_without_authentication_too() {
    let server = Server::start(&[]).await;
    let session = server.session("").await;
    let address = server.socket(&session);
    let headers = [("sec-websocket-protocol", "pointstream")];
    let (mut client, selected) = Client::with_headers(&address, &session, &headers).await;
    assert_eq!(selected.as_deref(), Some("pointstream"));
    client.expect("connected").await;
    client.expect_quiet().await;
}
