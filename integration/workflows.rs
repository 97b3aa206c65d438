//! The three workflows of the protocol, with the embedded model on the sample scene, compared with
//! ground truth.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::support::client::{Answer, Client};
use crate::support::geometry::{Cameras, DepthAgreement, largest, quantile};
use crate::support::glb::{self, Contents};
use crate::support::scene::Scene;
use crate::support::server::{Server, new_data_dir};

/// Limit of points, to save time; enough for the comparison.
const MAX_POINTS: usize = 60_000;

/// One server for all tests with the embedded model, because TorchScript compiles the model in its
/// first runs, which takes longer than a run. It ends with the last test.
pub async fn start() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(Server::start_in(new_data_dir(), &["--model", "mvs"]).await);
    *shared = Arc::downgrade(&server);
    server
}

async fn client(server: &Server, process_res: u32) -> Client {
    let query = format!("process_res={process_res}&num_max_points={MAX_POINTS}");
    let reply = server
        .post(&format!("/ws/session/create?{query}"))
        .await
        .json();
    let session = reply["session_id"].as_str().expect("an identifier");
    Client::connect(server, session).await
}

async fn upload(client: &mut Client, scene: &Scene, views: impl IntoIterator<Item = usize>) {
    for view in views {
        client.upload(&scene.names[view], &scene.photo(view)).await;
    }
}

/// Checks that the metadata and the GLB are consistent.
fn check_metadata(answer: &Answer, session: &str, names: &[String], size: [u32; 2]) -> Contents {
    let metadata = answer.metadata();
    let glb = answer.glb();
    assert_eq!(answer.message["image_count"], names.len());
    assert_eq!(metadata["num_frames"], names.len());
    assert_eq!(metadata["session_id"], session);
    assert_eq!(metadata["glb_size_bytes"], glb.len());
    assert_eq!(metadata["frames"], json!(names));
    assert_eq!(metadata["unregistered_frames"], json!([]));
    assert_eq!(metadata["processed_size"], json!(size));
    assert_eq!(metadata["scale"], "relative");
    let model = metadata["model"].as_str().expect("the model has a name");
    assert!(model.starts_with("mvs"), "made by {model}");
    let threshold = metadata["confidence_threshold"].as_f64();
    assert!(threshold.expect("a number") >= 1.05);
    for (name, rows, columns) in [("intrinsics", 3, 3), ("extrinsics", 4, 4)] {
        let matrices = metadata[name].as_array().expect("a list of matrices");
        assert_eq!(matrices.len(), names.len(), "{name}");
        for matrix in matrices {
            let lengths: Vec<_> = matrix
                .as_array()
                .expect("rows")
                .iter()
                .map(row_len)
                .collect();
            assert_eq!(lengths, vec![columns; rows], "{name}");
        }
    }
    let pinhole = vec![[0.0, 0.0]; names.len()];
    assert_eq!(metadata["distortion"], json!(pinhole));
    let timings = metadata["timings"].as_object().expect("timings");
    let stages = [
        "queued", "frames", "encode", "model", "cloud", "glb", "store",
    ];
    let sum: f64 = stages.iter().map(|stage| seconds(&timings[*stage])).sum();
    assert!(
        sum > 0.0 && sum <= seconds(&timings["total"]) * 1.001,
        "{timings:?}"
    );

    let contents = glb::read(&glb);
    assert_eq!(metadata["num_points"], contents.points.len());
    assert_eq!(contents.colours.len(), contents.points.len());
    assert!(contents.points.len() <= MAX_POINTS);
    assert!(
        contents.points.len() > MAX_POINTS / 4,
        "{}",
        contents.points.len()
    );
    let shown: Vec<_> = contents.cameras.iter().map(|(name, _)| name).collect();
    assert_eq!(shown, names.iter().collect::<Vec<_>>());
    assert!(contents.line_ends >= 8 * names.len(), "show_cameras is on");
    contents
}

fn row_len(row: &Value) -> usize {
    row.as_array().expect("a row").len()
}

