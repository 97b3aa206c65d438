//! A result counts as delivered when its client has it, not when it was written.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::client::{Client, Socket, open, open_limited};
use crate::support::pictures::sized;
use crate::support::relay::Relay;
use crate::support::server::Server;
use crate::support::{until, within};

const FRAMES: u32 = 4;
/// What a careful client takes in a message, and less than the results here.
const LIMIT: usize = 1 << 20;
/// Bytes of a result that are still on their way when the connection is lost.
const LOST: u64 = 20 << 10;

/// A session whose results have megabytes.
async fn session(server: &Server) -> String {
    let reply = server.post("/ws/session/create?process_res=504").await;
    let session = reply.json()["session_id"].as_str().map(str::to_owned);
    let session = session.expect("an identifier");
    let mut client = Client::connect(server, &session).await;
    for _ in 0..FRAMES {
        client.upload("x.png", &sized(504, 378)).await;
    }
    client.vanish();
    no_connections(server, &session).await;
    session
}

async fn no_connections(server: &Server, session: &str) {
    until("the end of the connection", async || {
        (server.info(session).await["connections"] == 0).then_some(())
    })
    .await;
}

fn plain(socket: &mut Socket) -> &mut TcpStream {
    match socket.get_mut() {
        MaybeTlsStream::Plain(stream) => stream,
        other => panic!("not a plain connection: {other:?}"),
    }
}

/// Asks for a result and refuses it, as libraries do with a message that is too large for them.
async fn refuse_result(server: &Server, session: &str, query: &str) {
    let address = format!("{}?{query}", server.socket(session));
    let mut socket = open_limited(&address, LIMIT).await.expect("it opens");
    let generate = json!({"type": "generate", "incremental": true, "id": "large"});
    socket
        .send(Message::text(generate.to_string()))
        .await
        .expect("it is open");
    refuse(&mut socket).await;
    drop(socket);
    no_connections(server, session).await;
}

