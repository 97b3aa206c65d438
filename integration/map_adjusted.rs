//! Maps that are adjusted. The model `adjusting` places frames as `extending` does. Its adjustment makes
//! all twice as far away from the first frame, and focal lengths longer by a quarter.

use nalgebra::{Matrix3, Matrix4, Point3};
use serde_json::{Value, json};

use crate::formats::look_at;
use crate::support::client::{Answer, Client};
use crate::support::geometry::numbers;
use crate::support::glb;
use crate::support::pictures::{at, blue};
use crate::support::scrape::Scrape;
use crate::support::server::Server;
use crate::support::until;

/// Frames of a map that is due to be adjusted: more than 1.3 windows of six.
const FRAMES: u8 = 9;

async fn upload(client: &mut Client, levels: std::ops::Range<u8>) {
    for level in levels {
        client.upload(&format!("{level}.png"), &at(level)).await;
    }
}

async fn delta(client: &mut Client) -> Answer {
    client.generate(true).await;
    client.result("delta").await
}

/// Adjustments that have ended this way.
async fn adjustments(server: &Server, outcome: &str) -> f64 {
    let labels = [("kind", "adjust"), ("outcome", outcome)];
    Scrape::of(server)
        .await
        .value("pointstream_jobs_total", &labels)
}

/// Where the frames are on the line, relative to the first one.
fn places(metadata: &Value) -> Vec<f64> {
    let matrices = metadata["extrinsics"].as_array().expect("a list");
    let places: Vec<f64> = matrices.iter().map(|rows| -numbers(rows)[3]).collect();
    places.iter().map(|place| place - places[0]).collect()
}

/// A client whose map was adjusted once; the result before, and the one after.
async fn adjusted(server: &Server, options: &str) -> (Client, Answer, Answer) {
    let mut client = server
        .client(&format!("window=6&finalize_mode=whole&{options}"))
        .await;
    upload(&mut client, 0..FRAMES).await;
    let before = delta(&mut client).await;
    let after = until("an adjusted result", async || {
        let answer = delta(&mut client).await;
        let moved = places(answer.metadata()) != places(before.metadata());
        moved.then_some(answer)
    })
    .await;
    (client, before, after)
}

/// The points of a result as their frames see them: pixels and depths, in the order of the frames.
fn seen(answer: &Answer) -> Vec<[f64; 3]> {
    let metadata = answer.metadata();
    let list = |name: &str| metadata[name].as_array().expect("a list").clone();
    let matrix = |rows: &Value| Matrix4::from_row_slice(&numbers(rows));
    let extrinsics: Vec<_> = list("extrinsics").iter().map(matrix).collect();
    let intrinsics = list("intrinsics");
    let intrinsics = intrinsics.iter();
    let intrinsics: Vec<_> = intrinsics
        .map(|rows| Matrix3::from_row_slice(&numbers(rows)))
        .collect();
    let to_world = matrix(&metadata["world_to_glb"])
        .try_inverse()
        .expect("a similarity");
    let points = glb::read(&answer.glb()).points;
    // All frames have as many points.
    let each = points.len() / extrinsics.len();
    assert_eq!(points.len(), each * extrinsics.len());
    let project = |(index, point): (usize, &Point3<f32>)| {
        let frame = index / each;
        let world = to_world.transform_point(&point.cast());
        let camera = extrinsics[frame].transform_point(&world);
        let pixel = intrinsics[frame] * camera.coords / camera.z;
        [pixel.x, pixel.y, camera.z]
    };
    points.iter().enumerate().map(project).collect()
}

