//! Final results of maps without what frames of different windows contradict. The model `passing` places a
//! frame by its colour, and sees a wall. In a rather green frame it sees something before the wall.

use serde_json::{Value, json};

use crate::formats::look_at;
use crate::support::archives::archive;
use crate::support::client::{Answer, Client};
use crate::support::follower::Follower;
use crate::support::glb;
use crate::support::npz;
use crate::support::pictures::{at, blue, passed_at};
use crate::support::server::{Server, new_data_dir};

/// The smallest window: 6 frames in the first, then 2 new ones beside 4 that are placed.
const WINDOW: &str = "window=6&max_images=60&finalize_mode=refine";

/// Uploads a window, in two frames of which something is before the wall, and then frames in between.
async fn upload(client: &mut Client) {
    for level in [0, 2, 4, 6, 8, 10] {
        let picture = match level {
            2 | 8 => passed_at(level),
            _ => at(level),
        };
        client.upload(&format!("{level}.png"), &picture).await;
    }
    // It is not placed.
    client.upload("strange.png", &blue(99)).await;
    for level in [1, 3, 5, 7, 9, 11] {
        client.upload(&format!("{level}.png"), &at(level)).await;
    }
}

async fn delta(client: &mut Client) -> Answer {
    client.generate(true).await;
    client.result("delta").await
}

async fn finalized(client: &mut Client) -> Answer {
    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await
}

async fn confirm(client: &mut Client, follower: &Follower) {
    client
        .send(json!({"type": "received", "number": follower.number}))
        .await;
    client.expect_quiet().await;
}

fn count(answer: &Answer, field: &str) -> u64 {
    let value = &answer.metadata()[field];
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{field} is {value}"))
}

/// Points nearer than the wall, in the view of the first camera, which is that of the GLB.
fn before_the_wall(answer: &Answer) -> usize {
    let points = glb::read(&answer.glb()).points;
    let farthest = points
        .iter()
        .map(|point| point.z)
        .fold(f32::INFINITY, f32::min);
    let is_before = |z: f32| z > farthest + 0.1;
    points.iter().filter(|point| is_before(point.z)).count()
}

#[tokio::test]
async fn what_others_see_through_is_not_in_the_final_result() {
    let server = Server::with_model("passing", &[]).await;
    let mut client = server.client(WINDOW).await;
    upload(&mut client).await;
    let update = delta(&mut client).await;
    // Updates are not compared.
    assert_eq!(update.metadata()["contradicted_points"], Value::Null);
    assert!(before_the_wall(&update) > 500);
    let last = finalized(&mut client).await;
    let left_out = count(&last, "contradicted_points");
    assert_eq!(
        count(&last, "num_points") + left_out,
        count(&update, "num_points")
    );
    let all = glb::read(&update.glb()).points;
    let kept = glb::read(&last.glb()).points;
    assert_eq!(kept.len() as u64, count(&last, "num_points"));
    // In the same order.
    let mut rest = all.iter();
    assert!(kept.iter().all(|point| rest.any(|other| other == point)));
    // Nearly all that was before the wall is gone, and nothing else.
    let (before, after) = (before_the_wall(&update), before_the_wall(&last));
    assert_eq!((before - after) as u64, left_out);
    assert!(after * 5 < before, "{before} {after}");
    // What is left out is unknown in the depth maps, too, of which meshes are made.
    let path = format!("/ws/session/{}/result?format=npz", client.session);
    let confidence = npz::floats(&server.get(&path).await.body, "confidence");
    let known = confidence.iter().filter(|confidence| **confidence > 1.0);
    assert_eq!(known.count(), kept.len());
    look_at(
        &server,
        &client.session,
        &["-k", "not fit_the_other_images"],
    )
    .await;
}

