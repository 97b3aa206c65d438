//! Long streams through a model that cannot extend: its windows are joined. The model `windowed` sees a
//! wall from places that the colours of the frames say; each of its runs has a world of its own.

use nalgebra::{Matrix4, Point3, Vector3};
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::geometry::{matrix4, numbers};
use crate::support::glb;
use crate::support::pictures::{at, blue};
use crate::support::scrape::Scrape;
use crate::support::server::Server;
use crate::support::until;

/// Windows of six frames, of which two are new after the first.
const WINDOW: &str = "window=6&max_images=200&finalize_mode=refine";

/// A level of a frame's colour moves the camera by so much; the wall is 2 away from level 0.
const STEP: f64 = 0.1;

async fn start() -> Server {
    Server::with_model("windowed", &[]).await
}

/// Uploads frames named by their levels.
async fn upload(client: &mut Client, levels: impl IntoIterator<Item = u8>) {
    for level in levels {
        client.upload(&level.to_string(), &at(level)).await;
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

/// Runs of the model that have ended this way.
async fn runs(server: &Server, outcome: &str) -> f64 {
    let labels = [("kind", "reconstruct"), ("outcome", outcome)];
    Scrape::of(server)
        .await
        .value("pointstream_jobs_total", &labels)
}

/// The levels of the frames that are in the cloud, and their cameras: world to camera.
fn placed(metadata: &Value) -> Vec<(f64, Matrix4<f64>)> {
    let list = |name: &str| metadata[name].as_array().expect("a list").clone();
    let left_out = list("unregistered_frames");
    let frames = list("frames").into_iter().zip(list("extrinsics"));
    let placed = frames.filter(|(name, _)| !left_out.contains(name));
    placed
        .map(|(name, rows)| {
            let name = name.as_str().expect("a name");
            let level = name.trim_end_matches(".blue").parse().expect("a level");
            (level, matrix4(&rows))
        })
        .collect()
}

/// Levels of the frames that are not in the cloud.
fn left_out(metadata: &Value) -> Vec<u8> {
    let names = metadata["unregistered_frames"].as_array().expect("a list");
    let level = |name: &Value| name.as_str().expect("a name").parse().expect("a level");
    names.iter().map(level).collect()
}

/// What the quality report says about each image, by one of its fields.
fn of_frames(metadata: &Value, field: &str) -> Vec<Value> {
    let frames = metadata["quality"]["frames"].as_array().expect("a list");
    frames.iter().map(|frame| frame[field].clone()).collect()
}

/// The cameras of the cloud are on a line, where their levels say, and look the same way; the points
/// are on the wall. `tolerance` is relative to the distance of the wall.
fn assert_one_world(answer: &Answer, tolerance: f64) {
    let metadata = answer.metadata();
    let placed = placed(metadata);
    let centre = |camera: &Matrix4<f64>| {
        let inverse = camera.try_inverse().expect("a camera");
        Point3::from_homogeneous(inverse.column(3).into_owned()).expect("a point")
    };
    let (first_level, first) = placed[0];
    let farthest = placed.iter().max_by(|(one, _), (other, _)| {
        let away = |level: &f64| (level - first_level).abs();
        away(one).total_cmp(&away(other))
    });
    let (last_level, last) = farthest.expect("frames are placed");
    let step = (centre(last) - centre(&first)) / (last_level - first_level);
    let unit = step.norm() / STEP;
    for (level, camera) in &placed {
        let expected = centre(&first) + step * (level - first_level);
        let off = (centre(camera) - expected).norm() / (2.0 * unit);
        assert!(off < tolerance, "{level} is {off} off");
        let turn = camera.fixed_view::<3, 3>(0, 0) * first.fixed_view::<3, 3>(0, 0).transpose();
        let turn = (turn - nalgebra::Matrix3::identity()).norm();
        assert!(turn < tolerance, "{level} is turned by {turn}");
    }
    // In the coordinates of the first camera, the wall is where the model saw it.
    let to_glb = matrix4(&metadata["world_to_glb"]);
    let to_first = first * to_glb.try_inverse().expect("a similarity");
    let contents = glb::read(&answer.glb());
    assert_eq!(metadata["num_points"], contents.points.len());
    for point in &contents.points {
        let at = to_first.transform_point(&point.cast::<f64>()) / unit;
        let wall = 2.0 + 0.02 * (first_level * STEP + at.x);
        assert!(
            (at.z - wall).abs() / wall < tolerance,
            "{at} is off the wall"
        );
    }
    let cameras: Vec<Vector3<f64>> = contents
        .cameras
        .iter()
        .map(|(_, position)| position.coords.cast())
        .collect();
    assert_eq!(cameras.len(), placed.len());
}

#[tokio::test]
async fn many_windows_are_one_cloud() {
    let server = start().await;
    let mut client = server.client(WINDOW).await;
    let mut earlier: Option<Vec<Value>> = None;
    for count in [6, 12, 24, 60_u8] {
        let known = earlier.as_ref().map_or(0, Vec::len) as u8;
        upload(&mut client, known..count).await;
        let answer = delta(&mut client).await;
        let metadata = answer.metadata();
        assert_eq!(metadata["num_frames"], count);
        assert_eq!(metadata["unregistered_frames"], json!([]));
        assert_eq!(metadata["quality"]["verdict"], "good");
        assert_eq!(metadata["aligned"], true);
        assert_one_world(&answer, 1e-3);
        let cameras = metadata["extrinsics"].as_array().expect("a list").clone();
        if let Some(known) = earlier.filter(|known| known.len() > 6) {
            assert_eq!(cameras[..known.len()], known, "nothing has moved");
        }
        earlier = Some(cameras);
    }
    // The first answer was one run; then the map began, and each window placed two frames.
    assert_eq!(runs(&server, "succeeded").await, 1.0 + 1.0 + 27.0);
    let answer = finalize(&mut client).await;
    assert_one_world(&answer, 1e-3);
    assert_eq!(runs(&server, "succeeded").await, 29.0);
}

#[tokio::test]
async fn images_that_fit_one_window_are_one_run() {
    let server = start().await;
    let mut results = Vec::new();
    for query in ["window=6", "", "window=6&finalize_mode=whole"] {
        let mut client = server.client(query).await;
        upload(&mut client, 1..7).await;
        let (first, last) = (delta(&mut client).await, finalize(&mut client).await);
        results.push((first.glb(), last.glb()));
    }
    assert!(results.iter().all(|result| *result == results[0]));
    assert_eq!(runs(&server, "succeeded").await, 6.0);
}

#[tokio::test]
async fn a_final_result_is_one_run_unless_images_are_many() {
    let server = start().await;
    let mut client = server.client("window=6&finalize_mode=auto").await;
    upload(&mut client, 0..12).await;
    delta(&mut client).await;
    let before = runs(&server, "succeeded").await;
    assert_eq!(before, 4.0);
    let answer = finalize(&mut client).await;
    assert_one_world(&answer, 1e-3);
    assert_eq!(runs(&server, "succeeded").await, before + 1.0);
}

#[tokio::test]
async fn a_jump_makes_a_piece_that_later_images_join() {
    let server = start().await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client, (10..25).chain(60..67)).await;
    let answer = delta(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(left_out(metadata), (60..67).collect::<Vec<u8>>());
    assert_one_world(&answer, 1e-3);
    assert_eq!(metadata["quality"]["verdict"], "partial");
    assert_eq!(metadata["quality"]["reasons"], json!(["not_connected"]));
    assert_eq!(metadata["quality"]["pieces"], 2);
    let mut pieces = vec![json!(0); 15];
    pieces.resize(22, json!(1));
    assert_eq!(of_frames(metadata, "piece"), pieces);
    let mut used = vec![json!(true); 15];
    used.resize(22, json!(false));
    assert_eq!(of_frames(metadata, "used"), used);

    upload(&mut client, (24..60).step_by(3)).await;
    let whole = delta(&mut client).await;
    let metadata = whole.metadata();
    assert_eq!(metadata["unregistered_frames"], json!([]));
    assert_eq!(metadata["quality"]["pieces"], 1);
    assert_eq!(metadata["quality"]["verdict"], "good");
    assert_one_world(&whole, 1e-3);
    // What was in the cloud has not moved.
    let before = answer.metadata()["extrinsics"].as_array().expect("a list");
    let after = metadata["extrinsics"].as_array().expect("a list");
    assert_eq!(before[..15], after[..15]);
    assert_eq!(metadata["world_to_glb"], answer.metadata()["world_to_glb"]);
}

#[tokio::test]
async fn the_largest_piece_is_drawn() {
    let server = start().await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client, (10..17).chain(100..112)).await;
    let answer = delta(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(left_out(metadata), (10..17).collect::<Vec<u8>>());
    assert_eq!(metadata["aligned"], false);
    assert_eq!(metadata["alignment"]["reason"], "no_common_frame");
    assert_one_world(&answer, 1e-3);
    // All formats leave the other piece out.
    let url = format!("/ws/session/{}/result?format=ply", client.session);
    let ply = server.get(&url).await;
    let count = metadata["num_points"].to_string();
    assert_eq!(ply.status, 200);
    let head = String::from_utf8_lossy(&ply.body[..400]).into_owned();
    assert!(head.contains(&format!("element vertex {count}")), "{head}");
}

#[tokio::test]
async fn shuffled_images_are_one_cloud() {
    let server = start().await;
    let query = "window=12&max_images=200&finalize_mode=refine";
    let mut client = server.client(query).await;
    // 37 is prime, so this is each of them once.
    let levels = (0..37_u8).map(|index| (u32::from(index) * 14 % 37) as u8);
    upload(&mut client, levels).await;
    let answer = delta(&mut client).await;
    let last = finalize(&mut client).await;
    for answer in [answer, last] {
        assert_eq!(answer.metadata()["unregistered_frames"], json!([]));
        assert_one_world(&answer, 1e-3);
    }
}

#[tokio::test]
async fn places_that_look_alike_stay_apart() {
    let server = start().await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client, (10..110).step_by(4)).await;
    for level in (110..150).step_by(4) {
        client.upload(&format!("{level}.blue"), &blue(level)).await;
    }
    let answer = delta(&mut client).await;
    assert_eq!(answer.metadata()["unregistered_frames"], json!([]));
    assert_one_world(&answer, 1e-3);
}

#[tokio::test]
async fn a_restarted_worker_goes_on_with_the_windows() {
    let server = Server::with_model("slow_windowed", &[]).await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client, 0..9).await;
    client.generate(true).await;
    server.at_work().await;
    let reply = server.post("/actors/workers/0/restart").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = client.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], 9);
    assert_one_world(&answer, 1e-3);
    upload(&mut client, 9..12).await;
    client.generate(true).await;
    let answer = client.result("delta").await;
    assert_one_world(&answer, 1e-3);
}

