//! Clients that keep the point cloud and get only what is new (`deltas=append`), and the message `map`.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::follower::{Follower, list, matrix};
use crate::support::glb;
use crate::support::pictures::{at, blue, photo};
use crate::support::scrape::Scrape;
use crate::support::server::Server;
use crate::support::until;

/// The smallest window: 6 frames in the first, then 2 new ones beside 4 that are placed.
const WINDOW: &str = "window=6&max_images=60&finalize_mode=refine";

async fn start() -> Server {
    Server::with_model("extending", &[]).await
}

async fn follow(server: &Server, session: &str, query: &str) -> Client {
    let query = format!("deltas=append{query}");
    let client = Client::connect_with(server, session, &query).await;
    assert_eq!(client.greeting["deltas"], "append");
    client
}

async fn upload(client: &mut Client, levels: std::ops::Range<u8>) {
    for level in levels {
        client.upload(&format!("{level}.png"), &at(level)).await;
    }
}

async fn delta(client: &mut Client) -> Answer {
    client.generate(true).await;
    client.result("delta").await
}

async fn confirm(client: &mut Client, follower: &Follower) {
    client
        .send(json!({"type": "received", "number": follower.number}))
        .await;
    client.expect_quiet().await;
}

fn append(answer: &Answer) -> &Value {
    &answer.metadata()["append"]
}

/// Asks both kinds of clients for an update, and compares what they have.
async fn compare(append: &mut Client, follower: &mut Follower, whole: &mut Client) -> Answer {
    let update = delta(append).await;
    follower.apply(&update);
    let all = delta(whole).await;
    assert_eq!(all.metadata()["append"], Value::Null);
    assert_eq!(
        all.metadata()["num_points"],
        update.metadata()["num_points"]
    );
    follower.assert_has(&glb::read(&all.glb()));
    update
}

#[tokio::test]
async fn updates_add_up_to_what_old_clients_get_with_and_without_a_limit() {
    let server = start().await;
    for limit in ["", "&num_max_points=15000", "&num_max_points=2500"] {
        let mut whole = server.client(&format!("{WINDOW}{limit}")).await;
        let mut client = follow(&server, &whole.session, "").await;
        let mut follower = Follower::default();
        let mut dropped = 0;
        // Four are one run of the model; the map begins with nine.
        for (from, to) in [(0, 4), (4, 9), (9, 10), (10, 14), (14, 15), (15, 23)] {
            upload(&mut whole, from..to).await;
            let update = compare(&mut client, &mut follower, &mut whole).await;
            let append = append(&update);
            assert_eq!(append["reset"], to <= 9, "{to}");
            assert_eq!(list(&append["corrections"]).len(), 0);
            dropped += list(&append["kept"]).len();
            if to > 9 {
                let new: Vec<_> = list(&append["frames"]).iter().collect();
                let names: Vec<String> = (from..to).map(|level| format!("{level}.png")).collect();
                let found: Vec<_> = new.iter().map(|pose| pose["name"].clone()).collect();
                assert_eq!(found, names);
                assert_eq!(update.metadata()["frames"], json!(names));
                let matrices = &update.metadata()["extrinsics"];
                assert_eq!(list(matrices).len(), names.len());
                let judged = &update.metadata()["quality"]["frames"];
                assert_eq!(list(judged).len(), names.len());
                assert_eq!(update.metadata()["num_frames"], to);
            }
        }
        assert_eq!(dropped > 0, !limit.is_empty(), "{limit}");
        // Nothing is new.
        let update = compare(&mut client, &mut follower, &mut whole).await;
        assert_eq!(append(&update)["frames"], json!([]));
        // The final result is whole for everybody. It has what the client has, without what frames of other
        // windows contradict: the surface that the model makes up is not the same in all frames.
        client.send(json!({"type": "finalize"})).await;
        let last = client.result("complete").await;
        assert_eq!(last.metadata()["append"], Value::Null);
        let count = |answer: &Answer, field: &str| answer.metadata()[field].as_u64();
        let left_out = count(&last, "contradicted_points").expect("frames were compared");
        assert_eq!(
            count(&last, "num_points").map(|points| points + left_out),
            count(&update, "num_points")
        );
    }
}