fn seconds(value: &Value) -> f64 {
    let seconds = value.as_f64().expect("seconds");
    assert!(seconds >= 0.0);
    seconds
}

/// Compares cameras and points with ground truth.
fn check_against_truth(cameras: &Cameras, contents: &Contents, scene: &Scene) -> DepthAgreement {
    let mut errors = cameras.pose_errors(scene);
    let agreement = cameras.depth_agreement(&contents.points, scene);
    println!(
        "{} views: rotation {:.2} degrees at most, translation {:.2} (median), focal {:.2} %, {:?}",
        cameras.views.len(),
        largest(&errors.rotation),
        quantile(&mut errors.translation, 0.5),
        100.0 * largest(&errors.focal),
        agreement
    );
    assert!(largest(&errors.rotation) < 0.5, "{errors:?}");
    assert!(quantile(&mut errors.translation, 0.5) < 1.0, "{errors:?}");
    assert!(largest(&errors.focal) < 0.015, "{errors:?}");
    assert!(agreement.median < 0.01, "{agreement:?}");
    assert!(agreement.third_quartile < 0.03, "{agreement:?}");

    // The camera nodes have the positions of the metadata.
    let baseline = (contents.cameras[0].1 - contents.cameras[1].1).norm();
    for (node, centre) in contents.cameras.iter().zip(cameras.centres_in_glb()) {
        let distance = (node.1 - centre.cast::<f32>()).norm();
        assert!(distance < 0.01 * baseline, "{} stands elsewhere", node.0);
    }
    agreement
}

/// Checks that stages are in order and progress never decreases.
fn check_progress(answer: &Answer, frames: usize) {
    let stages = ["loading_model", "inference", "exporting", "finalizing"];
    let (mut stage, mut fraction) = (0, 0.0);
    let mut seen = HashSet::new();
    for message in answer.progress() {
        let name = message["stage"].as_str().expect("a stage");
        let position = stages.iter().position(|known| *known == name);
        let position = position.unwrap_or_else(|| panic!("no such stage: {name}"));
        let progress = message["progress"].as_f64().expect("a number");
        assert!(position >= stage, "{name} after {}", stages[stage]);
        assert!(
            (fraction..=1.0).contains(&progress),
            "{progress} after {fraction}"
        );
        assert!(!message["message"].as_str().expect("text").is_empty());
        (stage, fraction) = (position, progress);
        seen.insert(name);
    }
    assert_eq!(seen.len(), stages.len(), "all stages: {seen:?}");
    let last = format!("Processing frame {frames}/{frames}");
    assert!(
        answer
            .progress()
            .any(|message| message["message"] == last.as_str())
    );
}

/// Workflow 1: all photos, then one point cloud.
#[tokio::test]
async fn batch_upload() {
    let scene = Scene::load();
    let server = start().await;
    let mut client = client(&server, 336).await;
    upload(&mut client, &scene, 0..6).await;
    client.generate(false).await;
    let answer = client.result("complete").await;

    let contents = check_metadata(&answer, &client.session, &scene.names[..6], [336, 252]);
    check_progress(&answer, 6);
    let cameras = Cameras::read(answer.metadata(), &scene);
    check_against_truth(&cameras, &contents, &scene);
    check_colours(&cameras, &contents, &scene);
    // A `complete` result does not complete the session.
    assert_eq!(server.info(&client.session).await["status"], "active");
}

