//! Progress while a model runs, and that other requests do not wait for the model.

use serde_json::json;

use crate::support::client::Client;
use crate::support::pictures::photo;
use crate::support::server::Server;

/// Number of frames; the slow model works for seconds on them.
const FRAMES: u32 = 6;

async fn busy_client(server: &Server) -> Client {
    let mut client = server.client("").await;
    for index in 0..FRAMES {
        client.upload(&format!("{index}.png"), &photo(index)).await;
    }
    client.generate(true).await;
    client.inference_started().await;
    client
}

#[tokio::test]
async fn progress_is_real_and_never_falls() {
    let server = Server::with_model("slow", &[]).await;
    let mut client = server.client("").await;
    for index in 0..FRAMES {
        client.upload("x.png", &photo(index)).await;
    }
    client.send(json!({"type": "finalize"})).await;
    let answer = client.result("complete").await;

    let stages = ["loading_model", "inference", "exporting", "finalizing"];
    let order: Vec<usize> = answer
        .progress()
        .map(|message| {
            let stage = message["stage"].as_str().expect("a stage");
            let position = stages.iter().position(|known| *known == stage);
            position.unwrap_or_else(|| panic!("no such stage: {stage}"))
        })
        .collect();
    assert!(order.is_sorted(), "{order:?}");
    let mut seen = order.clone();
    seen.dedup();
    assert_eq!(seen, [0, 1, 2, 3]);

    let progress: Vec<f64> = answer
        .progress()
        .map(|message| message["progress"].as_f64().expect("a number"))
        .collect();
    assert!(progress.is_sorted(), "{progress:?}");
    assert!(progress.iter().all(|one| (0.0..=1.0).contains(one)));
    let steps = progress.windows(2).filter(|pair| pair[0] < pair[1]);
    assert!(steps.count() >= 4, "it moves: {progress:?}");

    // Progress counts frames up to the last one, with intermediate counts.
    let counts: Vec<(u32, u32)> = answer
        .progress()
        .filter(|message| message["stage"] == "inference")
        .filter_map(|message| {
            let text = message["message"]
                .as_str()?
                .strip_prefix("Processing frame ")?;
            let (done, all) = text.split_once('/')?;
            Some((done.parse().ok()?, all.parse().ok()?))
        })
        .collect();
    assert!(counts.is_sorted(), "{counts:?}");
    assert!(counts.iter().all(|(_, all)| *all == FRAMES), "{counts:?}");
    assert_eq!(counts.last(), Some(&(FRAMES, FRAMES)));
    assert!(counts.len() > 1, "{counts:?}");
    for message in answer.progress() {
        let fields = message.as_object().expect("an object");
        assert_eq!(fields.len(), 4, "{message}");
    }
}

#[tokio::test]
async fn everything_else_is_answered_while_a_model_runs() {
    let server = Server::with_model("slow", &[]).await;
    let mut other = server.client("").await;
    let mut busy = busy_client(&server).await;

    // On the same socket: pings and an upload.
    busy.send(json!({"type": "ping"})).await;
    let (before, _) = busy.up_to(&["pong"]).await;
    assert!(before.iter().all(|message| message["type"] == "progress"));
    busy.send_image("meanwhile.png", &photo(40)).await;
    let (before, ack) = busy.up_to(&["ack"]).await;
    assert!(before.iter().all(|message| message["type"] == "progress"));
    assert_eq!(ack["image_count"], FRAMES + 1);
    // In another session: an upload and a ping.
    other.upload("other.png", &photo(0)).await;
    other.expect_quiet().await;
    // All REST endpoints respond, and report the running job.
    for path in ["/healthz", "/readyz", "/info", "/ws/sessions"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let tree = server.get("/actors").await.text();
    assert!(tree.contains("\"reconstruct\""), "{tree}");
    assert!(tree.contains(&busy.session), "{tree}");
    let info = server.info(&busy.session).await;
    assert_eq!(
        info["status"], "processing",
        "the generation ended too early for this test"
    );
    assert_eq!(info["image_count"], FRAMES + 1);

    let answer = busy.result("delta").await;
    // An image that arrived during the generation is not part of it.
    assert_eq!(answer.message["image_count"], FRAMES);
    assert_eq!(answer.metadata()["num_frames"], FRAMES);
    assert_eq!(server.info(&busy.session).await["status"], "active");
}

#[tokio::test]
async fn a_running_session_can_be_deleted() {
    let server = Server::with_model("slow", &[]).await;
    let busy = busy_client(&server).await;
    let session = busy.session.clone();
    let reply = server.delete(&format!("/ws/session/{session}")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        server.get(&format!("/ws/session/{session}")).await.status,
        404
    );
    assert_eq!(server.files(), Vec::<String>::new());
    // The worker is free for others.
    let mut other = server.client("").await;
    other.upload("0.png", &photo(0)).await;
    other.generate(true).await;
    other.result("delta").await;
    assert_eq!(
        server
            .files()
            .iter()
            .filter(|file| file.contains(&session))
            .count(),
        0
    );
}
