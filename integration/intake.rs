//! Incomplete messages: limits of their memory and time.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::client::{Client, Closed};
use crate::support::pictures::{noise, photo};
use crate::support::server::Server;
use crate::support::tokens::{Tokens, create};
use crate::support::until;

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
        "--receive-timeout=1",
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
    // Each is told when nothing has come of it for too long; the others wait for its memory.
    assert_eq!(codes, [Some(1008); CLIENTS]);
    neighbour.upload("1.png", &photo(1)).await;
}

/// A message with an image, cut into so many frames.
fn in_frames(image: &[u8], frames: usize) -> Vec<Message> {
    let text = json!({"type": "image", "data": STANDARD.encode(image)}).to_string();
    let size = text.len().div_ceil(frames);
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
    let last = pieces.len() - 1;
    let frame = |(index, piece): (usize, &&[u8])| {
        let kind = match index {
            0 => Data::Text,
            _ => Data::Continue,
        };
        Message::Frame(Frame::message(
            piece.to_vec(),
            OpCode::Data(kind),
            index == last,
        ))
    };
    pieces.iter().enumerate().map(frame).collect()
}

#[tokio::test]
async fn more_uploads_than_fit_all_get_through() {
    const CLIENTS: usize = 12;
    // Three times the memory for uploads; each holds a part while it waits for more.
    let server = Server::start(&[
        "--upload-buffer-mb=8",
        "--max-message-bytes=3000000",
        "--receive-timeout=60",
    ])
    .await;
    let image = noise(780, 780);
    assert!(image.len() > 1_500_000, "{} bytes", image.len());
    for frames in [1, 16] {
        let mut uploads = JoinSet::new();
        for _ in 0..CLIENTS {
            let mut client = server.client("process_res=28").await;
            let messages = in_frames(&image, frames);
            uploads.spawn(async move {
                for message in messages {
                    client.send_raw(message).await;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                client.expect("ack").await;
            });
        }
        while let Some(acknowledged) = uploads.join_next().await {
            acknowledged.expect("every image is acknowledged");
        }
    }
}

/// Sends messages on many sockets at once, and again on each. Returns how much more memory the process
/// takes at most, and afterwards while the sockets stay open, in bytes.
async fn memory_of(messages: &[Message], sockets: usize) -> (u64, u64) {
    let buffer = format!("--upload-buffer-mb={}", UPLOADS >> 20);
    let server = Server::start(&[&buffer, "--max-message-bytes=29000000"]).await;
    // Warm up all allocations before measuring.
    let mut other = server.client("").await;
    other.upload("0.png", &photo(0)).await;
    let before = server.resident_bytes();
    let mut senders = JoinSet::new();
    for _ in 0..sockets {
        let mut client = server.client("").await;
        let messages = messages.to_vec();
        senders.spawn(async move {
            for _ in 0..2 {
                for message in &messages {
                    client.send_raw(message.clone()).await;
                }
                client.expect("error").await;
            }
            client
        });
    }
    let clients = senders.join_all().await;
    let most = server.peak_resident_bytes() - before;
    // Freed memory goes back to the system now and then.
    let mut after = u64::MAX;
    for _ in 0..300 {
        after = server.resident_bytes().saturating_sub(before).min(after);
        if after < 8 << 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(clients);
    (most, after)
}

/// The memory for uploads in the next test, in bytes.
const UPLOADS: u64 = 64 << 20;

#[tokio::test]
async fn large_messages_take_what_they_claim_and_leave_nothing() {
    // No image, in the longest form: lines of base64 whose ends are escapes.
    let line = "A".repeat(76) + "\\r\\n";
    let text = format!(r#"{{"type": "image", "data": "{}"}}"#, line.repeat(350_000));
    let bytes = text.len() as u64;
    assert_eq!(bytes >> 20, 26);
    let halves = text.as_bytes().split_at(text.len() / 2);
    let half = |bytes: &[u8], kind, last| {
        Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(kind), last))
    };
    for messages in [
        vec![Message::text(&text)],
        vec![Message::binary(text.clone().into_bytes())],
        vec![
            half(halves.0, Data::Text, false),
            half(halves.1, Data::Continue, true),
        ],
    ] {
        let (most, after) = memory_of(&messages, 6).await;
        assert!(most < UPLOADS * 3 / 2, "{most} bytes more for uploads");
        // The sockets together hold less than half of one message.
        assert!(after < bytes / 2, "{after} bytes stay");
    }
}

#[tokio::test]
async fn a_message_without_end_holds_nothing_of_others() {
    let server = Server::start(&["--upload-buffer-mb=8", "--max-message-bytes=6000000"]).await;
    let mut neighbour = server.client("").await;
    let mut endless = server.client("").await;
    endless.send_raw(beginning(2_000_000)).await;
    until("memory for the message", async || {
        (upload_memory(&server).await >= 1_000_000).then_some(())
    })
    .await;
    // Too large to be among the small messages.
    let image = noise(700, 700);
    assert!(image.len() > 1_100_000, "{} bytes", image.len());
    neighbour.upload("0.png", &image).await;
    let empty = || {
        Message::Frame(Frame::message(
            Vec::new(),
            OpCode::Data(Data::Continue),
            false,
        ))
    };
    // The server may close before it has received everything.
    for number in 0..8000 {
        if endless.try_send_raw(empty()).await.is_err() {
            break;
        }
        if number == 1000 {
            neighbour.upload("1.png", &image).await;
        }
    }
    let (before, closed) = endless.closed().await;
    assert!(
        before[0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("short frames"))
    );
    assert_eq!(closed.code, Some(1008), "{closed:?}");
    neighbour.upload("2.png", &image).await;
    until("the end of what it held", async || {
        (upload_memory(&server).await == 0).then_some(())
    })
    .await;
}

/// Bytes that uploads hold, as operators see them.
async fn upload_memory(server: &Server) -> u64 {
    let text = server.get("/metrics").await.text();
    let name = "pointstream_upload_buffer_used_bytes ";
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.unwrap_or_else(|| panic!("there is no {name}in {text}"));
    value.parse().expect("whole bytes")
}

#[tokio::test]
async fn small_images_do_not_wait_for_large_ones() {
    let server = Server::start(&["--upload-buffer-mb=8", "--max-message-bytes=7340032"]).await;
    // They hold all the memory for large messages, and never end.
    let mut large = Vec::new();
    for _ in 0..4 {
        let mut client = server.client("").await;
        client
            .try_send_raw(beginning(1_700_000))
            .await
            .expect("there is room");
        large.push(client);
    }
    let small = noise(200, 200);
    assert!(small.len() > 100_000, "{} bytes", small.len());
    let mut neighbour = server.client("").await;
    neighbour.upload("small.png", &small).await;
    for client in large {
        client.vanish();
    }
}

#[tokio::test]
async fn unfinished_messages_of_one_client_leave_room_for_others() {
    let tokens = Tokens::new();
    let (many, other) = (
        tokens.add("many", "create,use").await,
        tokens.add("other", "create,use").await,
    );
    // Of which small messages have 1 MiB.
    let options = ["--upload-buffer-mb=8", "--max-message-bytes=7340032"];
    let server = tokens.server(&options).await;
    let mut unfinished = Vec::new();
    for _ in 0..3 {
        let (session, token) = create(&server, &many).await;
        for _ in 0..4 {
            let mut client = Client::with_token(&server, &session, &token).await;
            client
                .try_send_raw(beginning(200_000))
                .await
                .expect("there is room");
            unfinished.push(client);
        }
    }
    let (session, token) = create(&server, &other).await;
    let mut neighbour = Client::with_token(&server, &session, &token).await;
    neighbour.upload("small.png", &noise(200, 200)).await;
    for client in unfinished {
        client.vanish();
    }
}

#[tokio::test]
async fn a_large_message_that_cannot_be_taken_is_answered() {
    let server = Server::start(&[
        "--upload-buffer-mb=8",
        "--max-message-bytes=7340032",
        "--receive-timeout=1",
    ])
    .await;
    // The first one holds all the memory for large messages, and sends a little now and then.
    let mut first = server.client("").await;
    first.send_raw(beginning(7_300_000)).await;
    let slow = tokio::spawn(async move {
        let more = || {
            Message::Frame(Frame::message(
                vec![b' '; 10],
                OpCode::Data(Data::Continue),
                false,
            ))
        };
        while first.try_send_raw(more()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let closed = begin_only(server.client("").await, 2_000_000).await;
    assert_eq!(closed.code, Some(1013), "{closed:?}");
    slow.abort();
}

#[tokio::test]
async fn a_message_has_a_least_speed() {
    let server = Server::start(&["--receive-timeout=1"]).await;
    let mut client = server.client("").await;
    let started = beginning(70_000);
    client.send_raw(started).await;
    let slow = || {
        Message::Frame(Frame::message(
            vec![b' '; 10],
            OpCode::Data(Data::Continue),
            false,
        ))
    };
    // Something comes in time, again and again; all in all it is too slow.
    while client.try_send_raw(slow()).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let (before, closed) = client.closed().await;
    assert!(
        before[0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("too slowly"))
    );
    assert_eq!(closed.code, Some(1008), "{closed:?}");
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