/// Reads up to a message that is too large, and closes the connection because of it. As libraries do,
/// it then reads what is still on its way: the reset that ends a connection with unread bytes can
/// overtake the reason.
async fn refuse(socket: &mut Socket) {
    loop {
        match within("a message", socket.next())
            .await
            .expect("it is open")
        {
            Ok(_) => {}
            Err(Error::Capacity(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let frame = CloseFrame {
        code: CloseCode::Size,
        reason: "message too big".into(),
    };
    let closing = socket.send(Message::Close(Some(frame)));
    within("closing", closing).await.expect("it is open");
    let mut rest = tokio::io::sink();
    within("the end", tokio::io::copy(socket.get_mut(), &mut rest))
        .await
        .expect("no reset");
}

#[tokio::test]
async fn a_client_that_cannot_take_a_result_is_told_where_to_fetch_it() {
    let server = Server::start(&["--path-prefix", "/a"]).await;
    let session = session(&server).await;
    for query in ["", "binary=true", "deltas=append"] {
        refuse_result(&server, &session, query).await;
        // The same client comes back: its answer is small now.
        let address = format!("{}?resume=true", server.socket(&session));
        let mut socket = open_limited(&address, LIMIT).await.expect("it opens");
        let ping = Message::text(r#"{"type": "ping"}"#);
        socket.send(ping).await.expect("it is open");
        let mut messages = Vec::new();
        while messages.len() < 3 {
            let message = within("a message", socket.next()).await;
            if let Message::Text(text) = message.expect("it is open").expect("it is small") {
                messages.push(serde_json::from_str::<Value>(&text).expect("JSON"));
            }
        }
        assert_eq!(messages[0]["type"], "connected");
        let error = &messages[1];
        assert_eq!(error["type"], "error", "{error}");
        assert_eq!(
            (&error["id"], &error["code"]),
            (&json!("large"), &json!("result_too_large"))
        );
        assert_eq!(messages[2]["type"], "pong");
        let path = format!("/a/ws/session/{session}/result");
        assert_eq!(error["result_url"], path);
        drop(socket);
        no_connections(&server, &session).await;
        let result = server.get(&path).await;
        assert_eq!(result.status, 200);
        let text = error["message"].as_str().expect("a text");
        let bytes = result.body.len();
        assert!(text.contains(&bytes.to_string()), "{text}: {bytes} bytes");
    }
}

#[tokio::test]
async fn a_result_that_was_lost_on_the_way_is_sent_again() {
    let server = Server::start(&[]).await;
    let session = session(&server).await;
    let relay = Relay::start(&server).await;
    let address = format!("ws://{}/ws/reconstruct/{session}", relay.address);
    let mut client = Client::at(&address, &session).await;
    let before = relay.taken();
    client.generate(true).await;
    client.result("delta").await;
    client.expect_quiet().await;
    let size = relay.taken() - before;
    assert!(size > LIMIT as u64);
    // The relay takes all of the next one, but its end does not come out.
    relay.pass_on(size - LOST);
    let before = relay.taken();
    client.generate(true).await;
    let lose = async {
        until("the result", async || {
            (relay.taken() - before > size - LOST / 2).then_some(())
        })
        .await;
        relay.cut();
    };
    let ((messages, _), ()) = tokio::join!(client.closed(), lose);
    assert!(messages.iter().all(|message| message["type"] == "progress"));
    no_connections(&server, &session).await;
    let mut again = Client::resume(&server, &session).await;
    let delta = again.expect("delta").await;
    assert_eq!(delta["number"], 2);
    again.expect_quiet().await;
}

#[tokio::test]
async fn a_client_can_say_that_it_has_a_result() {
    let server = Server::start(&[]).await;
    let session = session(&server).await;
    for (number, query) in [(1, ""), (2, "binary=true"), (1, "deltas=append")] {
        let mut client = Client::connect_with(&server, &session, query).await;
        client.generate(true).await;
        let delta = client.result("delta").await;
        assert_eq!(delta.message["number"], number, "{query}");
        if let Some(append) = delta.metadata().get("append") {
            assert_eq!(append["number"], number);
        }
        client
            .send(json!({"type": "received", "number": number}))
            .await;
        // There is none with this number yet.
        client
            .send(json!({"type": "received", "number": 9, "id": "r"}))
            .await;
        let error = client.expect("error").await;
        assert_eq!(error["id"], "r");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.contains("no result 9"))
        );
        client.vanish();
        let mut again = Client::resume(&server, &session).await;
        again.expect_quiet().await;
    }
    // The final result of a client that appends has a number too, in one sequence with the updates.
    let mut client = Client::connect_with(&server, &session, "deltas=append").await;
    client.send(json!({"type": "finalize"})).await;
    let complete = client.result("complete").await;
    assert_eq!(complete.message["number"], 2);
    client.send(json!({"type": "received", "number": 2})).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn answers_that_nobody_confirms_are_not_given_up() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    let session = client.session.clone();
    client.upload("a.png", &sized(112, 84)).await;
    client.upload("b.png", &sized(112, 84)).await;
    // It reads nothing, so it answers no pings. More than a connection holds.
    const COUNT: u64 = 8;
    for number in 1..=COUNT {
        client
            .send(json!({"type": "generate", "incremental": true}))
            .await;
        until("a result", async || {
            let path = format!("/ws/session/{session}/result?format=json");
            let newest = server.get(&path).await;
            (newest.status == 200 && newest.json()["number"] == number).then_some(())
        })
        .await;
    }
    client.vanish();
    no_connections(&server, &session).await;
    let mut again = Client::resume(&server, &session).await;
    for number in 1..=COUNT {
        let delta = again.expect("delta").await;
        assert_eq!(delta["number"], number);
    }
    again.expect_quiet().await;
}

#[tokio::test]
async fn a_client_that_goes_on_without_confirming_is_told_why_it_is_cut_off() {
    let server = Server::start(&["--ping-interval", "0.5"]).await;
    let mut client = server.client("").await;
    let session = client.session.clone();
    client.upload("a.png", &sized(112, 84)).await;
    client.upload("b.png", &sized(112, 84)).await;
    client.vanish();
    let mut socket = open(&server.socket(&session)).await.expect("it opens");
    // It takes what comes and answers no pings. But it talks, so it is not taken for gone.
    let mut rest = Vec::new();
    until("the end of the connection", async || {
        let request = json!({"type": "generate", "incremental": true});
        let _ = socket.send(Message::text(request.to_string())).await;
        let mut part = [0; 4096];
        while let Ok(count) = plain(&mut socket).try_read(&mut part)
            && count > 0
        {
            rest.extend_from_slice(&part[..count]);
        }
        (server.info(&session).await["connections"] == 0).then_some(())
    })
    .await;
    let read = tokio::io::copy(socket.get_mut(), &mut rest);
    within("the end", read).await.expect("no reset");
    let close = rest
        .windows(4)
        .rposition(|part| part[0] == 0x88 && part[2..] == 1008_u16.to_be_bytes());
    let close = close.expect("it is closed with 1008");
    let said = String::from_utf8_lossy(&rest[..close]);
    for words in [r#""code":"no_answer""#, "several answers are not confirmed"] {
        assert!(said.contains(words), "{words} is missing");
    }
}

#[tokio::test]
async fn the_end_of_a_connection_confirms_nothing() {
    let server = Server::start(&[]).await;
    let session = session(&server).await;
    // A client that closes in order before it has read its result.
    let mut client = Client::connect(&server, &session).await;
    client.generate(true).await;
    until("a result", async || {
        (server.info(&session).await["has_result"] == true).then_some(())
    })
    .await;
    client.send_raw(Message::Close(None)).await;
    client.vanish();
    no_connections(&server, &session).await;
    let mut again = Client::resume(&server, &session).await;
    again.expect("delta").await;
    again.expect_quiet().await;
}
