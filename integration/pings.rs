//! The server pings its clients, and ends the sockets of those that are gone.

use futures_util::StreamExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::client::{Client, Socket, open};
use crate::support::pictures::{photo, sized};
use crate::support::server::Server;
use crate::support::{until, within};

const QUICK: [&str; 2] = ["--ping-interval", "0.5"];

async fn connections(server: &Server, session: &str) -> u64 {
    let info = server.info(session).await;
    info["connections"].as_u64().expect("a number")
}

fn stream(socket: &mut Socket) -> &mut TcpStream {
    match socket.get_mut() {
        MaybeTlsStream::Plain(stream) => stream,
        other => panic!("not a plain connection: {other:?}"),
    }
}

#[tokio::test]
async fn a_client_that_only_listens_stays() {
    let server = Server::start(&QUICK).await;
    let session = server.session("").await;
    let mut socket = open(&server.socket(&session)).await.expect("it opens");
    let mut pings = 0;
    // Longer than a silent client may be.
    while pings < 6 {
        let message = within("a ping", socket.next()).await;
        let message = message.expect("it stays open").expect("it stays open");
        pings += u32::from(message.is_ping());
    }
    assert_eq!(connections(&server, &session).await, 1);
}

#[tokio::test]
async fn clients_that_are_gone_do_not_hold_places() {
    let options = [&QUICK[..], &["--max-connections", "2"]].concat();
    let server = Server::start(&options).await;
    let session = server.session("").await;
    // They are not read from, so nothing answers the pings: as after a change of address.
    let mut gone = open(&server.socket(&session)).await.expect("it opens");
    let _gone_too = open(&server.socket(&session)).await.expect("it opens");
    until("free places", async || {
        (connections(&server, &session).await == 0).then_some(())
    })
    .await;
    Client::connect(&server, &session)
        .await
        .expect_quiet()
        .await;
    // One that is still there learns why.
    let mut code = None;
    while let Some(Ok(message)) = within("the end", gone.next()).await {
        if let Message::Close(Some(frame)) = message {
            code = Some(u16::from(frame.code));
        }
    }
    assert_eq!(code, Some(1008));
}

/// Connects a client that reads, and so answers pings.
async fn listening(server: &Server, session: &str) -> JoinHandle<()> {
    let mut socket = open(&server.socket(session)).await.expect("it opens");
    let first = within("the greeting", socket.next()).await;
    let first = first.expect("it is open").expect("it is open").to_string();
    assert!(first.contains(r#""type":"connected""#), "{first}");
    tokio::spawn(socket.for_each(|_| async {}))
}

#[tokio::test]
async fn a_newcomer_takes_the_place_of_a_client_that_is_gone() {
    // Whose sockets would look open for 40 s.
    let server = Server::start(&["--max-connections", "3"]).await;
    let session = server.session("").await;
    let mut there = vec![listening(&server, &session).await];
    let gone = open(&server.socket(&session)).await.expect("it opens");
    let gone_too = open(&server.socket(&session)).await.expect("it opens");
    for _ in 0..2 {
        there.push(listening(&server, &session).await);
    }
    let (_, refused) = Client::refused(&server.socket(&session)).await;
    assert_eq!(refused.code, Some(4429), "all of them answer");
    assert!(there.iter().all(|one| !one.is_finished()));
    drop((gone, gone_too));
}

#[tokio::test]
async fn a_client_in_the_middle_of_an_upload_is_not_gone() {
    let server = Server::start(&["--ping-interval", "1"]).await;
    let session = server.session("").await;
    let mut socket = open(&server.socket(&session)).await.expect("it opens");
    let image = json!({"type": "image", "data": base64(&photo(0)), "filename": "a".repeat(900)});
    let text = image.to_string().into_bytes();
    let frame = Frame::message(text, OpCode::Data(Data::Text), true);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).expect("a frame");
    // A frame of a client is masked; this mask changes nothing.
    let header = bytes.len() - image.to_string().len();
    bytes[1] |= 0x80;
    bytes.splice(header..header, [0; 4]);
    // It answers no pings meanwhile.
    for piece in bytes.chunks(bytes.len().div_ceil(12)) {
        stream(&mut socket)
            .write_all(piece)
            .await
            .expect("it is open");
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    }
    loop {
        let message = within("the answer", socket.next()).await;
        let message = message.expect("it is open").expect("it is open");
        if let Message::Text(text) = message
            && text.contains("\"ack\"")
        {
            return;
        }
    }
}

#[tokio::test]
async fn a_client_in_the_middle_of_a_download_is_not_gone() {
    let server = Server::start(&["--ping-interval", "1"]).await;
    let reply = server.post("/ws/session/create?process_res=504").await;
    let session = reply.json()["session_id"].as_str().map(str::to_owned);
    let session = session.expect("an identifier");
    let mut client = Client::connect(&server, &session).await;
    for _ in 0..4 {
        client.upload("x.png", &sized(504, 378)).await;
    }
    client.generate(true).await;
    client.inference_started().await;
    client.vanish();
    server.settled(&session).await;
    let address = format!("{}?resume=true", server.socket(&session));
    let mut socket = open(&address).await.expect("it opens");
    // Reads slowly, below the library: so no ping is answered.
    let mut read = 0;
    let mut buffer = vec![0; 256 << 10];
    for _ in 0..16 {
        let reading = stream(&mut socket).read(&mut buffer);
        let count = within("bytes", reading).await.expect("it is open");
        assert!(count > 0, "the connection ended after {read} bytes");
        read += count;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert_eq!(connections(&server, &session).await, 1);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
