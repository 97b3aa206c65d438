//! Sessions take turns at what they share.

use serde_json::json;

use crate::support::client::Client;
use crate::support::pictures::{photo, sized};
use crate::support::server::Server;
use crate::support::tokens::{Tokens, create, with_token};

#[tokio::test]
async fn many_large_pictures_do_not_hold_up_a_neighbour() {
    const PICTURES: usize = 14;
    let server = Server::start(&[]).await;
    let mut neighbour = server.client("").await;
    // A few kB that take a while to be decoded.
    let picture = sized(4000, 4000);
    let mut busy = server.client("process_res=56").await;
    for index in 0..PICTURES {
        busy.send_image(&format!("{index}.png"), &picture).await;
    }
    neighbour.upload("0.png", &photo(0)).await;
    let images = server.info(&busy.session).await["image_count"].as_u64();
    assert!(
        images < Some(PICTURES as u64),
        "the neighbour has waited for all of them"
    );
    for _ in 0..PICTURES {
        busy.expect("ack").await;
    }
}

#[tokio::test]
async fn many_sessions_of_one_client_do_not_hold_up_another() {
    const SESSIONS: usize = 8;
    const PICTURES: usize = 4;
    let tokens = Tokens::new();
    let (busy, other) = (
        tokens.add("busy", "create,use").await,
        tokens.add("other", "create,use").await,
    );
    let server = tokens.server(&[]).await;
    let (session, token) = create(&server, &other).await;
    let mut neighbour = Client::with_token(&server, &session, &token).await;
    let picture = sized(4000, 4000);
    let mut clients = Vec::new();
    for _ in 0..SESSIONS {
        let (session, token) = create(&server, &busy).await;
        let mut client = Client::with_token(&server, &session, &token).await;
        for index in 0..PICTURES {
            client.send_image(&format!("{index}.png"), &picture).await;
        }
        clients.push(client);
    }
    neighbour.upload("0.png", &photo(0)).await;
    let mut decoded = 0;
    for client in &clients {
        let path = format!("/ws/session/{}", client.session);
        let info = with_token(&server, &busy, "GET", &path).await.json();
        decoded += info["image_count"].as_u64().expect("a number");
    }
    // An image waits for a turn three times. A session at a time, eight would come before it each time.
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    assert!(decoded <= 4 * cores + 4, "{decoded} pictures came first");
    for client in clients {
        client.vanish();
    }
}

/// A client of which most pictures wait to be decoded.
async fn with_waiting_pictures(server: &Server, picture: &[u8]) -> Client {
    let mut client = server.client("process_res=56").await;
    for index in 0..14 {
        client.send_image(&format!("{index}.png"), picture).await;
    }
    client.expect("ack").await;
    client
}

/// Checks that no more pictures are held than are being decoded, one for each core.
async fn expect_none_waits(server: &Server, picture: &[u8]) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let stats = server.get("/stats").await.json();
    let used = stats["memory"]["upload_buffer"]["used_bytes"].as_u64();
    // A picture is held in the place of its base64. Memory is taken in pieces of 256 KiB.
    let held = picture.len().div_ceil(3) * 4 + (512 << 10);
    assert!(used <= Some((cores * held) as u64), "{stats}");
}

#[tokio::test]
async fn pictures_of_a_deleted_session_are_not_decoded() {
    let server = Server::start(&[]).await;
    let mut neighbour = server.client("").await;
    let picture = sized(4000, 4000);
    let deleted = with_waiting_pictures(&server, &picture).await;
    let path = format!("/ws/session/{}", deleted.session);
    server.delete(&path).await;
    neighbour.upload("0.png", &photo(0)).await;
    expect_none_waits(&server, &picture).await;
}

#[tokio::test]
async fn pictures_of_a_client_that_has_left_do_not_hold_up_a_neighbour() {
    let server = Server::start(&[]).await;
    let mut neighbour = server.client("").await;
    let picture = sized(4000, 4000);
    let left = with_waiting_pictures(&server, &picture).await;
    let session = left.session.clone();
    drop(left);
    neighbour.upload("0.png", &photo(0)).await;
    // They are kept for the client, which may come back: its session has its turns.
    let images = server.info(&session).await["image_count"].as_u64();
    assert!(
        images < Some(14),
        "the neighbour has waited for all of them"
    );
}

/// A session whose client waits for a run over more images than are always finished.
async fn long_request(server: &Server, query: &str, request: &str) -> Client {
    let mut client = server.client(query).await;
    for index in 0..26 {
        let name = format!("{index}.png");
        client.upload(&name, &photo(index)).await;
    }
    client.send(json!({"type": request, "id": "long"})).await;
    client.inference_started().await;
    client
}

/// The answer to a client with one image.
async fn short_request(server: &Server) {
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    client.generate(true).await;
    client.result("delta").await;
}

#[tokio::test]
async fn a_run_over_many_images_makes_way_for_a_neighbour() {
    // It goes on until it is stopped.
    let server = Server::with_model("long", &["--long-turn", "1"]).await;
    let mut long = long_request(&server, "window=30", "generate").await;
    // Its turn has become longer by the second time.
    for _ in 0..2 {
        short_request(&server).await;
    }
    long.send(json!({"type": "cancel", "id": "long"})).await;
    let answer = long.answer().await.message;
    assert_eq!(answer["code"], "cancelled", "{answer}");
    let metrics = server.get("/metrics").await.text();
    let made_way = metrics.lines().find_map(|line| {
        let value = line.strip_prefix("pointstream_jobs_made_way_total ")?;
        value.parse::<u32>().ok()
    });
    assert!(made_way >= Some(1), "{made_way:?}");
}

#[tokio::test]
async fn a_final_run_that_makes_way_is_answered_from_the_map() {
    let server = Server::with_model("long", &["--long-turn", "1"]).await;
    let mut long = long_request(&server, "", "finalize").await;
    short_request(&server).await;
    let complete = long.result("complete").await;
    assert_eq!(complete.metadata()["num_frames"], 26);
    let shares: Vec<_> = complete
        .progress()
        .map(|progress| progress["progress"].as_f64())
        .collect();
    assert!(shares.is_sorted(), "progress falls: {shares:?}");
}