#[tokio::test]
async fn updates_do_not_grow_with_the_session() {
    let server = start().await;
    let session = server.session(WINDOW).await;
    let mut client = follow(&server, &session, "&binary=true").await;
    let mut follower = Follower::default();
    let mut sizes = Vec::new();
    for step in 0..10_u8 {
        upload(&mut client, 4 * step..4 * step + 4).await;
        let update = delta(&mut client).await;
        assert!(update.is_binary());
        follower.apply(&update);
        sizes.push(update.glb().len() + update.message.to_string().len());
    }
    // The map begins with the second.
    let (third, last) = (sizes[2], sizes[9]);
    assert!(last * 100 < third * 105, "{sizes:?}");
    assert_eq!(follower.frames.len(), 40);
}

#[tokio::test]
async fn a_client_that_returns_gets_what_it_missed() {
    let server = start().await;
    let mut whole = server.client(WINDOW).await;
    let session = whole.session.clone();
    let mut follower = Follower::default();
    upload(&mut whole, 0..8).await;
    let mut client = follow(&server, &session, "").await;
    follower.apply(&delta(&mut client).await);
    confirm(&mut client, &follower).await;
    // Confirming again changes nothing.
    confirm(&mut client, &follower).await;
    let kept = follower.clone();
    upload(&mut whole, 8..12).await;
    // This update arrives, but is lost with the client.
    let lost = append(&delta(&mut client).await)["number"].clone();
    client.expect_quiet().await;
    client.vanish();

    let query = format!("&resume=true&since={}", kept.number);
    let mut again = follow(&server, &session, &query).await;
    upload(&mut whole, 12..14).await;
    follower = kept.clone();
    let update = compare(&mut again, &mut follower, &mut whole).await;
    assert_eq!(append(&update)["reset"], false);
    assert_eq!(list(&append(&update)["frames"]).len(), 6);

    // What was not confirmed is not known, nor is what never was.
    for since in [lost.to_string(), "99".to_owned(), "0".to_owned()] {
        let mut other = follow(&server, &session, &format!("&since={since}")).await;
        let update = compare(&mut other, &mut follower, &mut whole).await;
        assert_eq!(append(&update)["reset"], true, "{since}");
        assert_eq!(follower.frames.len(), 14);
    }
}

#[tokio::test]
async fn an_answer_that_nobody_got_fits_the_client_that_returns() {
    let server = Server::with_model("slow_extending", &[]).await;
    let session = server.session(WINDOW).await;
    let mut client = follow(&server, &session, "").await;
    let mut follower = Follower::default();
    upload(&mut client, 0..7).await;
    follower.apply(&delta(&mut client).await);
    confirm(&mut client, &follower).await;
    upload(&mut client, 7..9).await;
    client
        .send(json!({"type": "generate", "incremental": true, "id": "missed"}))
        .await;
    client.inference_started().await;
    client.vanish();
    server.settled(&session).await;
    let query = format!("&resume=true&since={}", follower.number);
    let mut again = follow(&server, &session, &query).await;
    let update = again.result("delta").await;
    assert_eq!(update.message["id"], "missed");
    assert_eq!(append(&update)["reset"], false);
    assert_eq!(follower.apply(&update).len(), 2);
    again.expect_quiet().await;
    // A client of the other kind gets whole clouds.
    let mut whole = Client::connect(&server, &session).await;
    let all = delta(&mut whole).await;
    follower.assert_has(&glb::read(&all.glb()));
}

#[tokio::test]
async fn a_map_that_begins_anew_is_a_reset() {
    let server = start().await;
    let mut whole = server.client(WINDOW).await;
    let mut client = follow(&server, &whole.session, "").await;
    let mut follower = Follower::default();
    for index in 0..12 {
        let name = format!("blue {index}.png");
        whole.upload(&name, &blue(100 + index)).await;
    }
    let update = compare(&mut client, &mut follower, &mut whole).await;
    assert!(follower.frames.is_empty());
    let missed = &update.metadata()["unregistered_frames"];
    assert_eq!(list(missed).len(), 12);
    upload(&mut whole, 3..12).await;
    let update = compare(&mut client, &mut follower, &mut whole).await;
    assert_eq!(append(&update)["reset"], true);
    assert_eq!(follower.frames.len(), 9);
}

