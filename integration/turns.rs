//! Sessions take turns at what they share.

use crate::support::pictures::{photo, sized};
use crate::support::server::Server;

#[tokio::test]
async fn many_large_pictures_do_not_hold_up_a_neighbour() {
    const PICTURES: usize = 14;
    let server = Server::start(&[]).await;
    let mut neighbour = server.client("").await;
    // A few kB that take a while to be decoded.
    let picture = sized(6000, 6000);
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
async fn pictures_of_a_deleted_session_are_not_decoded() {
    const PICTURES: usize = 14;
    let server = Server::start(&[]).await;
    let mut neighbour = server.client("").await;
    let picture = sized(6000, 6000);
    let mut deleted = server.client("process_res=56").await;
    for index in 0..PICTURES {
        deleted.send_image(&format!("{index}.png"), &picture).await;
    }
    deleted.expect("ack").await;
    server
        .delete(&format!("/ws/session/{}", deleted.session))
        .await;
    neighbour.upload("0.png", &photo(0)).await;
    // Only those that were being decoded still hold memory, one for each core.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let stats = server.get("/stats").await.json();
    let used = stats["memory"]["upload_buffer"]["used_bytes"].as_u64();
    assert!(used <= Some((cores * picture.len()) as u64), "{stats}");
}
