//! Concurrent sessions, and several connections to one session.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use serde_json::json;

use crate::support::client::Client;
use crate::support::gate::Gate;
use crate::support::pictures::photo;
use crate::support::server::Server;
use crate::support::until;

/// Uploads photos unique to this session and requests a result after each.
async fn reconstruct(server: &Server, name: &str, photos: u32) -> Client {
    let mut client = server.client("").await;
    for index in 1..=photos {
        client
            .upload(&format!("{name}-{index}.png"), &photo(index))
            .await;
        client.generate(true).await;
        let answer = client.result("delta").await;
        let names: Vec<_> = (1..=index)
            .map(|index| format!("{name}-{index}.png"))
            .collect();
        assert_eq!(answer.metadata()["frames"], json!(names));
        assert_eq!(answer.metadata()["session_id"], client.session.as_str());
        assert_eq!(answer.message["image_count"], index);
    }
    client
}

#[tokio::test]
async fn two_clients_at_once_get_results_of_their_own() {
    let server = Server::with_model("slow", &[]).await;
    let (left, right) = tokio::join!(
        reconstruct(&server, "left", 3),
        reconstruct(&server, "right", 4)
    );
    assert_eq!(server.info(&left.session).await["image_count"], 3);
    assert_eq!(server.info(&right.session).await["image_count"], 4);
    let list = server.get("/ws/sessions").await.json();
    assert_eq!(list["stats"]["total_sessions"], 2);
    assert_eq!(list["stats"]["total_images"], 7);
}

#[tokio::test]
async fn many_clients_at_once() {
    let server = Server::start(&[]).await;
    let names: Vec<_> = (0..12).map(|index| format!("client{index}")).collect();
    let all = names.iter().map(|name| reconstruct(&server, name, 2));
    let clients = futures_util::future::join_all(all).await;
    let sessions: HashSet<_> = clients.iter().map(|client| &client.session).collect();
    assert_eq!(sessions.len(), 12);
}

#[tokio::test]
async fn sessions_are_kept_apart_in_their_files() {
    let server = Server::start(&[]).await;
    let mut first = server.client("").await;
    let mut second = server.client("").await;
    first.upload("same.png", &photo(1)).await;
    second.upload("same.png", &photo(2)).await;
    let reply = server
        .delete(&format!("/ws/session/{}", first.session))
        .await;
    assert_eq!(reply.status, 200);
    assert!(!server.files().is_empty());
    second.generate(true).await;
    second.result("delta").await;
}

#[tokio::test]
async fn sessions_come_and_go_while_images_are_stored() {
    // More images than the server stores in parallel.
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let images = u32::try_from(cores + 12).expect("a number of cores");
    let unanswered = format!("--max-unanswered-messages={images}");
    let server = Server::start(&[&unanswered]).await;
    let mut busy = server.client("").await;
    let gate = Gate::new();
    gate.bar_images(&server, &busy.session, images);
    for index in 0..images {
        busy.send_image("x.png", &photo(index)).await;
    }
    until("all images to be pending", async || {
        let info = server.info(&busy.session).await;
        (info["pending_images"] == images).then_some(())
    })
    .await;
    let other = server.session("").await;
    let reply = server.delete(&format!("/ws/session/{other}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    // The request did not wait for the images.
    assert_eq!(server.info(&busy.session).await["pending_images"], images);

    // A session deleted in the meantime leaves no files, and none are added later.
    let reply = server
        .delete(&format!("/ws/session/{}", busy.session))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(server.files(), Vec::<String>::new());
    let _open = gate.open();
    let mut last = server.client("").await;
    last.upload("behind them.png", &photo(0)).await;
    last.upload("behind them.png", &photo(1)).await;
    let strange = server.files();
    let strange = strange.iter().find(|file| !file.contains(&last.session));
    assert_eq!(strange, None);
}

/// Deletes a session whose files cannot be removed; returns its REST path.
async fn delete_in_vain(server: &Server) -> String {
    let session = server.session("").await;
    // Move the folder away, so that removing the files fails.
    let folders = server.data_dir().join("sessions");
    std::fs::rename(&folders, server.data_dir().join("elsewhere")).expect("writable");
    std::fs::write(&folders, b"no folder").expect("writable");
    let path = format!("/ws/session/{session}");
    let reply = server.delete(&path).await;
    assert_eq!(reply.status, 500, "{}", reply.text());
    // The session has ended nevertheless.
    assert_eq!(server.get(&path).await.status, 404);
    path
}

/// Undoes the obstacle of [`delete_in_vain`].
fn repair(server: &Server) {
    let folders = server.data_dir().join("sessions");
    std::fs::remove_file(&folders).expect("writable");
    std::fs::rename(server.data_dir().join("elsewhere"), &folders).expect("writable");
}

/// Number of session folders, including empty ones.
fn folders(server: &Server) -> usize {
    let folders = server.data_dir().join("sessions");
    folders.read_dir().expect("it is there").count()
}

#[tokio::test]
async fn files_that_stay_are_not_said_to_be_gone() {
    let server = Server::start(&[]).await;
    let path = delete_in_vain(&server).await;
    let reply = server.delete(&path).await;
    assert_eq!(reply.status, 500, "{}", reply.text());
    repair(&server);
    let reply = server.delete(&path).await;
    // 404 if the server's own retry was faster.
    assert!([200, 404].contains(&reply.status), "{}", reply.text());
    assert_eq!(folders(&server), 0);
    assert_eq!(server.delete(&path).await.status, 404);
}

#[tokio::test]
async fn files_that_stay_are_removed_later() {
    let server = Server::start(&[]).await;
    let path = delete_in_vain(&server).await;
    repair(&server);
    until("the removal of the files", async || {
        (folders(&server) == 0).then_some(())
    })
    .await;
    until("the session to be unknown", async || {
        (server.delete(&path).await.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn several_connections_share_a_session() {
    let server = Server::start(&["--max-connections", "2"]).await;
    let mut first = server.client("").await;
    let mut second = Client::connect(&server, &first.session).await;
    first.upload("0.png", &photo(0)).await;
    let ack = second.upload("1.png", &photo(1)).await;
    assert_eq!(ack["image_count"], 2);
    // One connection too many is refused, and the others, which are there, stay.
    let address = server.socket(&first.session);
    let are_there = async {
        loop {
            first.expect_quiet().await;
            second.expect_quiet().await;
        }
    };
    let (messages, closed) = tokio::select! {
        refused = Client::refused(&address) => refused,
        () = are_there => unreachable!("they stay"),
    };
    let text = messages[0]["message"].as_str().expect("an error");
    assert!(text.contains('2') && text.contains("connections"), "{text}");
    assert_eq!(closed.code, Some(4429), "{closed:?}");
    // The client that sent the request gets the answer.
    second.generate(true).await;
    let answer = second.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], 2);
    first.expect_quiet().await;
}
