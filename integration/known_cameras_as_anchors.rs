//! Known cameras of some images, and for models that take none: the result gets the client's world, and
//! a map does not drift from it.

use std::collections::BTreeMap;
use std::ops::Range;

use nalgebra::{Isometry3, Matrix4, Point3, Similarity3, Vector3};
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::follower::Follower;
use crate::support::geometry::numbers;
use crate::support::glb;
use crate::support::npz::mean_depth;
use crate::support::pictures::at;
use crate::support::server::Server;
use crate::support::until;

/// The smallest window: 6 frames in the first.
const WINDOW: &str = "window=6&max_images=60&finalize_mode=refine";
/// The client's unit in those of the model.
const UNIT: f64 = 5.0;
/// How far the client's path bends from the line of the model, at a distance of 1.
const BEND: f64 = 0.02;

/// From the world of a straight path to the client's.
fn to_client() -> Similarity3<f64> {
    let angles = Vector3::new(0.0, 1.2, 0.3);
    Similarity3::new(Vector3::new(3.0, -1.0, 2.0), angles, UNIT)
}

/// The camera of an image in the client's world; the model has it at a tenth of its level on a line.
fn pose(level: u8, bend: f64) -> Isometry3<f64> {
    let along = f64::from(level) / 10.0;
    // It turns as it bends.
    let turn = Vector3::new(0.0, 0.0, (2.0 * bend * along).atan());
    let pose = Isometry3::new(Vector3::new(along, bend * along * along, 0.0), turn);
    (to_client() * pose).isometry
}

fn rows(matrix: &Matrix4<f64>) -> Vec<Vec<f64>> {
    let rows = matrix.row_iter();
    rows.map(|row| row.iter().copied().collect()).collect()
}

/// The fields of a message with a known camera, given by its pose.
fn fields(pose: &Isometry3<f64>) -> Value {
    json!({
        "intrinsics": [[50.0, 0, 27.5], [0, 50.0, 20.5], [0, 0, 1]],
        "extrinsics": rows(&pose.inverse().to_homogeneous()),
    })
}

fn image(level: u8, camera: Option<Value>) -> Value {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(at(level));
    let mut message = json!({"type": "image", "data": data, "filename": format!("{level}.png")});
    if let Some(Value::Object(camera)) = camera {
        message.as_object_mut().expect("an object").extend(camera);
    }
    message
}

async fn send(client: &mut Client, level: u8, camera: Option<Value>) {
    client.send(image(level, camera)).await;
    client.expect("ack").await;
}

/// Sends images; every third one has its camera.
async fn send_some(client: &mut Client, levels: Range<u8>, bend: f64) {
    for level in levels {
        let known = level % 3 == 0;
        send(client, level, known.then(|| fields(&pose(level, bend)))).await;
    }
}

async fn delta(client: &mut Client) -> Answer {
    client.generate(true).await;
    client.result("delta").await
}

async fn complete(client: &mut Client) -> Answer {
    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await
}

/// The centres of the cameras of a result, by the levels of their images.
fn centres(metadata: &Value) -> BTreeMap<u8, Point3<f64>> {
    let list = |name: &str| metadata[name].as_array().expect("a list").clone();
    let names = list("frames").into_iter().zip(list("extrinsics"));
    names
        .map(|(name, extrinsics)| {
            let name = name.as_str().expect("a name").to_owned();
            let level = name.trim_end_matches(".png").parse().expect("a level");
            let matrix = Matrix4::from_row_slice(&numbers(&extrinsics));
            let inverse = matrix.try_inverse().expect("a pose");
            (level, inverse.transform_point(&Point3::origin()))
        })
        .collect()
}

/// The largest distance of a camera from where the client has it, in the client's unit.
fn largest_error(metadata: &Value, bend: f64) -> f64 {
    let off = |(level, centre): (u8, Point3<f64>)| {
        nalgebra::distance(&centre, &pose(level, bend).translation.vector.into())
    };
    centres(metadata).into_iter().map(off).fold(0.0, f64::max)
}