/// Checks that points have the colours of the photos at their projections.
fn check_colours(cameras: &Cameras, contents: &Contents, scene: &Scene) {
    let photo = image::load_from_memory(&scene.photo(0)).expect("a photo");
    let [width, height] = cameras.processed_size;
    let photo = photo.resize_exact(
        width as u32,
        height as u32,
        image::imageops::FilterType::Triangle,
    );
    let photo = photo.to_rgb8();
    let to_world = cameras.world_to_glb.try_inverse().expect("a similarity");
    let mut differences = Vec::new();
    for (point, colour) in contents.points.iter().zip(&contents.colours).step_by(7) {
        let world = to_world.transform_point(&point.cast());
        let camera = cameras.extrinsics[0].transform_point(&world);
        let pixel = cameras.intrinsics[0] * (camera.coords / camera.z);
        let (x, y) = (pixel.x.round(), pixel.y.round());
        if camera.z > 0.0 && x >= 0.0 && y >= 0.0 && x < width && y < height {
            let seen = photo.get_pixel(x as u32, y as u32).0;
            let apart = seen.iter().zip(colour).map(|(a, b)| a.abs_diff(*b));
            differences.push(f64::from(apart.max().unwrap_or(0)));
        }
    }
    assert!(differences.len() > 500, "{} points seen", differences.len());
    let median = quantile(&mut differences, 0.5);
    assert!(median < 25.0, "colours differ by {median} of 255");
}

/// Workflow 2: a delta after each batch, all of them in one fixed world, then the final result.
#[tokio::test]
async fn incremental_updates() {
    let scene = Scene::load();
    let server = start().await;
    let mut client = client(&server, 336).await;

    upload(&mut client, &scene, 0..4).await;
    client.generate(true).await;
    let first = client.result("delta").await;
    upload(&mut client, &scene, 4..6).await;
    client.generate(true).await;
    let second = client.result("delta").await;
    client.send(json!({"type": "finalize"})).await;
    let last = client.result("complete").await;
    assert_eq!(server.info(&client.session).await["status"], "completed");

    let mut results = Vec::new();
    for (answer, count) in [(&first, 4), (&second, 6), (&last, 6)] {
        let names = &scene.names[..count];
        let contents = check_metadata(answer, &client.session, names, [336, 252]);
        assert_eq!(answer.metadata()["aligned"], true);
        check_progress(answer, count);
        let cameras = Cameras::read(answer.metadata(), &scene);
        let agreement = check_against_truth(&cameras, &contents, &scene);
        results.push((cameras, contents, agreement));
    }
    // The world is fixed: points of later results, projected with the first result's cameras,
    // coincide with the first result's points.
    let (cameras, _, agreement) = &results[0];
    for (later, contents, _) in &results[1..] {
        let across = cameras.depth_agreement(&contents.points, &scene);
        println!("across results: {across:?}");
        assert!(
            (across.scale / agreement.scale - 1.0).abs() < 0.01,
            "{across:?}"
        );
        assert!(across.median < 0.01, "{across:?}");
        let (here, there) = (cameras.centres_in_glb(), later.centres_in_glb());
        let length = (here[3] - here[0]).norm();
        for (here, there) in here.iter().zip(&there) {
            assert!((here - there).norm() < 0.05 * length, "cameras moved");
        }
    }
}

/// Workflow 3: photos arrive one by one, previews are requested in between, and uploads continue
/// during the generations.
#[tokio::test]
async fn live_streaming() {
    let scene = Scene::load();
    let server = start().await;
    let mut client = client(&server, 252).await;
    let mut deltas = Vec::new();
    for view in 0..6 {
        client
            .send_image(&scene.names[view], &scene.photo(view))
            .await;
        if view % 3 == 2 {
            client.generate(true).await;
        }
    }
    let mut acknowledged = Vec::new();
    while deltas.len() < 2 {
        let answer = client.result("delta").await;
        let acks = answer.before.iter().filter(|one| one["type"] == "ack");
        acknowledged.extend(acks.map(|ack| ack["image_path"].clone()));
        if deltas.is_empty() {
            assert_eq!(
                acknowledged.len(),
                6,
                "uploads must continue during a preview"
            );
        }
        deltas.push(answer);
    }
    assert_eq!(json!(acknowledged), json!(scene.names[..6]));
    for (answer, count) in deltas.iter().zip([3, 6]) {
        let names = &scene.names[..count];
        let contents = check_metadata(answer, &client.session, names, [252, 190]);
        let cameras = Cameras::read(answer.metadata(), &scene);
        let agreement = cameras.depth_agreement(&contents.points, &scene);
        println!("preview of {count}: {agreement:?}");
        assert!(agreement.median < 0.05, "{agreement:?}");
    }
}