#[tokio::test]
async fn a_deleted_session_leaves_no_files_of_windows() {
    let server = start().await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client, (10..25).chain(60..67)).await;
    delta(&mut client).await;
    let url = format!("/ws/session/{}", client.session);
    let reply = server.delete(&url).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    until("the end of all files", async || {
        server.files().is_empty().then_some(())
    })
    .await;
}

/// Where the frames of the cloud are on the line of the model `islands`, relative to the first one.
fn line(metadata: &Value) -> Vec<f64> {
    let places = placed(metadata).into_iter();
    let places: Vec<f64> = places.map(|(_, camera)| -camera[(0, 3)]).collect();
    places.iter().map(|place| place - places[0]).collect()
}

#[tokio::test]
async fn missed_frames_of_a_model_that_extends_are_a_piece() {
    let server = Server::with_model("islands", &[]).await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client, (10..22).chain(60..68)).await;
    let answer = delta(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(left_out(metadata), (60..68).collect::<Vec<u8>>());
    assert_eq!(metadata["quality"]["pieces"], 2);
    assert_eq!(
        of_frames(metadata, "reason")[12..],
        vec![json!("not_connected"); 8]
    );

    upload(&mut client, (25..60).step_by(5)).await;
    let answer = delta(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(metadata["unregistered_frames"], json!([]));
    assert_eq!(metadata["quality"]["pieces"], 1);
    let levels = (10..22).chain(60..68).chain((25..60).step_by(5));
    for (place, level) in line(metadata).into_iter().zip(levels) {
        let expected = STEP * f64::from(level - 10);
        assert!((place - expected).abs() < 1e-4, "{place} for {level}");
    }
    assert_eq!(numbers(&metadata["world_to_glb"]).len(), 16);
}

#[tokio::test]
async fn pieces_are_joined_beside_frames_that_show_nothing_new() {
    let server = Server::with_model("islands", &[]).await;
    let mut client = server.client(WINDOW).await;
    // The camera rests at the end of one piece and at the beginning of the other.
    upload(
        &mut client,
        (10..22).chain([21; 6]).chain([60; 6]).chain(60..68),
    )
    .await;
    let answer = delta(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(metadata["quality"]["pieces"], 2);
    assert!(
        metadata["still_frames"]
            .as_array()
            .is_some_and(|still| !still.is_empty())
    );
    upload(&mut client, (25..60).step_by(5)).await;
    let answer = delta(&mut client).await;
    assert_eq!(answer.metadata()["quality"]["pieces"], 1);
    assert!(
        !server.log().contains("a window of the map failed"),
        "no window may fail"
    );
}

#[tokio::test]
async fn depth_anything_runs_in_windows() {
    let server = Server::with_model("da3_tiny", &[]).await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client, (0..60).step_by(5)).await;
    let answer = delta(&mut client).await;
    let metadata = answer.metadata();
    // Random weights place nothing where it belongs.
    assert_eq!(metadata["num_frames"], 12);
    let matrices = metadata["extrinsics"].as_array().expect("a list");
    assert!(matrices.iter().flat_map(numbers).all(f64::is_finite));
    assert!(runs(&server, "succeeded").await >= 3.0);
    assert_eq!(runs(&server, "failed").await, 0.0);
    finalize(&mut client).await;
}

#[tokio::test]
async fn a_loop_moves_the_chunks_between_its_ends() {
    let server = Server::with_model("drifting", &[]).await;
    let mut client = server.client(WINDOW).await;
    // There and back again.
    upload(&mut client, (10..60).step_by(2)).await;
    let there = delta(&mut client).await;
    assert_eq!(there.metadata()["unregistered_frames"], json!([]));
    upload(&mut client, (11..60).rev().step_by(2)).await;
    let back = delta(&mut client).await;
    assert_eq!(back.metadata()["unregistered_frames"], json!([]));
    let (before, after) = (placed(there.metadata()), placed(back.metadata()));
    assert_eq!(before[0], after[0], "the first one stays");
    let turn = |one: &Matrix4<f64>, other: &Matrix4<f64>| {
        let turn = one.fixed_view::<3, 3>(0, 0) * other.fixed_view::<3, 3>(0, 0).transpose();
        (turn - nalgebra::Matrix3::identity()).norm()
    };
    // Each frame is turned by 0.004 from the one before: 0.2 in all, but for what the loop tells.
    let (_, first) = &after[0];
    let (level, last) = after.last().expect("frames");
    assert_eq!(*level, 11.0);
    assert!(turn(first, last) < 0.08, "{}", turn(first, last));
    let moved = |index: usize| turn(&before[index].1, &after[index].1);
    assert!(moved(20) > 0.003, "{}", moved(20));
    // Points move with their frames: all are on the wall as far as the frames agree.
    assert_one_world(&back, 0.2);
}