#[tokio::test]
async fn an_adjustment_moves_what_a_client_has() {
    let server = Server::with_model("adjusting", &[]).await;
    let mut whole = server.client("window=6&finalize_mode=whole").await;
    let mut client = follow(&server, &whole.session, "").await;
    let mut follower = Follower::default();
    upload(&mut whole, 0..9).await;
    follower.apply(&delta(&mut client).await);
    // It runs ahead of a request, since the map has grown enough.
    let labels = [("kind", "adjust"), ("outcome", "succeeded")];
    until("the adjustment", async || {
        let scrape = Scrape::of(&server).await;
        (scrape.value("pointstream_jobs_total", &labels) > 0.0).then_some(())
    })
    .await;
    let update = until("the corrections", async || {
        let update = delta(&mut client).await;
        follower.apply(&update);
        let corrected = !list(&append(&update)["corrections"]).is_empty();
        corrected.then_some(update)
    })
    .await;
    let append = append(&update);
    assert_eq!(
        (&append["reset"], &append["frames"]),
        (&json!(false), &json!([]))
    );
    let all = delta(&mut whole).await;
    follower.assert_has(&glb::read(&all.glb()));
}

#[tokio::test]
async fn joined_pieces_and_loops_reach_clients_that_keep_the_cloud() {
    // Two pieces of which the second becomes the largest, and then one; there and back again.
    let islands: [Vec<u8>; 4] = [
        (10..22).collect(),
        (60..68).collect(),
        (68..74).collect(),
        (25..60).step_by(5).collect(),
    ];
    let loops: [Vec<u8>; 2] = [
        (10..60).step_by(2).collect(),
        (11..60).rev().step_by(2).collect(),
    ];
    for (model, parts) in [("islands", &islands[..]), ("drifting", &loops[..])] {
        let server = Server::with_model(model, &[]).await;
        let mut whole = server.client(WINDOW).await;
        let mut client = follow(&server, &whole.session, "").await;
        let mut follower = Follower::default();
        let mut corrected = 0;
        for part in parts {
            for level in part {
                whole.upload(&format!("{level}.png"), &at(*level)).await;
            }
            let update = compare(&mut client, &mut follower, &mut whole).await;
            corrected += list(&append(&update)["corrections"]).len();
        }
        assert_eq!(corrected > 0, model == "drifting", "{model}");
    }
}

#[tokio::test]
async fn one_run_of_the_model_sends_all_each_time() {
    let server = Server::start(&[]).await;
    let mut whole = server.client("").await;
    let mut client = follow(&server, &whole.session, "&binary=true").await;
    let mut follower = Follower::default();
    for step in 0..3 {
        whole.upload(&format!("{step}.png"), &photo(step)).await;
        let update = compare(&mut client, &mut follower, &mut whole).await;
        assert_eq!(append(&update)["reset"], true);
        assert_eq!(follower.frames.len(), step as usize + 1);
    }
}

#[tokio::test]
async fn old_clients_see_no_change() {
    let server = start().await;
    let mut results = Vec::new();
    for followed in [false, true] {
        let mut whole = server.client(WINDOW).await;
        assert_eq!(whole.greeting["deltas"], Value::Null);
        let mut client = match followed {
            true => Some(follow(&server, &whole.session, "").await),
            false => None,
        };
        let mut files = Vec::new();
        for levels in [0..5, 5..9, 9..12] {
            upload(&mut whole, levels).await;
            if let Some(client) = &mut client {
                delta(client).await;
            }
            let answer = delta(&mut whole).await;
            let fields = answer.metadata().as_object().expect("an object");
            let fields: Vec<String> = fields.keys().cloned().collect();
            files.push((fields, glb::read(&answer.glb())));
        }
        results.push(files);
    }
    for ((fields, alone), (same_fields, followed)) in results[0].iter().zip(&results[1]) {
        assert_eq!(fields, same_fields);
        assert!(!fields.contains(&"append".to_owned()));
        // In the same order, but windows may have been cut at other frames, so up to rounding.
        assert_eq!(alone.colours, followed.colours);
        for (point, same) in alone.points.iter().zip(&followed.points) {
            assert!((point - same).norm() < 1e-5);
        }
        assert_eq!(alone.cameras.len(), followed.cameras.len());
        assert_eq!(alone.line_ends, followed.line_ends);
    }
}

