//! Long streams: nothing is lost on the way, and a long session does not hold up short ones.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::geometry::numbers;
use crate::support::glb;
use crate::support::pictures::{at, blue, colored_image, png};
use crate::support::scrape::Scrape;
use crate::support::server::Server;
use crate::support::until;

/// Where the levels of the registered frames are on the line: a tenth each, relative to the first one.
fn assert_places(metadata: &Value, level_of: impl Fn(&str) -> f64) {
    let names = metadata["frames"].as_array().expect("a list");
    let lost = metadata["unregistered_frames"].as_array().expect("a list");
    let matrices = metadata["extrinsics"].as_array().expect("a list");
    assert_eq!(names.len(), matrices.len());
    let placed = names
        .iter()
        .zip(matrices)
        .filter(|(name, _)| !lost.contains(name));
    let offsets: Vec<f64> = placed
        .map(|(name, rows)| {
            let level = level_of(name.as_str().expect("a name"));
            -numbers(rows)[3] - level / 10.0
        })
        .collect();
    assert!(offsets.len() > 1);
    for offset in &offsets {
        assert!((offset - offsets[0]).abs() < 1e-4, "{offsets:?}");
    }
}

/// The level in a name like `17.png`.
fn level(name: &str) -> f64 {
    let (level, _) = name.split_once('.').expect("an extension");
    level.parse().expect("a number")
}

