//! Sessions with more images than one run of the model takes. The model `extending` places a frame by
//! its colours, and its report shows the sizes of its runs.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::geometry::numbers;
use crate::support::glb;
use crate::support::pictures::{at, black, blue, colored_image, green_at, png};
use crate::support::rest::{FORM, form, request_with};
use crate::support::scrape::Scrape;
use crate::support::server::Server;
use crate::support::until;

/// The smallest window: 6 frames in the first, then 2 new ones beside 4 that are placed.
const WINDOW: &str = "window=6";

async fn start() -> Server {
    Server::with_model("extending", &[]).await
}

/// A running server with a model that takes a quarter of a second for each frame.
async fn start_slow() -> Server {
    Server::with_model("slow_extending", &[]).await
}

/// Uploads frames one after another along a line, named by their levels.
async fn upload(client: &mut Client, levels: std::ops::Range<u8>) {
    for level in levels {
        client.upload(&format!("{level}.png"), &at(level)).await;
    }
}

async fn delta(client: &mut Client) -> Answer {
    client.generate(true).await;
    client.result("delta").await
}

async fn finalize(client: &mut Client) -> Answer {
    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await
}

/// What the quality report says about each image, by one of its fields.
fn of_frames(metadata: &Value, field: &str) -> Vec<Value> {
    let frames = metadata["quality"]["frames"].as_array().expect("a list");
    frames.iter().map(|frame| frame[field].clone()).collect()
}

/// How many frames the run of the model had that placed each image, and how many of them were placed
/// already.
fn runs(answer: &Answer) -> Vec<(u64, u64)> {
    let total = of_frames(answer.metadata(), "observations");
    let placed = of_frames(answer.metadata(), "reprojection_error");
    let number = |value: &Value| value.as_f64().expect("a number") as u64;
    let pairs = total.iter().zip(&placed);
    pairs.map(|(all, old)| (number(all), number(old))).collect()
}

/// Where the registered frames are on the line, relative to the first one.
fn places(metadata: &Value) -> Vec<f64> {
    let registered = of_frames(metadata, "used");
    let matrices = metadata["extrinsics"].as_array().expect("a list");
    assert_eq!(matrices.len(), registered.len(), "no image was set aside");
    let used = matrices.iter().zip(&registered);
    let places = used.filter(|(_, used)| **used == true);
    let places: Vec<f64> = places.map(|(rows, _)| -numbers(rows)[3]).collect();
    places.iter().map(|place| place - places[0]).collect()
}

fn assert_places(metadata: &Value, levels: impl IntoIterator<Item = u8>) {
    let levels: Vec<u8> = levels.into_iter().collect();
    let found = places(metadata);
    assert_eq!(found.len(), levels.len(), "{found:?}");
    for (place, level) in found.iter().zip(&levels) {
        let expected = f64::from(level - levels[0]) / 10.0;
        assert!((place - expected).abs() < 1e-5, "{place} for {level}");
    }
}

/// Runs of the model that have ended this way.
async fn jobs(server: &Server, outcome: &str) -> f64 {
    let labels = [("kind", "reconstruct"), ("outcome", outcome)];
    Scrape::of(server)
        .await
        .value("pointstream_jobs_total", &labels)
}

/// Waits for so many runs of the model.
async fn until_jobs(server: &Server, outcome: &str, count: f64) {
    until("the runs of the model", async || {
        (jobs(server, outcome).await >= count).then_some(())
    })
    .await;
}

/// Waits until a worker runs the model for a session.
async fn until_busy(server: &Server) {
    until("a run of the model", async || {
        let tree = server.get("/actors").await.text();
        tree.contains("\"kind\":\"reconstruct\"").then_some(())
    })
    .await;
}

#[tokio::test]
async fn images_that_fit_one_window_are_one_run_of_the_model() {
    let server = start().await;
    let mut results = Vec::new();
    for query in [WINDOW, "", "window=6&finalize_mode=whole"] {
        let mut client = server.client(query).await;
        upload(&mut client, 1..7).await;
        let first = delta(&mut client).await;
        let last = finalize(&mut client).await;
        assert_eq!(runs(&last), [(6, 0); 6], "{query}");
        results.push((first.glb(), last.glb()));
    }
    assert!(results.iter().all(|result| *result == results[0]));
    assert_eq!(jobs(&server, "succeeded").await, 6.0);
}

