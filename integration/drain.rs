//! Shutdown of the server.

use std::time::Duration;

use crate::support::client::{Client, open};
use crate::support::pictures::photo;
use crate::support::rest::{self, FORM};
use crate::support::server::{Server, session_files};

/// Close code of a shutdown.
const GOING_AWAY: Option<u16> = Some(1001);

async fn running(server: &Server, frames: u32) -> Client {
    let mut client = server.client("").await;
    for index in 0..frames {
        client.upload("x.png", &photo(index)).await;
    }
    client.generate(true).await;
    client.inference_started().await;
    client
}

#[tokio::test]
async fn running_work_is_finished_and_answered() {
    let mut server = Server::with_model("slow", &["--drain-timeout", "100"]).await;
    let mut idle = server.client("").await;
    idle.upload("0.png", &photo(0)).await;
    let mut client = running(&server, 4).await;
    assert!(!server.files().is_empty());

    server.terminate();
    let answer = client.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], 4);
    let (_, closed) = client.closed().await;
    assert_eq!(closed.code, GOING_AWAY, "{closed:?}");
    let (_, closed) = idle.closed().await;
    assert_eq!(closed.code, GOING_AWAY, "{closed:?}");
    let status = server.ended().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn work_that_takes_too_long_is_given_up() {
    let mut server = Server::with_model("slow", &["--drain-timeout", "1"]).await;
    // More than a minute of work.
    let mut client = running(&server, 100).await;
    server.terminate();
    let (before, closed) = client.closed().await;
    assert_eq!(closed.code, GOING_AWAY, "{closed:?}");
    let answers = before
        .iter()
        .filter(|message| message["type"] != "progress");
    // The next server answers it.
    let answers: Vec<_> = answers.collect();
    assert!(answers.is_empty(), "{answers:?}");
    let status = server.ended().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn nothing_new_is_taken_while_draining() {
    let mut server = Server::with_model("slow", &["--drain-timeout", "100"]).await;
    let mut client = running(&server, 6).await;
    server.terminate();
    // Wait until the shutdown begins: connections and sessions are refused from then on.
    crate::support::until("the refusal", async || {
        match open(&server.socket(&client.session)).await {
            Ok(_) => None,
            Err(_) => Some(()),
        }
    })
    .await;
    client.generate(true).await;
    let answer = client.answer().await;
    // The refusal of the second request and the answer to the first arrive in any order.
    let mut kinds = vec![answer.message["type"].clone()];
    let (rest, closed) = client.closed().await;
    kinds.extend(
        rest.iter()
            .map(|message| message["type"].clone())
            .filter(|kind| kind != "progress"),
    );
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(
        serde_json::json!(kinds),
        serde_json::json!(["delta", "error"])
    );
    assert_eq!(closed.code, GOING_AWAY);
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn a_request_for_a_file_gets_the_file() {
    for query in ["format=colmap", "format=glb"] {
        let mut server = Server::with_model("slow", &["--drain-timeout", "100"]).await;
        let pictures = [photo(0), photo(1), photo(2)];
        let parts = pictures
            .each_ref()
            .map(|picture| ("images", None, &picture[..]));
        let url = format!("{}/reconstruct?process_res=56&{query}", server.base());
        let headers = [("content-type", FORM)];
        let request = rest::request_with("POST", &url, &headers, rest::form(&parts));
        let (reply, ()) = tokio::join!(request, async {
            server.at_work().await;
            server.terminate();
        });
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let length = reply.header("content-length").expect("a length");
        assert_eq!(length, reply.body.len().to_string());
        assert!(server.ended().await.success());
        assert_eq!(session_files(server.data_dir()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_told_that_the_server_ends() {
    let mut server = Server::with_model("slow", &["--drain-timeout", "1"]).await;
    // More than a minute of work.
    let picture = photo(0);
    let parts = vec![("images", None, &picture[..]); 100];
    let url = format!("{}/reconstruct?process_res=56", server.base());
    let headers = [("content-type", FORM)];
    let request = rest::request_with("POST", &url, &headers, rest::form(&parts));
    let (reply, ()) = tokio::join!(request, async {
        server.at_work().await;
        server.terminate();
    });
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.detail().contains("shutting down"));
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn an_idle_server_ends_at_once() {
    let mut server = Server::start(&["--drain-timeout", "100"]).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    server.terminate();
    let (_, closed) = client.closed().await;
    assert_eq!(closed.code, GOING_AWAY);
    // Nothing runs, so the server does not wait for the whole drain timeout.
    let ended = tokio::time::timeout(Duration::from_secs(60), server.ended()).await;
    assert!(ended.expect("long before the drain timeout").success());
}
