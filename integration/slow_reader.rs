//! A client that sends but never reads uses little memory, does not delay others, and is finally
//! disconnected.

use futures_util::SinkExt as _;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{Client, Socket, open};
use crate::support::pictures::{photo, sized};
use crate::support::server::Server;
use crate::support::{until, within};

const OPTIONS: [&str; 2] = ["--send-timeout", "3"];

/// Sends the same message until the server closes the connection; never reads.
async fn send_until_dropped(socket: &mut Socket, message: &str) -> usize {
    let mut sent = 0;
    while socket.feed(Message::text(message)).await.is_ok() {
        sent += 1;
        if sent % 64 == 0 && socket.flush().await.is_err() {
            break;
        }
    }
    sent
}

/// Runs such a client in this session, and checks the server in the meantime.
async fn misbehave(server: &Server, session: &str, message: &str) {
    let mut neighbour = server.client("").await;
    neighbour.upload("0.png", &photo(0)).await;
    let before = server.resident_bytes();
    let mut socket = open(&server.socket(session))
        .await
        .expect("it takes a connection");
    let dropped = within(
        "the end of the connection",
        send_until_dropped(&mut socket, message),
    );
    let mut most = before;
    let watch = async {
        loop {
            neighbour.expect_quiet().await;
            most = most.max(server.resident_bytes());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let sent = tokio::select! {
        sent = dropped => sent,
        () = watch => unreachable!("the watch never ends"),
    };
    let grown = most - before;
    println!("{sent} messages, {} MiB more", grown >> 20);
    assert!(sent > 0);
    assert!(grown < 200 << 20, "{grown} bytes more");
    // The session exists, and its connection is closed.
    until("the end of the connection", async || {
        (server.info(session).await["connections"] == 0).then_some(())
    })
    .await;
    neighbour.expect_quiet().await;
    let mut again = Client::connect(server, session).await;
    again.expect_quiet().await;
}

#[tokio::test]
async fn pings_whose_pongs_nobody_reads() {
    let server = Server::start(&OPTIONS).await;
    let session = server.session("").await;
    misbehave(&server, &session, r#"{"type":"ping"}"#).await;
}

#[tokio::test]
async fn errors_that_nobody_reads() {
    let server = Server::start(&OPTIONS).await;
    let session = server.session("").await;
    let nonsense = format!("{{\"type\":\"{}\"}}", "x".repeat(200));
    misbehave(&server, &session, &nonsense).await;
}

#[tokio::test]
async fn point_clouds_that_nobody_reads() {
    let server = Server::start(&OPTIONS).await;
    let reply = server
        .post("/ws/session/create?process_res=504")
        .await
        .json();
    let session = reply["session_id"].as_str().expect("an identifier");
    let mut client = Client::connect(&server, session).await;
    for _ in 0..4 {
        client.upload("x.png", &sized(504, 378)).await;
    }
    // Warm up: the first run of a model allocates memory that later runs reuse.
    client.generate(true).await;
    client.result("delta").await;
    client.vanish();
    // Each answer has megabytes, far more than the socket buffers.
    let generate = r#"{"type":"generate","incremental":true}"#;
    misbehave(&server, session, generate).await;
    // Undelivered answers are not lost.
    let mut again = Client::resume(&server, session).await;
    let answer = again.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], 4);
}