#[tokio::test]
async fn a_long_stream_grows_window_by_window() {
    let server = start().await;
    let mut client = server.client("window=6&max_images=200").await;
    let mut earlier: Option<(Vec<Value>, glb::Contents)> = None;
    for step in 1..=10_u8 {
        let count = 20 * step;
        upload(&mut client, count - 20..count).await;
        // Windows of two new frames run without a request.
        let windows = 1 + (count - 6) / 2;
        let runs_ahead = step == 2;
        if runs_ahead {
            until_jobs(&server, "succeeded", windows.into()).await;
        }
        let answer = delta(&mut client).await;
        let metadata = answer.metadata();
        if runs_ahead {
            assert_eq!(metadata["timings"]["model"], 0.0);
            assert_eq!(metadata["timings"]["encode"], 0.0);
        }
        assert_eq!(metadata["num_frames"], count);
        assert_eq!(metadata["unregistered_frames"], json!([]));
        assert_eq!(
            metadata["quality"]["verdict"], "good",
            "{}",
            metadata["quality"]
        );
        assert_eq!(metadata["alignment"]["method"], "origin");
        assert_places(metadata, 0..count);
        let mut expected = vec![(6, 0); 6];
        expected.resize(count.into(), (6, 4));
        assert_eq!(runs(&answer), expected);

        let cameras = metadata["extrinsics"].as_array().expect("a list").clone();
        let contents = glb::read(&answer.glb());
        assert_eq!(metadata["num_points"], contents.points.len());
        if let Some((known, before)) = earlier {
            // What a client has seen never moves: points are in the order of the frames.
            assert_eq!(cameras[..known.len()], known);
            assert!(contents.points.len() > before.points.len());
            assert!(contents.points.starts_with(&before.points));
            assert!(contents.colours.starts_with(&before.colours));
        }
        earlier = Some((cameras, contents));
    }
    // No frame was computed twice.
    assert_eq!(jobs(&server, "succeeded").await, 98.0);
}

#[tokio::test]
async fn a_map_has_the_coordinates_of_results_before_it() {
    let server = start().await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client, 0..5).await;
    let small = delta(&mut client).await;
    upload(&mut client, 5..9).await;
    let large = delta(&mut client).await;
    assert_eq!(large.metadata()["aligned"], true);
    assert_places(large.metadata(), 0..9);
    let [small, large] = [small, large].map(|answer| glb::read(&answer.glb()).cameras);
    for ((_, before), (_, after)) in small.iter().zip(&large) {
        assert!((before - after).norm() < 1e-4, "{before} {after}");
    }
}

#[tokio::test]
async fn a_frame_that_belongs_nowhere_is_named_and_the_rest_goes_on() {
    let server = start().await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client, 0..7).await;
    client.upload("strange.png", &blue(99)).await;
    upload(&mut client, 7..12).await;
    let answer = delta(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(metadata["num_frames"], 13);
    assert_eq!(metadata["unregistered_frames"], json!(["strange.png"]));
    assert_eq!(metadata["quality"]["verdict"], "partial");
    assert_eq!(metadata["quality"]["reasons"], json!(["too_few_matches"]));
    let strange = &metadata["quality"]["frames"][7];
    assert_eq!(strange["name"], "strange.png");
    assert_eq!(strange["used"], false);
    assert_eq!(strange["reason"], "too_few_matches");
    assert_places(metadata, 0..12);
}

#[tokio::test]
async fn a_window_that_fails_is_an_error_of_the_request_that_needs_it() {
    let server = start().await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client, 1..7).await;
    assert_eq!(delta(&mut client).await.metadata()["num_frames"], 6);
    client.upload("7.png", &at(7)).await;
    client.upload("black.png", &black()).await;
    // It is not tried again and again while nobody asks.
    until_jobs(&server, "failed", 1.0).await;
    client.expect_quiet().await;
    client.generate(true).await;
    let answer = client.answer().await;
    assert_eq!(answer.message["type"], "error");
    let message = answer.message["message"].as_str().expect("text");
    assert!(message.contains("a frame is black"), "{message}");
    assert_eq!(server.info(&client.session).await["status"], "error");
    assert_eq!(jobs(&server, "failed").await, 2.0);
    client.expect_quiet().await;
}

/// A session with a frame that can be placed only after the frames behind it, and one that never
/// can.
async fn with_missed_frames(server: &Server, mode: &str, strange: bool) -> Client {
    let query = format!("window=6&finalize_mode={mode}");
    let mut client = server.client(&query).await;
    upload(&mut client, 0..7).await;
    client.upload("late.png", &green_at(7)).await;
    upload(&mut client, 8..10).await;
    let mut missed = vec!["late.png"];
    if strange {
        client.upload("strange.png", &blue(99)).await;
        missed.push("strange.png");
    }
    // A whole run over all frames finds the late one.
    let answer = delta(&mut client).await;
    assert_eq!(answer.metadata()["unregistered_frames"], json!(missed));
    client
}

