//! More result files requested at once than the server writes.

use std::num::NonZeroUsize;

use futures_util::future::join_all;

use crate::support::gate::Gate;
use crate::support::pictures::photo;
use crate::support::server::Server;
use crate::support::until;

/// Creates a session with a result; returns it and the path of a format that is not written yet.
async fn unwritten(server: &Server) -> (String, String) {
    let mut client = server.client("").await;
    client.upload("x.png", &photo(1)).await;
    client.generate(true).await;
    client.result("delta").await;
    let path = format!("/ws/session/{}/result?format=colmap", client.session);
    (client.session, path)
}

#[tokio::test]
async fn the_time_before_its_turn_is_not_the_time_of_writing() {
    let server = Server::start(&["--job-timeout", "8"]).await;
    // Occupy all slots for writing: one per two cores.
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let gate = Gate::new();
    let mut held = Vec::new();
    for _ in 0..cores.div_ceil(2) {
        let (session, path) = unwritten(&server).await;
        gate.bar(&server.session_folder(&session).join("1.rgb"));
        held.push(path);
    }
    let (_, waiting) = unwritten(&server).await;
    let others = join_all(held.iter().map(|path| server.get(path)));
    let (others, late) = tokio::join!(others, async {
        until("the start of the other files", async || {
            let files = server.files();
            let begun = files
                .iter()
                .filter(|file| file.ends_with("colmap.zip.part"));
            (begun.count() == held.len()).then_some(())
        })
        .await;
        server.get(&waiting).await
    });
    for reply in others {
        assert_eq!(reply.status, 504, "{}", reply.text());
        assert!(reply.detail().contains("within 8 s"), "{}", reply.text());
    }
    // The writing of this one has not started.
    assert_eq!(late.status, 503, "{}", late.text());
    assert!(late.header("retry-after").is_some());
    drop(gate.open());
    until("its turn", async || {
        (server.get(&waiting).await.status == 200).then_some(())
    })
    .await;
}
