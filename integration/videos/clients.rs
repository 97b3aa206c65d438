//! Clients that leave, stall or come together, and the end of the server.

use std::net::Ipv4Addr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{left, nothing_is_left, still};
use crate::support::ffmpeg::has_ffmpeg;
use crate::support::raw::{hear, send_from};
use crate::support::server::Server;
use crate::support::stand_in::StandIn;
use crate::support::tokens::Tokens;
use crate::support::until;

const LINE: &str = "POST /videos/frames HTTP/1.1";

/// Sends a whole video, which the stand-in reads without an end.
async fn begin(server: &Server, from: u8, token: Option<&str>) -> TcpStream {
    let bearer = format!("Bearer {}", token.unwrap_or_default());
    let mut headers = vec![("Host", "localhost"), ("Content-Length", "5")];
    headers.extend(token.map(|_| ("Authorization", &*bearer)));
    let from = Ipv4Addr::new(127, 0, 0, from);
    send_from(from, server, LINE, &headers, b"video").await
}

/// Announces a video that must be refused before its body is sent.
async fn refused(server: &Server, from: u8, token: Option<&str>) -> String {
    let bearer = format!("Bearer {}", token.unwrap_or_default());
    let mut headers = vec![
        ("Host", "localhost"),
        ("Content-Length", "5"),
        ("Expect", "100-continue"),
        ("Connection", "close"),
    ];
    headers.extend(token.map(|_| ("Authorization", &*bearer)));
    let from = Ipv4Addr::new(127, 0, 0, from);
    let connection = send_from(from, server, LINE, &headers, b"").await;
    let mut heard = hear(connection).await;
    assert_eq!(heard.status, 503, "{}", heard.head);
    assert!(heard.header("retry-after").is_some(), "{}", heard.head);
    let body = heard.body().await;
    assert!(body.contains("server_busy"), "{body}");
    body
}

#[tokio::test]
async fn a_client_that_leaves_ends_ffmpeg() {
    let stand_in = StandIn::new();
    let server = stand_in.server(&[]).await;
    let client = begin(&server, 1, None).await;
    stand_in.started(1).await;
    assert_eq!(left(&server).len(), 1);
    drop(client);
    stand_in.ended().await;
    nothing_is_left(&server).await;
    // Its place is free.
    let _client = begin(&server, 1, None).await;
    stand_in.started(2).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_sends_leaves_nothing() {
    let stand_in = StandIn::new();
    let server = stand_in.server(&[]).await;
    let headers = [("Host", "localhost"), ("Content-Length", "1000")];
    let client = send_from(Ipv4Addr::LOCALHOST, &server, LINE, &headers, b"video").await;
    until("a part of the video", async || {
        (left(&server).len() == 1).then_some(())
    })
    .await;
    drop(client);
    nothing_is_left(&server).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_the_answer_leaves_nothing() {
    if !has_ffmpeg() {
        return;
    }
    let server = Server::start(&[]).await;
    let video = still();
    let length = video.len().to_string();
    let headers = [("Host", "localhost"), ("Content-Length", &*length)];
    let line = "POST /videos/frames?count=30 HTTP/1.1";
    let client = send_from(Ipv4Addr::LOCALHOST, &server, line, &headers, &video).await;
    let heard = hear(client).await;
    assert_eq!(heard.status, 200, "{}", heard.head);
    assert_eq!(
        left(&server).len(),
        1,
        "the answer is larger than the buffers"
    );
    drop(heard);
    nothing_is_left(&server).await;
}

#[tokio::test]
async fn each_client_has_one_and_all_have_two() {
    let stand_in = StandIn::new();
    let server = stand_in.server(&[]).await;
    let first = begin(&server, 1, None).await;
    stand_in.started(1).await;
    let said = refused(&server, 1, None).await;
    assert!(said.contains("of this client"), "{said}");
    let _second = begin(&server, 2, None).await;
    stand_in.started(2).await;
    let said = refused(&server, 3, None).await;
    assert!(said.contains("of others"), "{said}");
    drop(first);
    until("the first place", async || {
        (left(&server).len() == 1).then_some(())
    })
    .await;
    let _third = begin(&server, 3, None).await;
    stand_in.started(3).await;
}

#[tokio::test]
async fn owners_of_tokens_are_clients() {
    let tokens = Tokens::new();
    let maker = tokens.add("maker", "create").await;
    let user = tokens.add("user", "use").await;
    let stand_in = StandIn::new();
    let file = tokens.file();
    let file = file.to_str().expect("a plain name");
    let server = stand_in
        .server(&["--auth", "tokens", "--tokens-file", file])
        .await;
    let _first = begin(&server, 1, Some(&maker)).await;
    stand_in.started(1).await;
    // From another address, too.
    refused(&server, 2, Some(&maker)).await;
    let _second = begin(&server, 1, Some(&user)).await;
    stand_in.started(2).await;
}

#[tokio::test]
async fn silent_and_broken_bodies_are_told() {
    let stand_in = StandIn::new();
    let server = stand_in.server(&["--receive-timeout", "0.5"]).await;
    let headers = [("Host", "localhost"), ("Content-Length", "1000")];
    let silent = send_from(Ipv4Addr::LOCALHOST, &server, LINE, &headers, b"video").await;
    let heard = hear(silent).await;
    assert_eq!(heard.status, 408, "{}", heard.head);
    let headers = [("Host", "localhost"), ("Content-Length", "1000")];
    let mut broken = send_from(Ipv4Addr::LOCALHOST, &server, LINE, &headers, b"video").await;
    broken.shutdown().await.expect("open");
    let mut heard = hear(broken).await;
    assert_eq!(heard.status, 400, "{}", heard.head);
    let body = heard.body().await;
    assert!(body.contains("ended early"), "{body}");
    nothing_is_left(&server).await;
}

#[tokio::test]
async fn the_end_of_the_server_ends_ffmpeg() {
    let stand_in = StandIn::new();
    let mut server = stand_in.server(&["--drain-timeout", "100"]).await;
    let client = begin(&server, 1, None).await;
    stand_in.started(1).await;
    server.terminate();
    let mut heard = hear(client).await;
    assert_eq!(heard.status, 503, "{}", heard.head);
    let body = heard.body().await;
    assert!(body.contains("shutting_down"), "{body}");
    stand_in.ended().await;
    assert!(server.ended().await.success());
    assert!(left(&server).is_empty());
}

#[tokio::test]
async fn what_a_killed_server_has_left_is_removed() {
    let stand_in = StandIn::new();
    let server = stand_in.server(&[]).await;
    let _client = begin(&server, 1, None).await;
    let ids = stand_in.started(1).await;
    let data = server.kill();
    let folder = data.path().join("videos");
    assert_eq!(folder.read_dir().expect("there").count(), 1);
    // Nobody else ends it, as it uses no processor time.
    let id: libc::pid_t = ids[0].parse().expect("a process id");
    // SAFETY: `kill` takes no pointers; the test has let this process start.
    unsafe { libc::kill(id, libc::SIGKILL) };
    let model = crate::support::archives::archive("flat");
    let model = model.to_str().expect("a plain name");
    let _server = Server::start_in(data, &["--model", model]).await;
    assert!(!folder.exists());
}
