//! Incomplete messages: limits of their memory and time.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::client::{Client, Closed};
use crate::support::pictures::photo;
use crate::support::server::Server;

/// The first fragment of a text message.
fn beginning(bytes: usize) -> Message {
    let payload = vec![b' '; bytes];
    Message::Frame(Frame::message(payload, OpCode::Data(Data::Text), false))
}

/// Starts a message and never completes it; returns how the server closes the connection.
async fn begin_only(mut client: Client, bytes: usize) -> Closed {
    // The server may close before it has received everything.
    let _ = client.try_send_raw(beginning(bytes)).await;
    let (before, closed) = client.closed().await;
    assert_eq!(before.len(), 1, "{before:?}");
    assert_eq!(before[0]["type"], "error");
    closed
}

#[tokio::test]
async fn unfinished_messages_share_the_memory_for_uploads() {
    const CLIENTS: usize = 12;
    const BYTES: usize = 5 << 20;
    let server = Server::start(&[
        "--upload-buffer-mb=8",
        "--max-message-bytes=6000000",
        "--receive-timeout=3",
    ])
    .await;
    // Warm up all allocations before measuring.
    let mut neighbour = server.client("").await;
    neighbour.upload("0.png", &photo(0)).await;
    let before = server.resident_bytes();
    let mut senders = JoinSet::new();
    for _ in 0..CLIENTS {
        senders.spawn(begin_only(server.client("").await, BYTES));
    }
    let mut most = before;
    let mut codes = Vec::new();
    while !senders.is_empty() {
        most = most.max(server.resident_bytes());
        // Control frames and small messages need no upload memory.
        neighbour.expect_quiet().await;
        let pause = tokio::time::sleep(Duration::from_millis(100));
        tokio::select! {
            closed = senders.join_next() => codes.push(closed.expect("one").expect("no panic").code),
            () = pause => {}
        }
    }
    let grown = most - before;
    assert!(
        grown < (CLIENTS * BYTES / 2) as u64,
        "{grown} bytes more for {CLIENTS} messages of {BYTES} bytes"
    );
    assert_eq!(codes.len(), CLIENTS);
    assert!(codes.contains(&Some(1013)), "{codes:?}");
    assert!(
        codes.iter().all(|code| matches!(code, Some(1008 | 1013))),
        "{codes:?}"
    );
    neighbour.upload("1.png", &photo(1)).await;
}

#[tokio::test]
async fn silence_in_the_middle_of_a_large_message_ends_the_connection() {
    let server = Server::start(&["--receive-timeout=0.5"]).await;
    let client = server.client("").await;
    let session = client.session.clone();
    let closed = begin_only(client, 200_000).await;
    assert_eq!(closed.code, Some(1008), "{closed:?}");
    Client::connect(&server, &session)
        .await
        .expect_quiet()
        .await;
}

#[tokio::test]
async fn silence_between_messages_does_not() {
    let server = Server::start(&["--receive-timeout=0.2"]).await;
    let mut client = server.client("").await;
    // More control frames than are allowed in the middle of a message.
    for _ in 0..1500 {
        client.send_raw(Message::Ping(vec![0; 125].into())).await;
    }
    client.upload("0.png", &photo(0)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.expect_quiet().await;
}
