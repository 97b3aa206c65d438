//! What a client does when a server stays silent, or is left.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use pointstream_client::{Client, ClientOptions, Error, Event, Image, Parameters, Retry, Session};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_async};

const PATIENCE: Duration = Duration::from_secs(20);
const CONNECTED: &str = r#"{"type": "connected", "image_count": 0, "max_images": 9}"#;
/// An answer to any request that is made.
const ANSWER: &str = r#"{"session_id": "s", "protocol_version": "1.0.0"}"#;

/// Says `connected` on each socket, and gives it to the channel. Nobody reads from it.
async fn silent_server() -> (String, mpsc::Receiver<WebSocketStream<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sockets, received) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let mut count = 0;
            while !head[..count].ends_with(b"\r\n\r\n") {
                tokio::task::yield_now().await;
                count = stream.peek(&mut head).await.unwrap();
            }
            if head.windows(9).any(|part| part == b"websocket") {
                let mut socket = accept_async(stream).await.unwrap();
                socket.send(Message::text(CONNECTED)).await.unwrap();
                sockets.send(socket).await.unwrap();
                continue;
            }
            let length = ANSWER.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{ANSWER}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, received)
}

async fn session(url: &str, dead_after: Duration) -> Session {
    let options = ClientOptions {
        dead_after,
        retry: Retry {
            attempts: 2,
            first: Duration::from_millis(20),
            longest: Duration::from_secs(1),
        },
        ..ClientOptions::default()
    };
    let client = Client::with_options(url, options).unwrap();
    client.create(Parameters::default()).await.unwrap()
}

#[tokio::test]
async fn a_silent_server_counts_as_lost() {
    let (url, _sockets) = silent_server().await;
    let session = session(&url, Duration::from_millis(300)).await;
    let mut events = session.events();
    let error = timeout(PATIENCE, session.map()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error}");
    assert!(error.to_string().contains("silent"), "{error}");
    let mut lost = 0;
    let error = loop {
        match events.next().await.unwrap() {
            Ok(event) => lost += usize::from(matches!(event, Event::Disconnected { .. })),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, Error::ConnectionLost { .. }) && lost == 2,
        "{error} {lost}"
    );
    assert!(matches!(
        session.upload(vec![1]).await,
        Err(Error::ConnectionLost { .. })
    ));
}

#[tokio::test]
async fn a_message_that_makes_no_way_counts_as_lost() {
    let (url, _sockets) = silent_server().await;
    let session = session(&url, Duration::from_millis(300)).await;
    let mut events = session.events();
    // More than the buffers of the network take.
    let _upload = session.send(Image::bytes(vec![0; 30 << 20])).await.unwrap();
    match timeout(PATIENCE, events.next()).await.unwrap() {
        Some(Ok(Event::Disconnected { reason, .. })) => {
            assert!(reason.to_string().contains("silent"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_that_is_dropped_ends_its_connection() {
    let (url, mut sockets) = silent_server().await;
    let session = session(&url, PATIENCE).await;
    let mut socket = sockets.recv().await.unwrap();
    let mut events = session.events();
    let upload = session.send(vec![1]).await.unwrap();
    let other = session.clone();
    drop(session);
    assert!(other.cancel().is_ok());
    drop(other);
    assert!(matches!(upload.await, Err(Error::Closed)));
    assert!(events.next().await.is_none());
    let end = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(PATIENCE, end).await.unwrap();
}

#[tokio::test]
async fn a_silent_server_does_not_hold_up_the_end() {
    let (url, _sockets) = silent_server().await;
    let session = session(&url, 2 * PATIENCE).await;
    let upload = session.send(vec![0; 30 << 20]).await.unwrap();
    let began = Instant::now();
    timeout(PATIENCE, session.close()).await.unwrap();
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "it tries to end in order"
    );
    assert!(matches!(upload.await, Err(Error::Closed)));
    assert!(matches!(session.map().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_farewell_of_the_server_is_answered() {
    let (url, mut sockets) = silent_server().await;
    let session = session(&url, PATIENCE).await;
    let mut socket = sockets.recv().await.unwrap();
    let frame = CloseFrame {
        code: CloseCode::Away,
        reason: "shutting_down: the server shuts down".into(),
    };
    socket.close(Some(frame)).await.unwrap();
    let soon = Duration::from_secs(2);
    let answer = timeout(soon, socket.next()).await.unwrap();
    assert!(matches!(answer, Some(Ok(Message::Close(_)))), "{answer:?}");
    drop(socket);
    // It comes back at once.
    let mut socket = timeout(soon, sockets.recv()).await.unwrap().unwrap();
    let leaving = tokio::spawn(async move { session.close().await });
    let answer = timeout(soon, socket.next()).await.unwrap();
    assert!(matches!(answer, Some(Ok(Message::Close(_)))), "{answer:?}");
    drop(socket);
    timeout(soon, leaving).await.unwrap().unwrap();
}
