//! Options of the point cloud, with the embedded model on the sample scene.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use nalgebra::Point3;
use tokio::sync::Mutex;

use crate::support::client::{Answer, Client};
use crate::support::geometry::Cameras;
use crate::support::glb::{self, Contents};
use crate::support::scene::Scene;
use crate::support::server::{Server, new_data_dir};

const PHOTOS: usize = 4;

/// One server for all tests here, which ends with the last of them.
async fn start() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(Server::start_in(new_data_dir(), &["--model", "mvs"]).await);
    *shared = Arc::downgrade(&server);
    server
}

/// The result of a session with these options.
async fn result(server: &Server, scene: &Scene, options: &str) -> Answer {
    let query = format!("process_res=336&{options}");
    let reply = server
        .post(&format!("/ws/session/create?{query}"))
        .await
        .json();
    let session = reply["session_id"].as_str().expect("an identifier");
    let mut client = Client::connect(server, session).await;
    for view in 0..PHOTOS {
        client.upload(&scene.names[view], &scene.photo(view)).await;
    }
    client.generate(false).await;
    client.result("complete").await
}

/// What does not depend on the options, apart from rounding.
fn assert_same_geometry(answer: &Answer, plain: &Answer) {
    let (found, expected) = (answer.metadata(), plain.metadata());
    for name in [
        "frames",
        "unregistered_frames",
        "processed_size",
        "intrinsics",
        "extrinsics",
        "world_to_glb",
        "confidence_threshold",
    ] {
        assert_eq!(found[name], expected[name], "{name}");
    }
}

fn read(answer: &Answer) -> Contents {
    let contents = glb::read(&answer.glb());
    assert_eq!(answer.metadata()["num_points"], contents.points.len());
    assert_eq!(contents.colours.len(), contents.points.len());
    contents
}

/// The points as comparable numbers.
fn bits(contents: &Contents) -> HashSet<[u32; 3]> {
    let bits = |point: &Point3<f32>| [point.x, point.y, point.z].map(f32::to_bits);
    contents.points.iter().map(bits).collect()
}

#[tokio::test]
async fn edges_lose_their_flying_points() {
    let scene = Scene::load();
    let server = start().await;
    let plain = result(&server, &scene, "").await;
    let filtered = result(&server, &scene, "filter_edges=true").await;
    assert_same_geometry(&filtered, &plain);
    assert_eq!(plain.metadata()["options"]["filter_edges"], false);
    assert_eq!(filtered.metadata()["options"]["filter_edges"], true);

    let (all, kept) = (read(&plain), read(&filtered));
    let kept_bits = bits(&kept);
    assert!(kept_bits.is_subset(&bits(&all)), "points moved");
    assert!(kept.points.len() < all.points.len());
    assert!(kept.points.len() > all.points.len() / 2, "hardly any left");
    let cut: Vec<_> = all
        .points
        .iter()
        .filter(|point| !kept_bits.contains(&[point.x, point.y, point.z].map(f32::to_bits)))
        .copied()
        .collect();
    let cameras = Cameras::read(plain.metadata(), &scene);
    let off = |points: &[Point3<f32>]| {
        let errors = cameras.best_depth_errors(points, &scene);
        errors.iter().filter(|error| **error > 0.05).count() as f64 / errors.len() as f64
    };
    let (off_cut, off_kept) = (off(&cut), off(&kept.points));
    println!(
        "{} of {} points at edges; off the surface: {:.1} % of them, {:.1} % of the others",
        cut.len(),
        all.points.len(),
        100.0 * off_cut,
        100.0 * off_kept
    );
    assert!(off_cut > 3.0 * off_kept, "{off_cut} {off_kept}");
}