#[tokio::test]
async fn a_model_that_takes_no_cameras_gets_the_clients_world() {
    let server = Server::with_model("extending", &[]).await;
    let mut client = server.client(WINDOW).await;
    for level in 0..5 {
        send(&mut client, level, None).await;
    }
    let own = delta(&mut client).await;
    assert_eq!(own.metadata()["anchors"], Value::Null);
    let depth = mean_depth(&server, &client).await;
    let mut client = server.client(WINDOW).await;
    send_some(&mut client, 0..5, 0.0).await;
    let known = delta(&mut client).await;
    let metadata = known.metadata();
    assert_eq!(metadata["known_cameras"], false, "the model had none");
    let anchors = &metadata["anchors"];
    assert_eq!([&anchors["images"], &anchors["agreeing"]], [2, 2]);
    assert_eq!(anchors["applied"], true);
    assert_eq!([&anchors["reason"], &anchors["advice"]], [&Value::Null; 2]);
    assert!(
        largest_error(metadata, 0.0) < 1e-4,
        "also of images without one"
    );
    let ratio = mean_depth(&server, &client).await / depth;
    assert!((ratio - UNIT).abs() < 1e-3, "{ratio}");
}

#[tokio::test]
async fn cameras_of_some_images_of_a_long_stream_remove_its_drift() {
    let server = Server::with_model("extending", &[]).await;
    let mut whole = server.client(WINDOW).await;
    let query = "deltas=append";
    let mut append = Client::connect_with(&server, &whole.session, query).await;
    let mut follower = Follower::default();
    let mut corrected = 0;
    for (from, to) in [(0, 8), (8, 16), (16, 24), (24, 32), (32, 43)] {
        send_some(&mut whole, from..to, BEND).await;
        let update = delta(&mut append).await;
        let corrections = update.metadata()["append"]["corrections"].as_array();
        corrected += usize::from(!corrections.expect("a list").is_empty());
        follower.apply(&update);
        let all = delta(&mut whole).await;
        follower.assert_has(&glb::read(&all.glb()));
    }
    assert!((1..5).contains(&corrected), "{corrected} corrections");
    let answer = complete(&mut whole).await;
    let metadata = answer.metadata();
    assert_eq!(metadata["unregistered_frames"], json!([]));
    assert_eq!(metadata["anchors"]["applied"], true);
    assert_eq!(metadata["anchors"]["agreeing"], 15);
    // The path bends by 1.7 from the line, which the world's place and scale cannot take up.
    let error = largest_error(metadata, BEND);
    assert!(error < 0.25, "{error}");
    let known = centres(metadata)
        .into_iter()
        .filter(|(level, _)| level % 3 == 0);
    for (level, centre) in known {
        let off = nalgebra::distance(&centre, &pose(level, BEND).translation.vector.into());
        assert!(off < 0.08, "{level}: {off}");
    }
}

