//! The memory of the server stays within its budgets, whatever clients send.

use serde_json::json;

use crate::support::client::Client;
use crate::support::pictures::sized;
use crate::support::scene::Scene;
use crate::support::server::{Server, new_data_dir};

const MIB: u64 = 1 << 20;
/// Budgets of the server in MiB: uploads, decoding, encoded frames, jobs of the model.
const UPLOADS: u64 = 32;
const DECODING: u64 = 256;
const FEATURES: u64 = 64;
const JOBS: u64 = 512;
/// A server with the embedded model.
async fn server() -> Server {
    let options = [
        ("--upload-buffer-mb", UPLOADS),
        ("--decode-memory-mb", DECODING),
        ("--feature-cache-mb", FEATURES),
        ("--job-memory-mb", JOBS),
        ("--max-image-bytes", 8 * MIB),
    ];
    let options = options.map(|(name, value)| format!("{name}={value}"));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let server = Server::start_in(
        new_data_dir(),
        &[&["--model", "mvs"], &options[..]].concat(),
    )
    .await;
    crate::support::until("a worker", async || {
        (server.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    server
}

async fn client(server: &Server, query: &str) -> Client {
    let reply = server.post(&format!("/ws/session/create?{query}")).await;
    let session = reply.json()["session_id"]
        .as_str()
        .expect("an identifier")
        .to_owned();
    Client::connect(server, &session).await
}

#[tokio::test]
async fn many_images_at_the_largest_size_stay_within_the_budgets() {
    let server = server().await;
    let idle = server.resident_bytes();
    // Ten squares of the resolution, of images that are small as files. A call of the model that encodes
    // one of them needs 0.7 GB.
    let largest = sized(2520, 252);
    let query = "process_res=504&process_res_method=lower_bound_resize";
    let mut attacker = client(&server, query).await;
    for number in 0..8 {
        attacker
            .send_image(&format!("{number}.png"), &largest)
            .await;
    }
    for _ in 0..8 {
        attacker.expect("ack").await;
    }
    attacker.send(json!({"type": "generate"})).await;
    let answer = attacker.answer().await;
    assert_eq!(answer.message["type"], "error");
    let text = answer.message["message"].as_str().expect("a text");
    assert!(text.starts_with("Out of memory: 8 images"), "{text}");
    assert!(
        text.contains("fit") || text.contains("use a smaller"),
        "{text}"
    );
    let peak = server.peak_resident_bytes() - idle;
    // No job fits, so there is nothing but uploads and decoding.
    assert!(peak < (UPLOADS + DECODING) * MIB, "{} MiB", peak / MIB);

    // Others get their results.
    let scene = Scene::load();
    let mut neighbour = client(&server, "process_res=252").await;
    for view in 0..4 {
        neighbour
            .upload(&scene.names[view], &scene.photo(view))
            .await;
    }
    neighbour.send(json!({"type": "finalize"})).await;
    neighbour.result("complete").await;
    let peak = server.peak_resident_bytes() - idle;
    let budgets = UPLOADS + DECODING + FEATURES + JOBS;
    assert!(peak < budgets * MIB, "{} MiB", peak / MIB);
    let stats = server.get("/stats").await.json();
    for budget in ["decoding", "jobs", "upload_buffer"] {
        assert_eq!(stats["memory"][budget]["used_bytes"], 0, "{budget}");
    }
    assert_eq!(stats["memory"]["jobs"]["limit_bytes"], JOBS * MIB);
}

#[tokio::test]
async fn an_image_that_needs_all_memory_for_decoding_is_refused() {
    let options = ["--decode-memory-mb", "16"];
    let server = Server::with_model("flat", &options).await;
    let mut client = server.client("").await;
    client.send_image("large.png", &sized(2000, 2000)).await;
    let text = client
        .expect_error(&[
            "The image of 2000x2000 needs",
            "the server has 16 MB",
            "smaller image",
        ])
        .await;
    assert!(text.contains("decoded"), "{text}");
    client.upload("small.png", &sized(200, 200)).await;
    let metrics = server.get("/metrics").await.text();
    let limit = format!("pointstream_decode_memory_limit_bytes {}", 16 * MIB);
    assert!(metrics.contains(&limit), "{metrics}");
    assert!(
        metrics.contains("pointstream_decode_memory_used_bytes 0"),
        "{metrics}"
    );
}