#[tokio::test]
async fn refine_tries_missed_frames_once_more() {
    let server = start().await;
    let mut client = with_missed_frames(&server, "refine", false).await;
    let answer = finalize(&mut client).await;
    assert_eq!(answer.metadata()["unregistered_frames"], json!([]));
    assert_places(answer.metadata(), 0..10);
    // The last try had one frame beside four that were placed.
    assert_eq!(runs(&answer)[7], (5, 4));
    assert_eq!(runs(&answer)[8], (6, 4));
    assert_eq!(server.info(&client.session).await["status"], "completed");
    let mut client = with_missed_frames(&server, "refine", true).await;
    let before = jobs(&server, "succeeded").await;
    let answer = finalize(&mut client).await;
    let left = &answer.metadata()["unregistered_frames"];
    assert_eq!(left, &json!(["strange.png"]));
    assert_places(answer.metadata(), 0..10);
    assert_eq!(jobs(&server, "succeeded").await, before + 1.0, "one try");
}

#[tokio::test]
async fn whole_gives_the_model_all_images() {
    let server = start().await;
    let mut client = with_missed_frames(&server, "whole", true).await;
    let answer = finalize(&mut client).await;
    assert_eq!(runs(&answer), [(11, 0); 11]);
    assert_places(answer.metadata(), 0..10);
}

#[tokio::test]
async fn whole_does_not_run_windows_that_nobody_asks_for() {
    let server = start().await;
    let mut client = server.client("window=6&finalize_mode=whole").await;
    upload(&mut client, 0..12).await;
    let answer = finalize(&mut client).await;
    assert_eq!(runs(&answer), [(12, 0); 12]);
    assert_eq!(jobs(&server, "succeeded").await, 1.0);
}

#[tokio::test]
async fn auto_runs_the_model_over_all_images_unless_they_are_many() {
    let server = start().await;
    for strange in [false, true] {
        let mut client = with_missed_frames(&server, "auto", strange).await;
        let answer = finalize(&mut client).await;
        let frames = 10 + usize::from(strange);
        assert_eq!(runs(&answer), vec![(frames as u64, 0); frames]);
    }

    // They are too many.
    let mut client = server.client("window=6&max_images=121").await;
    client.upload("strange.png", &blue(99)).await;
    upload(&mut client, 0..120).await;
    let answer = finalize(&mut client).await;
    assert_eq!(answer.metadata()["num_frames"], 121);
    assert!(runs(&answer).iter().all(|(frames, _)| *frames <= 6));
    let left = &answer.metadata()["unregistered_frames"];
    assert_eq!(left, &json!(["strange.png"]));
    assert_places(answer.metadata(), 0..120);
}

#[tokio::test]
async fn a_request_with_all_images_is_one_run_unless_it_says_otherwise() {
    let server = start().await;
    let photos: Vec<Vec<u8>> = (0..9).map(at).collect();
    let parts = photos
        .iter()
        .map(|photo| ("images", Some("x.png"), &photo[..]));
    let body = form(&parts.collect::<Vec<_>>());
    for (query, run) in [("", 9), ("&finalize_mode=refine", 5)] {
        let url = format!(
            "{}/reconstruct?process_res=56&window=6&format=json{query}",
            server.base()
        );
        let reply = request_with("POST", &url, &[("Content-Type", FORM)], body.clone()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let observations = of_frames(&reply.json()["metadata"], "observations");
        assert_eq!(observations[8], run, "{query}");
    }
}

#[tokio::test]
async fn a_restarted_worker_goes_on_with_the_map() {
    for in_a_window in [true, false] {
        let server = start_slow().await;
        let restart = async || {
            let reply = server.post("/actors/workers/0/restart").await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        };
        let mut client = server.client(WINDOW).await;
        upload(&mut client, 0..8).await;
        client.generate(true).await;
        server.at_work().await;
        if in_a_window {
            restart().await;
        }
        let answer = client.result("delta").await;
        assert_places(answer.metadata(), 0..8);
        if !in_a_window {
            restart().await;
        }
        upload(&mut client, 8..12).await;
        client.generate(true).await;
        let answer = client.result("delta").await;
        assert_places(answer.metadata(), 0..12);
        assert_eq!(runs(&answer)[6..], [(6, 4); 6]);
    }
}

#[tokio::test]
async fn a_request_that_waits_for_windows_is_taken_over() {
    let server = start_slow().await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client, 0..8).await;
    client.generate(true).await;
    client.inference_started().await;
    let session = client.session.clone();
    client.vanish();
    let mut again = Client::resume(&server, &session).await;
    let answer = again.result("delta").await;
    assert_places(answer.metadata(), 0..8);
    let shares = answer
        .progress()
        .map(|message| message["progress"].as_f64());
    assert!(shares.is_sorted(), "progress must not decrease");
    again.expect_quiet().await;
}