#[tokio::test]
async fn a_wrong_camera_changes_nothing() {
    let server = Server::with_model("extending", &[]).await;
    let mut client = server.client(WINDOW).await;
    for level in 0..30 {
        let known = match level {
            15 => Some(Isometry3::new(Vector3::repeat(400.0), Vector3::repeat(1.0))),
            _ if level % 3 == 0 => Some(pose(level, BEND)),
            _ => None,
        };
        send(&mut client, level, known.as_ref().map(fields)).await;
    }
    let answer = complete(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(metadata["anchors"]["images"], 10);
    assert_eq!(metadata["anchors"]["agreeing"], 9);
    let error = largest_error(metadata, BEND);
    assert!(error < 0.1, "{error}");
}

#[tokio::test]
async fn cameras_that_come_later_give_the_map_its_world_and_move_nothing() {
    let server = Server::with_model("extending", &[]).await;
    let mut whole = server.client(WINDOW).await;
    let query = "deltas=append";
    let mut append = Client::connect_with(&server, &whole.session, query).await;
    let mut follower = Follower::default();
    for level in 0..9 {
        send(&mut whole, level, None).await;
    }
    follower.apply(&delta(&mut append).await);
    let before = delta(&mut whole).await;
    assert_eq!(before.metadata()["anchors"], Value::Null);
    send_some(&mut whole, 9..21, 0.0).await;
    let update = delta(&mut append).await;
    assert_eq!(update.metadata()["append"]["reset"], false);
    assert_eq!(update.metadata()["append"]["corrections"], json!([]));
    follower.apply(&update);
    let after = delta(&mut whole).await;
    follower.assert_has(&glb::read(&after.glb()));
    let error = largest_error(after.metadata(), 0.0);
    assert!(error < 1e-3, "also of the first images: {error}");
    // The coordinates of the point cloud stay.
    let [old, new] = [&before, &after].map(|answer| glb::read(&answer.glb()).points);
    for (old, new) in old.iter().zip(&new) {
        assert!(nalgebra::distance(old, new) < 1e-4, "{old} {new}");
    }
}

#[tokio::test]
async fn an_adjusted_map_stays_where_the_cameras_are() {
    let server = Server::with_model("adjusting", &[]).await;
    let mut client = server.client(WINDOW).await;
    send_some(&mut client, 0..10, 0.0).await;
    // The adjustment makes all twice as large, which the known cameras undo, and focal lengths longer.
    let is_adjusted = |metadata: &Value| {
        let width = metadata["processed_size"][0].as_f64().expect("a width");
        numbers(&metadata["intrinsics"][0])[0] > 1.2 * 0.8 * width
    };
    let after = until("an adjusted result", async || {
        let answer = delta(&mut client).await;
        assert!(largest_error(answer.metadata(), 0.0) < 0.05);
        is_adjusted(answer.metadata()).then_some(answer)
    })
    .await;
    let error = largest_error(after.metadata(), 0.0);
    assert!(error < 0.05, "{error}");
}

#[tokio::test]
async fn joined_windows_are_held_by_the_cameras_of_some_images() {
    // Each window of this model bends.
    let server = Server::with_model("drifting", &[]).await;
    let mut errors = Vec::new();
    for cameras in [8, 40] {
        let mut client = server.client(WINDOW).await;
        for level in 0..40 {
            let known = level % 2 == 0 && level < cameras;
            send(&mut client, level, known.then(|| fields(&pose(level, 0.0)))).await;
        }
        let answer = complete(&mut client).await;
        assert_eq!(answer.metadata()["anchors"]["applied"], true);
        errors.push(largest_error(answer.metadata(), 0.0));
    }
    assert!(errors[1] < 0.4 * errors[0], "{errors:?}");
}

#[tokio::test]
async fn cameras_of_another_convention_leave_the_models_world() {
    let server = Server::with_model("extending", &[]).await;
    let mut client = server.client(WINDOW).await;
    for level in 0..9 {
        // The camera to the world, in place of the world to the camera.
        let wrong = fields(&pose(level, 0.0).inverse());
        send(&mut client, level, Some(wrong)).await;
    }
    for answer in [delta(&mut client).await, complete(&mut client).await] {
        let metadata = answer.metadata();
        let anchors = &metadata["anchors"];
        assert_eq!(anchors["applied"], false);
        assert_eq!(anchors["reason"], "contradictory");
        let advice = anchors["advice"].as_str().expect("advice");
        assert!(advice.contains("the world to the camera"), "{advice}");
        let step = centres(metadata)[&8] - centres(metadata)[&0];
        assert!((step.norm() - 0.8).abs() < 1e-4, "its own unit: {step}");
    }
}

#[tokio::test]
async fn what_a_camera_may_be_off_is_checked_by_name() {
    let server = Server::with_model("extending", &[]).await;
    let mut client = server.client(WINDOW).await;
    let with = |name: &str, value: Value| {
        let mut fields = fields(&pose(0, 0.0));
        fields[name] = value;
        fields
    };
    for (camera, words) in [
        (
            with("position_deviation", json!(0)),
            ["position_deviation", "above 0"],
        ),
        (
            with("position_deviation", json!(-1.5)),
            ["position_deviation", "above 0"],
        ),
        (
            with("rotation_deviation", json!(200)),
            ["rotation_deviation", "at most 180"],
        ),
        (
            with("rotation_deviation", json!("1")),
            ["rotation_deviation", "number"],
        ),
        (
            json!({"position_deviation": 0.1}),
            ["position_deviation", "extrinsics"],
        ),
    ] {
        client.send(image(0, Some(camera))).await;
        client.expect_error(&words).await;
    }
    let mut right = with("position_deviation", json!(0.02));
    right["rotation_deviation"] = json!(1.0);
    send(&mut client, 0, Some(right)).await;
}