#[tokio::test]
async fn a_correction_moves_cameras_and_points_together() {
    let server = Server::with_model("adjusting", &[]).await;
    let (mut client, before, after) = adjusted(&server, "").await;
    let [old, new] = [&before, &after].map(|answer| places(answer.metadata()));
    for (old, new) in old.iter().zip(&new) {
        assert!((new - 2.0 * old).abs() < 1e-5, "{old} {new}");
    }
    let focal = |answer: &Answer, frame: usize| numbers(&answer.metadata()["intrinsics"][frame])[0];
    for frame in 0..usize::from(FRAMES) {
        let ratio = focal(&after, frame) / focal(&before, frame);
        assert!((ratio - 1.25).abs() < 1e-5, "{ratio}");
    }
    // The same pixels are seen, twice as far away.
    let [old, new] = [&before, &after].map(seen);
    assert_eq!(old.len(), new.len());
    for ([x, y, depth], [new_x, new_y, new_depth]) in old.iter().zip(&new) {
        assert!((new_x - x).abs() < 0.02, "{x} {new_x}");
        assert!((new_y - y).abs() < 0.02, "{y} {new_y}");
        assert!(
            (new_depth / depth - 2.0).abs() < 1e-4,
            "{depth} {new_depth}"
        );
    }
    assert_eq!(
        before.metadata()["quality"]["verdict"],
        after.metadata()["quality"]["verdict"]
    );
    assert_eq!(
        before.metadata()["alignment"],
        after.metadata()["alignment"]
    );
    // With a frame that cannot be placed.
    client.upload("strange.png", &blue(99)).await;
    delta(&mut client).await;
    // The surface that the model makes up is not that of the frames. A factor of depths is applied
    // before or after the last rounding.
    let options = ["-k", "not fit_the_other_images", "--rounding", "1e-6"];
    look_at(&server, &client.session, &options).await;
}

#[tokio::test]
async fn a_stream_goes_on_after_a_correction() {
    let server = Server::with_model("adjusting", &[]).await;
    let (mut client, _, adjusted) = adjusted(&server, "").await;
    let count = usize::from(FRAMES);
    upload(&mut client, FRAMES..FRAMES + 2).await;
    let later = delta(&mut client).await;
    let metadata = later.metadata();
    assert_eq!(metadata["num_frames"], FRAMES + 2);
    assert_eq!(metadata["unregistered_frames"], json!([]));
    let cameras = |answer: &Answer| {
        let list = answer.metadata()["extrinsics"].as_array();
        list.expect("a list").clone()
    };
    assert_eq!(cameras(&later)[..count], cameras(&adjusted));
    let [known, all] = [&adjusted, &later].map(|answer| glb::read(&answer.glb()).points);
    assert!(all.len() > known.len());
    assert!(all.starts_with(&known), "what was corrected stays");
    // The new frames have their places beside corrected ones.
    let places = places(metadata);
    let last = places[count - 1];
    assert!(places[count] != last && (places[count] - last).abs() < 1.0);
    let step = places[count + 1] - places[count];
    assert!((step - 0.1).abs() < 1e-5, "{step}");
}

#[tokio::test]
async fn a_worker_that_is_lost_in_an_adjustment_loses_nothing() {
    let server = Server::with_model("slow_adjusting", &[]).await;
    let mut client = server.client("window=6&finalize_mode=refine").await;
    upload(&mut client, 0..FRAMES).await;
    client.send(json!({"type": "finalize"})).await;
    until("an adjustment", async || {
        let tree = server.get("/actors").await.text();
        tree.contains("\"kind\":\"adjust\"").then_some(())
    })
    .await;
    let reply = server.post("/actors/workers/0/restart").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = client.result("complete").await;
    assert_eq!(answer.metadata()["unregistered_frames"], json!([]));
    let places = places(answer.metadata());
    assert_eq!(places.len(), usize::from(FRAMES));
    // Perhaps also adjusted ahead of the request.
    let unit = places[1];
    assert!(unit > 0.19, "{unit} is not adjusted");
    assert!(adjustments(&server, "succeeded").await >= 1.0);
    assert_eq!(adjustments(&server, "worker_died").await, 0.0);
}

#[tokio::test]
async fn a_deleted_session_ends_its_adjustment() {
    let server = Server::with_model("slow_adjusting", &[]).await;
    let mut client = server.client("window=6&finalize_mode=refine").await;
    upload(&mut client, 0..FRAMES).await;
    client.send(json!({"type": "finalize"})).await;
    until("an adjustment", async || {
        let tree = server.get("/actors").await.text();
        tree.contains("\"kind\":\"adjust\"").then_some(())
    })
    .await;
    let session = client.session.clone();
    let reply = server.delete(&format!("/ws/session/{session}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    until("the end of the adjustment", async || {
        (adjustments(&server, "cancelled").await >= 1.0).then_some(())
    })
    .await;
    assert!(server.files().is_empty(), "{:?}", server.files());
}
