//! Metrics for operators: `/metrics` and `/stats`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::archives::repository;
use crate::support::pictures::photo;
use crate::support::scrape::Scrape;
use crate::support::server::Server;
use crate::support::until;

#[tokio::test]
async fn what_happens_is_counted() {
    let server = Server::start(&[]).await;
    let before = Scrape::of(&server).await;
    let mut client = server.client("").await;
    for index in 0..3 {
        client.upload("x.png", &photo(index)).await;
    }
    client.send_image("no.png", b"no picture").await;
    client.expect_error(&[]).await;
    client.send(json!({"type": "nonsense"})).await;
    client.expect_error(&[]).await;
    client.generate(true).await;
    client.result("delta").await;
    client.expect_quiet().await;
    let after = Scrape::of(&server).await;

    let risen = |name: &str, labels: &[(&str, &str)]| {
        after.value(name, labels) - before.value(name, labels)
    };
    let received = |kind| {
        risen(
            "pointstream_messages_total",
            &[("direction", "received"), ("type", kind)],
        )
    };
    let sent = |kind| {
        risen(
            "pointstream_messages_total",
            &[("direction", "sent"), ("type", kind)],
        )
    };
    for (kind, count) in [
        ("image", 4.0),
        ("generate", 1.0),
        ("finalize", 0.0),
        ("ping", 1.0),
        ("invalid", 1.0),
    ] {
        assert_eq!(received(kind), count, "{kind}");
    }
    for (kind, count) in [
        ("connected", 1.0),
        ("ack", 3.0),
        ("delta", 1.0),
        ("complete", 0.0),
        ("error", 2.0),
    ] {
        assert_eq!(sent(kind), count, "{kind}");
    }
    assert!(sent("progress") >= 3.0);
    assert_eq!(
        risen("pointstream_images_total", &[("outcome", "accepted")]),
        3.0
    );
    assert_eq!(
        risen("pointstream_images_total", &[("outcome", "refused")]),
        1.0
    );
    assert_eq!(risen("pointstream_errors_total", &[("kind", "image")]), 1.0);
    assert_eq!(
        risen("pointstream_errors_total", &[("kind", "message")]),
        1.0
    );
    assert_eq!(
        risen(
            "pointstream_generations_total",
            &[("kind", "delta"), ("outcome", "succeeded")]
        ),
        1.0
    );
    for stage in [
        "queued", "frames", "encode", "model", "cloud", "glb", "store",
    ] {
        let stage = [("stage", stage)];
        let count = risen(
            "pointstream_generation_stage_duration_seconds_count",
            &stage,
        );
        assert_eq!(count, 1.0, "{stage:?}");
    }
    assert_eq!(
        risen("pointstream_generation_duration_seconds_count", &[]),
        1.0
    );
    assert!(risen("pointstream_generation_duration_seconds_sum", &[]) > 0.0);
    let jobs = [("kind", "reconstruct"), ("outcome", "succeeded")];
    assert_eq!(risen("pointstream_jobs_total", &jobs), 1.0);
    assert!(risen("pointstream_worker_busy_seconds_total", &[("worker", "0")]) > 0.0);
    let create = [
        ("method", "POST"),
        ("route", "/ws/session/create"),
        ("status", "200"),
    ];
    assert_eq!(after.value("pointstream_http_requests_total", &create), 1.0);
    assert_eq!(
        after.value(
            "pointstream_http_request_duration_seconds_count",
            &create[..2]
        ),
        1.0
    );
    // The images were sent as base64, and the result was received.
    assert!(risen("pointstream_received_bytes_total", &[]) > 3.0 * photo(0).len() as f64);
    assert!(risen("pointstream_sent_bytes_total", &[]) > 1000.0);
    assert!(risen("process_cpu_seconds_total", &[]) >= 0.0);
    assert!(after.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(after.value("process_open_fds", &[]) > 3.0);
}

#[tokio::test]
async fn what_is_there_is_shown() {
    let server = Server::with_model("slow", &["--max-sessions", "9"]).await;
    let mut busy = server.client("").await;
    let _idle = server.client("").await;
    let pictures = [photo(0), photo(1), photo(2), photo(3)];
    for picture in &pictures {
        busy.upload("x.png", picture).await;
    }
    busy.generate(false).await;
    busy.inference_started().await;
    let during = Scrape::of(&server).await;
    let states = |scrape: &Scrape| {
        ["active", "processing", "completed", "error"]
            .map(|state| scrape.value("pointstream_sessions", &[("state", state)]))
    };
    assert_eq!(states(&during), [1.0, 1.0, 0.0, 0.0]);
    let bytes: usize = pictures.iter().map(Vec::len).sum();
    assert_eq!(during.value("pointstream_stored_images", &[]), 4.0);
    assert_eq!(
        during.value("pointstream_stored_image_bytes", &[]),
        bytes as f64
    );
    assert_eq!(during.value("pointstream_websockets", &[]), 2.0);
    assert!(during.value("pointstream_connections", &[]) >= 3.0);
    assert_eq!(
        during.value("pointstream_workers", &[("state", "busy")]),
        1.0
    );
    assert_eq!(during.label("pointstream_build_info", "model"), "slow");
    assert_eq!(
        during.label("pointstream_build_info", "version"),
        env!("CARGO_PKG_VERSION")
    );

    // A deleted session no longer counts in the gauges, even in the middle of a generation.
    let session = busy.session.clone();
    server.delete(&format!("/ws/session/{session}")).await;
    let after = until("the session's end", async || {
        let scrape = Scrape::of(&server).await;
        let cancelled = [("outcome", "cancelled")];
        let counted = scrape.value("pointstream_generations_total", &cancelled) > 0.0
            && scrape.value("pointstream_jobs_total", &cancelled) > 0.0
            && scrape.value("pointstream_websockets", &[]) < 2.0;
        counted.then_some(scrape)
    })
    .await;
    assert_eq!(states(&after), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(after.value("pointstream_stored_images", &[]), 0.0);
    assert_eq!(after.value("pointstream_stored_image_bytes", &[]), 0.0);
    assert_eq!(
        after.value("pointstream_upload_buffer_used_bytes", &[]),
        0.0
    );
    let deleted = [("reason", "deleted")];
    assert_eq!(
        after.value("pointstream_sessions_ended_total", &deleted),
        1.0
    );
}

#[tokio::test]
async fn labels_have_no_words_of_clients() {
    let server = Server::start(&[]).await;
    let session = server.session("").await;
    for path in ["/nothing/at/all", "/ws/session/made-up", "/%00"] {
        server.get(path).await;
    }
    server.info(&session).await;
    let mut client = server.client("").await;
    client.send(json!({"type": "made-up"})).await;
    client.expect_error(&[]).await;
    let scrape = Scrape::of(&server).await;
    for label in ["route", "type", "kind", "method", "reason", "state"] {
        for value in scrape.label_values(label) {
            let words = ["made-up", "nothing", "%00", &session, &client.session];
            for word in words {
                assert!(!value.contains(word), "{label}={value}");
            }
        }
    }
    let unknown = [("route", "unknown"), ("status", "404")];
    assert_eq!(
        scrape.value("pointstream_http_requests_total", &unknown),
        2.0
    );
    let shown = [("route", "/ws/session/{session_id}"), ("status", "404")];
    assert_eq!(scrape.value("pointstream_http_requests_total", &shown), 1.0);
}

#[tokio::test]
async fn a_worker_that_dies_is_counted() {
    let server = Server::start(&[]).await;
    until("readiness", async || {
        (server.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    let reply = server.post("/actors/workers/0/restart").await;
    assert_eq!(reply.status, 200);
    until("the restart to be counted", async || {
        let scrape = Scrape::of(&server).await;
        let worker = [("worker", "0"), ("device", "cpu")];
        (scrape.value("pointstream_worker_restarts_total", &worker) == 1.0).then_some(())
    })
    .await;
    let stats = server.get("/stats").await.json();
    assert_eq!(stats["totals"]["worker_restarts"], 1);
    assert_eq!(stats["errors"][0]["kind"], "worker");
}

#[tokio::test]
async fn the_figures_in_short() {
    let server = Server::start(&["--queue-capacity", "17", "--upload-buffer-mb", "64"]).await;
    let fresh = server.get("/stats").await.json();
    assert_eq!(fresh["latencies"], json!({"generations": 0, "seconds": {}}));
    assert_eq!(fresh["errors"], json!([]));

    let mut client = server.client("").await;
    let picture = photo(0);
    client.upload("x.png", &picture).await;
    client.send_image("no.png", b"no picture").await;
    client.expect_error(&[]).await;
    client.generate(false).await;
    let answer = client.result("complete").await;
    let stats = server.get("/stats").await.json();
    let totals = &stats["totals"];
    for (name, value) in [
        ("sessions", 1),
        ("images", 1),
        ("image_bytes", picture.len()),
        ("generations_succeeded", 1),
        ("generations_failed", 0),
        ("generations_cancelled", 0),
        ("messages_received", 3),
        ("errors", 1),
    ] {
        assert_eq!(totals[name], json!(value), "{name}");
    }
    assert!(totals["bytes_received"].as_u64() > Some(picture.len() as u64));
    // With one generation all quantiles are its time.
    let timings = answer.metadata()["timings"].as_object().expect("an object");
    for (stage, seconds) in timings {
        let latency = &stats["latencies"]["seconds"][stage];
        assert_eq!(latency, &json!({"p50": seconds, "p95": seconds}), "{stage}");
    }
    assert_eq!(stats["latencies"]["generations"], 1);
    assert_eq!(stats["queue"], json!({"jobs": 0, "capacity": 17}));
    assert_eq!(stats["connections"]["websockets"], 1);
    let memory = &stats["memory"];
    assert_eq!(memory["upload_buffer"]["limit_bytes"], 64 << 20);
    assert!(memory["resident_bytes"].as_u64() > Some(1 << 20));
    let error = &stats["errors"][0];
    assert_eq!(error["kind"], "image");
    assert_eq!(error["session_id"], client.session.as_str());
    let (then, now) = (error["time"].as_f64(), stats["time"].as_f64());
    assert!(then > Some(1.5e9) && then <= now, "{error}");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );

    let worker = &server.get("/actors").await.json()["children"][0]["children"][0];
    assert!(worker["busy_seconds"].as_f64() > Some(0.0), "{worker}");
}

#[tokio::test]
async fn only_so_many_errors_are_remembered() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.send_image("bad.png", b"no image").await;
    client.expect_error(&[]).await;
    for index in 0..60 {
        client
            .send(json!({"type": format!("unknown-{index}")}))
            .await;
        client.expect_error(&[]).await;
    }
    let stats = server.get("/stats").await.json();
    let errors = stats["errors"].as_array().expect("a list");
    // Many of one kind do not push those of another out.
    assert_eq!(errors.len(), 11);
    assert_eq!(errors[10]["kind"], "image");
    assert_eq!(stats["totals"]["errors"], 61);
    let newest: &Value = &errors[0]["message"];
    assert!(
        newest
            .as_str()
            .is_some_and(|text| text.contains("unknown-59"))
    );
}

#[tokio::test]
async fn the_dashboard_for_grafana_shows_metrics_that_there_are() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.upload("x.png", &photo(0)).await;
    client.generate(true).await;
    client.result("delta").await;
    let scrape = Scrape::of(&server).await;
    let there = scrape.names();

    let path = repository().join("docs/grafana/pointstream.json");
    let text = std::fs::read_to_string(path).expect("the dashboard is there");
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let mut expressions = Vec::new();
    collect_expressions(&dashboard, &mut expressions);
    let mut shown = BTreeSet::new();
    for expression in &expressions {
        for word in
            expression.split(|character: char| !(character.is_alphanumeric() || character == '_'))
        {
            if word.starts_with("pointstream_") || word.starts_with("process_") {
                assert!(there.contains(word), "there is no {word}: {expression}");
                shown.insert(word);
            }
        }
    }
    assert!(expressions.len() > 30, "{}", expressions.len());
    // The dashboard shows every metric, except for redundant ones.
    let families = there
        .iter()
        .map(|name| name.trim_end_matches("_bucket").trim_end_matches("_count"))
        .map(|name| name.trim_end_matches("_sum"));
    for family in families.collect::<BTreeSet<_>>() {
        let known = [
            "process_virtual_memory_bytes",
            "process_threads",
            "process_start_time_seconds",
        ];
        let is_shown = shown.iter().any(|name| name.starts_with(family));
        assert!(is_shown || known.contains(&family), "{family} is not shown");
    }
}

/// Collects the expressions of panels and variables.
fn collect_expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("expr" | "definition", Value::String(text)) => found.push(text.clone()),
                    ("datasource", Value::Object(source)) => {
                        assert_eq!(source["uid"], "${datasource}", "a fixed data source");
                    }
                    _ => collect_expressions(value, found),
                }
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_expressions(item, found)),
        _ => {}
    }
}