#[tokio::test]
async fn one_window_is_not_compared() {
    let server = Server::with_model("passing", &[]).await;
    let mut client = server.client(WINDOW).await;
    for level in [0, 2, 4, 6, 8] {
        client
            .upload(&format!("{level}.png"), &passed_at(level))
            .await;
    }
    let update = delta(&mut client).await;
    let last = finalized(&mut client).await;
    assert_eq!(last.metadata()["contradicted_points"], Value::Null);
    let [before, after] = [&update, &last].map(|answer| count(answer, "num_points"));
    assert_eq!(before, after);
    assert!(before_the_wall(&last) > 500);
}

#[tokio::test]
async fn clients_that_keep_the_cloud_get_the_same() {
    let server = Server::with_model("passing", &[]).await;
    let mut whole = server.client(WINDOW).await;
    let session = whole.session.clone();
    upload(&mut whole).await;
    let mut client = Client::connect_with(&server, &session, "deltas=append").await;
    let mut follower = Follower::default();
    follower.apply(&delta(&mut client).await);
    confirm(&mut client, &follower).await;
    let complete = finalized(&mut client).await;
    assert!(count(&complete, "contradicted_points") > 0);
    assert_eq!(complete.metadata()["append"], Value::Null);
    // Everybody gets the same final result.
    let reply = server.get(&format!("/ws/session/{session}/result")).await;
    assert!(reply.body == complete.glb(), "the bytes are the same");

    // After it the stream goes on with all points, for both kinds of clients.
    let reply = server.post(&format!("/ws/session/{session}/reopen")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let update = delta(&mut client).await;
    assert_eq!(update.metadata()["append"]["reset"], false);
    follower.apply(&update);
    confirm(&mut client, &follower).await;
    let all = delta(&mut whole).await;
    assert_eq!(all.metadata()["contradicted_points"], Value::Null);
    follower.assert_has(&glb::read(&all.glb()));

    // An update that nobody got comes after another final result, and has what that has.
    client
        .send(json!({"type": "generate", "incremental": true, "id": "missed"}))
        .await;
    let since = follower.number;
    client.vanish();
    server.settled(&session).await;
    let complete = finalized(&mut whole).await;
    let query = format!("deltas=append&resume=true&since={since}");
    let mut again = Client::connect_with(&server, &session, &query).await;
    let update = again.result("delta").await;
    assert_eq!(update.message["id"], "missed");
    assert_eq!(update.metadata()["append"]["reset"], true);
    assert_eq!(
        count(&update, "contradicted_points"),
        count(&complete, "contradicted_points")
    );
    follower.apply(&update);
    follower.assert_has(&glb::read(&complete.glb()));
}

#[tokio::test]
async fn a_restart_keeps_the_result_and_leaves_no_files() {
    let path = archive("passing");
    let options = [
        "--model",
        path.to_str().expect("the folder has a plain name"),
    ];
    let server = Server::start_in(new_data_dir(), &options).await;
    let mut client = server.client(WINDOW).await;
    let session = client.session.clone();
    upload(&mut client).await;
    let complete = finalized(&mut client).await;
    client.expect_quiet().await;
    let npz = format!("/ws/session/{session}/result?format=npz");
    let before = server.get(&npz).await.body;
    let kept = |files: Vec<String>| -> Vec<String> {
        let made_again = |name: &String| name.ends_with(".npz") || name.contains("journal");
        files.into_iter().filter(|name| !made_again(name)).collect()
    };
    let files = kept(server.files());
    let marks = |files: &[String]| {
        let marks = files.iter().filter(|name| name.ends_with(".contradicted"));
        marks.count()
    };
    assert_eq!(marks(&files), 1);

    let server = Server::start_in(server.kill(), &options).await;
    assert_eq!(kept(server.files()), files);
    let glb = server.get(&format!("/ws/session/{session}/result")).await;
    assert!(glb.body == complete.glb(), "the bytes are the same");
    assert!(
        server.get(&npz).await.body == before,
        "the bytes are the same"
    );

    // The next result needs the file no more, and a server that starts removes none.
    let reply = server.post(&format!("/ws/session/{session}/reopen")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut client = Client::resume(&server, &session).await;
    delta(&mut client).await;
    client.expect_quiet().await;
    let server = Server::start_in(server.kill(), &options).await;
    assert_eq!(marks(&server.files()), 0);
}
