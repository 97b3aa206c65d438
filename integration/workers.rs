//! Worker crashes and failed model calls.

use serde_json::{Value, json};

use crate::support::pictures::{black, photo};
use crate::support::server::Server;
use crate::support::until;

/// All actors of this kind in the tree.
fn actors<'a>(tree: &'a Value, kind: &str) -> Vec<&'a Value> {
    let children = tree["children"].as_array().expect("a list");
    let mut found: Vec<_> = children
        .iter()
        .flat_map(|child| actors(child, kind))
        .collect();
    if tree["kind"] == kind {
        found.push(tree);
    }
    found
}

#[tokio::test]
async fn a_killed_worker_is_restarted_and_its_job_answered() {
    let server = Server::with_model("slow", &[]).await;
    let mut bystander = server.client("").await;
    bystander.upload("b.png", &photo(7)).await;
    let mut client = server.client("").await;
    for index in 0..4 {
        client.upload("x.png", &photo(index)).await;
    }
    client.generate(true).await;
    client.inference_started().await;

    let reply = server.post("/actors/workers/0/restart").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    // Other sessions are not affected.
    bystander.expect_quiet().await;

    let answer = client.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], 4);
    let progress: Vec<_> = answer
        .progress()
        .filter_map(|message| message["progress"].as_f64())
        .collect();
    assert!(
        progress.is_sorted(),
        "progress must not decrease: {progress:?}"
    );
    // Stages do not go back either: the model already runs.
    let order = ["inference", "exporting", "finalizing"];
    let stages = answer.progress().map(|message| {
        let stage = message["stage"].as_str().expect("a stage");
        let place = order.iter().position(|known| *known == stage);
        place.unwrap_or_else(|| panic!("{stage} comes before inference"))
    });
    assert!(stages.is_sorted(), "stages must not go back");
    client.expect_quiet().await;

    let tree = server.get("/actors").await.json();
    let workers = actors(&tree, "worker");
    assert_eq!(workers.len(), 1);
    assert!(workers[0]["restarts"].as_u64() >= Some(1), "{}", workers[0]);
    // Only this worker was restarted.
    for session in actors(&tree, "session") {
        assert_eq!(session["restarts"], 0, "{session}");
    }
    bystander.generate(true).await;
    bystander.result("delta").await;
}

#[tokio::test]
async fn a_worker_is_not_restarted_again_and_again() {
    let server = Server::with_model("slow", &[]).await;
    let mut client = server.client("").await;
    // Long enough to be killed while it runs, also on a busy machine.
    for index in 0..8 {
        client.upload("x.png", &photo(index)).await;
    }
    client.generate(true).await;
    client.inference_started().await;
    let restart = async || server.post("/actors/workers/0/restart").await;
    let mut statuses = Vec::new();
    for _ in 0..7 {
        let reply = restart().await;
        reply.json();
        statuses.push(reply.status);
        if reply.status == 429 {
            assert!(reply.header("retry-after").is_some());
        }
    }
    assert_eq!(statuses[0], 200);
    assert!(
        statuses[1..]
            .iter()
            .all(|status| [409, 429].contains(status)),
        "{statuses:?}"
    );
    // One restart, which does not count as a failure of the job.
    client.result("delta").await;
    let tree = server.get("/actors").await.json();
    assert_eq!(actors(&tree, "worker")[0]["restarts"], 1);
    // Also when it is ready again.
    assert_eq!(restart().await.status, 429);
}

#[tokio::test]
async fn there_is_no_such_worker() {
    let server = Server::start(&[]).await;
    for index in ["1", "99999999999999999999", "x", "-1", "+0", "00"] {
        let reply = server
            .post(&format!("/actors/workers/{index}/restart"))
            .await;
        assert!(
            reply.status == 404 || reply.status == 422,
            "{index}: {}",
            reply.status
        );
        reply.detail();
    }
}

#[tokio::test]
async fn a_failing_model_call_is_an_error_of_its_session_alone() {
    let server = Server::with_model("raises_on_black", &[]).await;
    let mut failing = server.client("").await;
    let mut other = server.client("").await;
    failing.upload("black.png", &black()).await;
    failing.upload("bright.png", &photo(1)).await;
    other.upload("bright.png", &photo(2)).await;
    for kind in [
        json!({"type": "generate", "incremental": true}),
        json!({"type": "finalize"}),
    ] {
        failing.send(kind).await;
        let answer = failing.answer().await;
        assert_eq!(answer.message["type"], "error");
        let text = answer.message["message"].as_str().expect("text");
        assert!(
            text.contains("black"),
            "the error must contain the model's message: {text}"
        );
        let info = server.info(&failing.session).await;
        assert_eq!(info["status"], "error");
        let error = info["error_message"]
            .as_str()
            .expect("the error of the session");
        assert!(error.contains("black"), "{error}");
        failing.expect_quiet().await;

        other.generate(true).await;
        other.result("delta").await;
        assert_eq!(server.info(&other.session).await["status"], "active");
    }
    // The failed session still takes images, and it was not finalized.
    failing.upload("more.png", &photo(3)).await;
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn many_failures_leave_the_service_whole() {
    let server = Server::with_model("raises_on_black", &[]).await;
    let mut failing = server.client("").await;
    failing.upload("black.png", &black()).await;
    for _ in 0..5 {
        failing.generate(true).await;
        assert_eq!(failing.answer().await.message["type"], "error");
    }
    until("a worker", async || {
        (server.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    let mut other = server.client("").await;
    other.upload("bright.png", &photo(2)).await;
    other.generate(true).await;
    other.result("delta").await;
}

#[tokio::test]
async fn the_tree_shows_every_actor() {
    let server = Server::with_model("slow", &["--workers-per-device", "2"]).await;
    let idle = server.session("").await;
    let mut busy = server.client("").await;
    for index in 0..4 {
        busy.upload("x.png", &photo(index)).await;
    }
    busy.generate(true).await;
    busy.inference_started().await;

    let tree = server.get("/actors").await.json();
    assert_eq!(tree["kind"], "supervisor");
    assert_eq!(actors(&tree, "pool").len(), 1);
    let workers = actors(&tree, "worker");
    assert_eq!(workers.len(), 2);
    let sessions = actors(&tree, "session");
    let mut names: Vec<_> = sessions
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    names.sort_unstable();
    let mut expected = [idle.as_str(), busy.session.as_str()];
    expected.sort_unstable();
    assert_eq!(names, expected);
    for kind in ["supervisor", "pool", "worker", "session"] {
        for actor in actors(&tree, kind) {
            assert!(
                actor["id"].is_string() && actor["state"].is_string(),
                "{actor}"
            );
            assert!(actor["age_seconds"].is_f64(), "{actor}");
            assert!(actor["messages_handled"].is_u64(), "{actor}");
            assert!(actor["mailbox_depth"].is_u64(), "{actor}");
            assert!(actor["restarts"].is_u64(), "{actor}");
        }
    }
    let job = workers
        .iter()
        .map(|worker| &worker["current_job"])
        // The other worker may still encode a frame ahead of time.
        .find(|job| job["kind"] == "reconstruct");
    let job = job.expect("a worker that reconstructs");
    assert_eq!(job["session_id"], busy.session.as_str());
    assert_eq!(job["frames"], 4);
    assert!(job["running_seconds"].is_f64());
    busy.result("delta").await;
    // Ended actors leave the tree.
    server.delete(&format!("/ws/session/{idle}")).await;
    let tree = server.get("/actors").await.json();
    assert_eq!(actors(&tree, "session").len(), 1);
}
