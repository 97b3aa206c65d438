//! Meshes that cannot be made are refused with what would help. What is in a mesh, see `integration/formats/`.

use crate::support::client::Client;
use crate::support::pictures::{at, blue};
use crate::support::rest::Reply;
use crate::support::server::Server;

const MESHES: [&str; 3] = ["mesh_glb", "mesh_ply", "mesh_obj"];

/// A session with a result of these images.
async fn with_result(server: &Server, images: &[Vec<u8>]) -> Client {
    let mut client = server.client("").await;
    for (number, image) in images.iter().enumerate() {
        client.upload(&format!("{number}.png"), image).await;
    }
    client.generate(true).await;
    client.result("delta").await;
    client
}

async fn fetch(server: &Server, client: &Client, format: &str) -> Reply {
    let path = format!("/ws/session/{}/result?format={format}", client.session);
    server.get(&path).await
}

#[tokio::test]
async fn a_result_without_a_surface_has_no_mesh() {
    let server = Server::with_model("extending", &[]).await;
    // None of them can be placed.
    let client = with_result(&server, &[blue(100), blue(101), blue(102)]).await;
    for format in MESHES {
        let reply = fetch(&server, &client, format).await;
        assert_eq!(reply.status, 422, "{}", reply.text());
        assert_eq!(reply.json()["code"], "no_point_cloud");
        let detail = reply.detail();
        assert!(detail.contains("take more photos"), "{detail}");
        assert!(detail.contains(format), "{detail}");
    }
    // Points are written, although there are none.
    for format in ["ply", "e57"] {
        assert_eq!(
            fetch(&server, &client, format).await.status,
            200,
            "{format}"
        );
    }
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("kind=\"cloud\""), "{metrics}");
}

#[tokio::test]
async fn a_mesh_needs_memory_as_jobs_do() {
    let server = Server::with_model("extending", &["--job-memory-mb", "25"]).await;
    let client = with_result(&server, &[at(0), at(1), at(2)]).await;
    let reply = fetch(&server, &client, "mesh_glb").await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert_eq!(reply.json()["code"], "out_of_memory");
    let detail = reply.detail();
    // 25 MiB.
    assert!(detail.contains("the server has 26 MB"), "{detail}");
    assert!(detail.contains("smaller process_res"), "{detail}");
    assert_eq!(fetch(&server, &client, "ply").await.status, 200);

    let server = Server::with_model("extending", &["--job-memory-mb", "250"]).await;
    let client = with_result(&server, &[at(0), at(1), at(2)]).await;
    let reply = fetch(&server, &client, "mesh_glb").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let again = fetch(&server, &client, "mesh_glb").await;
    assert!(again.body == reply.body, "it is kept");
}