async fn poses(client: &mut Client) -> Value {
    client.send(json!({"type": "map", "id": "m"})).await;
    let (_, answer) = client.up_to(&["poses", "error"]).await;
    assert_eq!(
        (&answer["type"], &answer["id"]),
        (&json!("poses"), &json!("m"))
    );
    answer
}

#[tokio::test]
async fn the_map_says_where_everything_is_at_any_time() {
    let server = Server::with_model("slow_extending", &[]).await;
    let session = server.session(WINDOW).await;
    let mut client = follow(&server, &session, "").await;
    let mut follower = Follower::default();
    let nothing = poses(&mut client).await;
    assert_eq!(nothing["frames"], json!([]));
    assert_eq!(nothing["processed_size"], Value::Null);

    // Of one run of the model.
    upload(&mut client, 1..4).await;
    follower.apply(&delta(&mut client).await);
    let early = poses(&mut client).await;
    assert_eq!(early["processed_size"], json!([56, 42]));
    assert_poses(&early, &follower, 3);
    assert!(
        list(&early["frames"])
            .iter()
            .all(|pose| pose["chunk"].is_null())
    );

    // While the map grows.
    upload(&mut client, 4..8).await;
    client.upload("strange.png", &blue(99)).await;
    client.generate(true).await;
    client.inference_started().await;
    assert_poses(&poses(&mut client).await, &follower, 3);
    follower.apply(&client.result("delta").await);
    let late = poses(&mut client).await;
    assert_poses(&late, &follower, 8);
    let strange = &list(&late["frames"])[7];
    assert_eq!(
        (&strange["name"], &strange["image"]),
        (&json!("strange.png"), &json!(7))
    );
    assert_eq!(
        (&strange["placed"], &strange["camera_to_glb"]),
        (&json!(false), &Value::Null)
    );
    let chunks: Vec<_> = list(&late["frames"])
        .iter()
        .map(|pose| &pose["chunk"])
        .collect();
    assert_eq!(
        chunks[..7],
        [
            &json!(0),
            &json!(0),
            &json!(0),
            &json!(0),
            &json!(0),
            &json!(0),
            &json!(1)
        ]
    );

    // After the end.
    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await;
    assert_poses(&poses(&mut client).await, &follower, 8);
}

/// Checks that the poses are those of the frames that a client has.
fn assert_poses(poses: &Value, follower: &Follower, frames: usize) {
    let poses = list(&poses["frames"]);
    assert_eq!(poses.len(), frames);
    let placed: Vec<&Value> = poses.iter().filter(|pose| pose["placed"] == true).collect();
    assert_eq!(placed.len(), follower.frames.len());
    for pose in placed {
        let id = pose["frame"].as_u64().expect("a number");
        let frame = &follower.frames[&id];
        assert_eq!(pose["name"], frame.name.as_str());
        let difference = matrix(&pose["camera_to_glb"]) - frame.camera_to_glb;
        assert!(difference.amax() < 1e-6);
        let difference = matrix(&pose["points_to_glb"]) - frame.points_to_glb;
        assert!(difference.amax() < 1e-6);
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_by_name() {
    let server = start().await;
    let session = server.session("voxel_size=0.5").await;
    let plain = server.session("").await;
    for (session, query, word) in [
        (&session, "deltas=append", "voxel_size"),
        (&plain, "deltas=all", "cumulative or append"),
        (&plain, "since=3", "deltas=append"),
        (&plain, "deltas=append&since=x", "since"),
    ] {
        let address = format!("{}?{query}", server.socket(session));
        let (before, closed) = Client::refused(&address).await;
        assert_eq!(closed.code, Some(4422), "{query}");
        let message = before[0]["message"].as_str().expect("an error");
        assert!(message.contains(word), "{query}: {message}");
    }
    // Old deltas have voxels.
    Client::connect_with(&server, &session, "deltas=cumulative").await;

    let mut client = follow(&server, &plain, "").await;
    for (message, word) in [
        (json!({"type": "received"}), "number"),
        (json!({"type": "received", "number": 0}), "number"),
        (json!({"type": "received", "number": 1.5}), "number"),
        (json!({"type": "received", "number": "1"}), "number"),
        (
            json!({"type": "received", "number": 1, "id": "r"}),
            "no result 1",
        ),
    ] {
        client.send(message).await;
        client.expect_error(&[word]).await;
    }
    client.expect_quiet().await;
}