async fn upload(client: &mut Client, levels: impl IntoIterator<Item = u8>) {
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

/// Runs of the model that have succeeded.
async fn runs(server: &Server) -> f64 {
    let labels = [("kind", "reconstruct"), ("outcome", "succeeded")];
    Scrape::of(server)
        .await
        .value("pointstream_jobs_total", &labels)
}

/// Numbers below `count` in an order without any order, always the same.
fn shuffled(count: u8) -> Vec<u8> {
    let mut numbers: Vec<u8> = (0..count).collect();
    let mut state = 1_u32;
    for index in (1..numbers.len()).rev() {
        // A linear congruential generator (Numerical Recipes).
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        numbers.swap(index, (state >> 8) as usize % (index + 1));
    }
    numbers
}

#[tokio::test]
async fn a_stream_survives_a_killed_worker_and_lost_connections() {
    let server = Server::with_model("extending", &[]).await;
    let mut client = server
        .client("window=12&max_images=201&finalize_mode=refine")
        .await;
    for step in 0..20_u8 {
        upload(&mut client, 10 * step..10 * (step + 1)).await;
        if step == 8 {
            client.upload("strange.png", &blue(250)).await;
        }
        client.generate(true).await;
        if step == 8 {
            let reply = server.post("/actors/workers/0/restart").await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        if step % 6 == 5 {
            // Another connection takes the answer over.
            let session = client.session.clone();
            client.vanish();
            client = Client::resume(&server, &session).await;
        }
        let answer = client.result("delta").await;
        let count = 10 * usize::from(step + 1) + usize::from(step >= 8);
        assert_eq!(answer.message["image_count"], count);
        assert_eq!(answer.metadata()["num_frames"], count);
        assert_places(answer.metadata(), level);
    }
    client.expect_quiet().await;
    let answer = finalize(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(metadata["unregistered_frames"], json!(["strange.png"]));
    assert_eq!(metadata["quality"]["verdict"], "partial");
    let names: Vec<&str> = metadata["frames"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(names.len(), 201);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 201);
    assert_eq!(glb::read(&answer.glb()).cameras.len(), 200);
    assert_places(metadata, level);
    assert_eq!(server.info(&client.session).await["status"], "completed");
}

/// Bytes of the files of a session that are made of its images.
fn stored_bytes(server: &Server, session: &str) -> u64 {
    let folder = server.session_folder(session);
    let files = folder.read_dir().expect("the session has files");
    files
        .map(|file| file.expect("it can be read"))
        .filter(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.ends_with(".safetensors") || name.ends_with(".points")
        })
        .map(|file| file.metadata().expect("it is there").len())
        .sum()
}

#[tokio::test]
async fn a_camera_that_rests_adds_no_copies() {
    const RESTING: u8 = 40;
    let server = Server::with_model("extending", &[]).await;
    let mut moving = server.client("window=6&finalize_mode=refine").await;
    upload(&mut moving, 0..16).await;
    let moved = delta(&mut moving).await;
    let mut client = server.client("window=6&finalize_mode=refine").await;
    upload(&mut client, 0..12).await;
    let mut resting = Vec::new();
    for index in 0..RESTING {
        // Other pixels, seen from the same place.
        let image = png(&colored_image(56, 42, [11, 61 + index, 40]));
        resting.push(format!("11.{index}.png"));
        client.upload(&format!("11.{index}.png"), &image).await;
    }
    upload(&mut client, 12..16).await;
    let answer = delta(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(metadata["num_frames"], 16 + RESTING);
    assert_eq!(metadata["unregistered_frames"], json!([]));
    assert_eq!(metadata["still_frames"], json!(resting));
    assert_eq!(moved.metadata()["still_frames"], json!([]));
    assert_places(metadata, level);
    // They are as good as the others.
    assert_eq!(metadata["quality"]["verdict"], "good");
    let frames = metadata["quality"]["frames"].as_array().expect("a list");
    for frame in frames {
        assert_eq!(frame["used"], true, "{frame}");
        assert!(frame["known_share"].as_f64() > Some(0.4), "{frame}");
    }
    let [rested, all] = [&answer, &moved].map(|answer| glb::read(&answer.glb()));
    assert_eq!(rested.points.len(), all.points.len());
    assert_eq!(
        rested.cameras.len(),
        all.cameras.len() + usize::from(RESTING)
    );
    // A window of copies keeps the maps of one of them.
    let [rested, all] =
        [&client, &moving].map(|client| stored_bytes(&server, &client.session) as f64);
    assert!(rested < 2.5 * all, "{rested} {all}");
    for format in ["npz", "colmap", "ply", "nerfstudio"] {
        let path = format!("/ws/session/{}/result?format={format}", client.session);
        let reply = server.get(&path).await;
        assert_eq!(reply.status, 200, "{format}: {}", reply.text());
    }
}

#[tokio::test]
async fn images_without_an_order_find_those_of_their_place() {
    let server = Server::with_model("overlapping", &[]).await;
    let mut client = server
        .client("window=12&max_images=100&finalize_mode=refine")
        .await;
    // Neighbours in time are of no use: only the vectors tell which frames overlap.
    for part in shuffled(90).chunks(15) {
        upload(&mut client, part.iter().copied()).await;
        let answer = delta(&mut client).await;
        assert_places(answer.metadata(), level);
    }
    let answer = finalize(&mut client).await;
    let metadata = answer.metadata();
    assert_eq!(metadata["unregistered_frames"], json!([]));
    assert_eq!(metadata["num_frames"], 90);
    assert_places(metadata, level);
}

#[tokio::test]
async fn places_that_look_alike_are_told_apart() {
    let server = Server::with_model("overlapping", &[]).await;
    let mut client = server
        .client("window=12&max_images=210&finalize_mode=refine")
        .await;
    // From level 100 on everything looks as it did 100 levels before.
    for step in 0..10_u8 {
        upload(&mut client, 20 * step..20 * (step + 1)).await;
        let answer = delta(&mut client).await;
        let metadata = answer.metadata();
        assert_eq!(metadata["unregistered_frames"], json!([]));
        assert_places(metadata, level);
    }
    // The camera really comes back, to a place in the middle.
    upload(&mut client, [101, 103]).await;
    let answer = finalize(&mut client).await;
    assert_eq!(answer.metadata()["num_frames"], 202);
    assert_eq!(answer.metadata()["unregistered_frames"], json!([]));
    assert_places(answer.metadata(), level);
}

#[tokio::test]
async fn a_long_session_lets_short_ones_through() {
    const SHORT: usize = 10;
    let server = Server::with_model("slow_extending", &[]).await;
    let mut short = Vec::new();
    for _ in 0..SHORT {
        let mut client = server.client("").await;
        upload(&mut client, [7]).await;
        short.push(client);
    }
    let mut long = server.client("window=6&finalize_mode=refine").await;
    upload(&mut long, 0..60).await;
    long.generate(true).await;
    until("the first window", async || {
        (runs(&server).await >= 1.0).then_some(())
    })
    .await;
    let before = runs(&server).await;
    let answers = short.iter_mut().map(async |client| {
        client.generate(true).await;
        client.result("delta").await
    });
    assert_eq!(join_all(answers).await.len(), SHORT);
    // The window that ran when they asked, and one that a worker took before it knew of them all.
    let windows = runs(&server).await - before - SHORT as f64;
    assert!(windows <= 2.0, "{windows} windows came first");
    // The long session was not done meanwhile, or it would not have held up anybody.
    assert_eq!(server.info(&long.session).await["status"], "processing");
}