#[tokio::test]
async fn a_deleted_session_ends_its_windows_and_leaves_no_files() {
    let server = start_slow().await;
    let mut client = server.client("window=6&finalize_mode=refine").await;
    upload(&mut client, 0..8).await;
    until_busy(&server).await;
    let session = client.session.clone();
    let reply = server.delete(&format!("/ws/session/{session}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(server.files().is_empty(), "{:?}", server.files());
    until_jobs(&server, "cancelled", 1.0).await;
    assert!(server.files().is_empty(), "{:?}", server.files());
    // The worker is free for others.
    let mut other = server.client(WINDOW).await;
    upload(&mut other, 0..1).await;
    assert_eq!(delta(&mut other).await.metadata()["num_frames"], 1);
}

#[tokio::test]
async fn images_of_another_shape_are_cropped_or_set_aside_by_name() {
    let server = start().await;
    let mut client = server.client("window=6&finalize_mode=refine").await;
    upload(&mut client, 0..7).await;
    let shaped = |width, height, level| png(&colored_image(width, height, [level, 60, 40]));
    client.upload("square.png", &shaped(56, 56, 7)).await;
    client.upload("portrait.png", &shaped(42, 56, 50)).await;
    upload(&mut client, 8..10).await;
    for last in [false, true] {
        let answer = match last {
            false => delta(&mut client).await,
            true => finalize(&mut client).await,
        };
        let metadata = answer.metadata();
        assert_eq!(metadata["processed_size"], json!([56, 42]));
        assert_eq!(metadata["unregistered_frames"], json!(["portrait.png"]));
        assert_eq!(metadata["num_frames"], 10);
        let names = metadata["frames"].as_array().expect("a list");
        assert_eq!(names[7], "square.png");
        assert!(!names.contains(&json!("portrait.png")));
        let reasons = of_frames(metadata, "reason");
        assert_eq!(reasons[8], "odd_shape");
        let used = of_frames(metadata, "used");
        assert_eq!(used.iter().filter(|used| **used == true).count(), 10);
    }
}

#[tokio::test]
async fn a_map_begins_anew_while_nothing_can_be_placed() {
    let server = start().await;
    let mut client = server.client("window=6&finalize_mode=refine").await;
    for index in 0..20 {
        client
            .upload(&format!("blue {index}.png"), &blue(100 + index))
            .await;
    }
    let answer = delta(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(metadata["num_frames"], 20);
    assert_eq!(metadata["num_points"], 0);
    assert_eq!(metadata["quality"]["verdict"], "failed");

    upload(&mut client, 3..12).await;
    let answer = delta(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(metadata["num_frames"], 29);
    assert_places(metadata, 3..12);
    let missed = metadata["unregistered_frames"].as_array().expect("a list");
    assert_eq!(missed.len(), 20);
    let placed =
        |metadata: &Value| metadata["extrinsics"].as_array().expect("a list")[20..].to_vec();
    let (cameras, contents) = (placed(metadata), glb::read(&answer.glb()));
    assert_eq!(contents.cameras.len(), 9);

    // It is the map now, and the last try does not change it. Points that others contradict are left out.
    let answer = finalize(&mut client).await;
    assert_eq!(placed(answer.metadata()), cameras);
    let mut all = contents.points.iter();
    let kept = glb::read(&answer.glb()).points;
    assert!(kept.iter().all(|point| all.any(|other| other == point)));
    let left_out = contents.points.len() - kept.len();
    assert_eq!(answer.metadata()["contradicted_points"], left_out);
    assert_eq!(answer.metadata()["unregistered_frames"], json!(missed));
}

#[tokio::test]
async fn windows_and_modes_out_of_range_are_refused() {
    let server = start().await;
    for (query, words) in [
        ("window=3", ["window must be between 6 and", "3"]),
        ("window=1001", ["window must be between 6 and 1000", "1001"]),
        ("window=-1", ["window", "-1"]),
        ("finalize_mode=best", ["best", "auto, refine or whole"]),
    ] {
        let reply = server.post(&format!("/ws/session/create?{query}")).await;
        assert_eq!(reply.status, 422, "{query}: {}", reply.text());
        let detail = reply.detail();
        for word in words {
            assert!(detail.contains(word), "{query}: {detail}");
        }
    }
    let reply = server
        .post("/ws/session/create?window=6&finalize_mode=refine")
        .await;
    let config = &reply.json()["config"];
    assert_eq!(
        (&config["window"], &config["finalize_mode"]),
        (&json!(6), &json!("refine"))
    );
}
