//! Sessions with the images of another one.

use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::pictures::{photo, sized};
use crate::support::server::Server;
use crate::support::until;

/// Runs a session again; returns the response.
async fn rerun(server: &Server, session: &str, query: &str) -> Value {
    let reply = server
        .post(&format!("/ws/session/{session}/rerun?{query}"))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Waits until a session has so many images, and none is pending.
async fn images(server: &Server, session: &str, count: u32) -> Value {
    until("the images", async || {
        let info = server.info(session).await;
        (info["image_count"] == count && info["pending_images"] == 0).then_some(())
    })
    .await;
    let list = format!("/ws/session/{session}/images");
    server.get(&list).await.json()["images"].clone()
}

/// The number of sessions that share each original of a session.
fn links(server: &Server, session: &str) -> Vec<u64> {
    let folder = server.session_folder(session);
    let entries = folder.read_dir().expect("the session has a folder");
    let originals = entries
        .map(|entry| entry.expect("readable"))
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".image"));
    originals
        .map(|entry| entry.metadata().expect("it is there").nlink())
        .collect()
}

#[tokio::test]
async fn other_parameters_need_no_upload() {
    let server = Server::start(&[]).await;
    let mut client = server.client("max_images=7&filter_edges=true").await;
    let first = client.session.clone();
    for index in 0..3 {
        let message = json!({
            "type": "image", "filename": format!("{index}.png"), "id": format!("i{index}"),
            "data": base64(&sized(112, 84)),
        });
        client.send(message).await;
        client.expect("ack").await;
    }
    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await;
    let before = images(&server, &first, 3).await;

    // Frames of another size are made anew of the same files.
    let created = rerun(&server, &first, "process_res=112&conf_thresh_percentile=40").await;
    let larger = created["session_id"].as_str().expect("an identifier");
    assert_eq!(created["max_images"], 7);
    assert_eq!(created["config"]["process_res"], 112);
    assert_eq!(created["config"]["filter_edges"], true);
    let found = images(&server, larger, 3).await;
    for (index, image) in found.as_array().expect("a list").iter().enumerate() {
        assert_eq!(image["image_path"], before[index]["image_path"]);
        assert_eq!(image["id"], before[index]["id"]);
        assert_eq!(image["width"], 112);
    }
    assert_eq!(links(&server, larger), [2, 2, 2]);
    // The same frames are shared, too, and serve at once.
    let created = rerun(&server, &first, "num_max_points=50").await;
    let sampled = created["session_id"].as_str().expect("an identifier");
    assert_eq!(images(&server, sampled, 3).await, before);
    assert_eq!(links(&server, sampled), [3, 3, 3]);

    // Each goes on without the others.
    assert_eq!(
        server.delete(&format!("/ws/session/{first}")).await.status,
        200
    );
    for (session, size) in [(larger, 112), (sampled, 56)] {
        let mut client = Client::connect(&server, session).await;
        assert_eq!(client.greeting["image_count"], 3);
        client.upload("more.png", &sized(112, 84)).await;
        client.generate(true).await;
        let delta = client.result("delta").await;
        assert_eq!(delta.metadata()["num_frames"], 4);
        assert_eq!(delta.metadata()["processed_size"][0], size);
        // Coordinates of its own.
        assert_eq!(delta.metadata()["alignment"]["method"], "origin");
        if session == sampled {
            assert_eq!(delta.metadata()["num_points"], 50);
        }
    }
}

#[tokio::test]
async fn images_that_cannot_be_used_again_are_counted() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    for index in 0..3 {
        client.upload(&format!("{index}.png"), &photo(index)).await;
    }
    let damaged = server.session_folder(&client.session).join("2.image");
    let length = std::fs::metadata(&damaged).expect("it is stored").len();
    let zeros = vec![0; usize::try_from(length).expect("small")];
    std::fs::write(&damaged, zeros).expect("written");
    let created = rerun(&server, &client.session, "process_res=112").await;
    assert_eq!(created["image_count"], 2);
    assert_eq!(created["images_left_out"], 1);
    let session = created["session_id"].as_str().expect("an identifier");
    assert_eq!(server.info(session).await["image_count"], 2);
    let created = rerun(&server, &client.session, "num_max_points=50").await;
    assert_eq!(created["images_left_out"], 0, "its frame is still there");
}

#[tokio::test]
async fn a_request_waits_for_the_images() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    for index in 0..4 {
        client.upload(&format!("{index}.png"), &photo(index)).await;
    }
    let created = rerun(&server, &client.session, "process_res=112").await;
    let session = created["session_id"].as_str().expect("an identifier");
    let mut again = Client::connect(&server, session).await;
    again.generate(false).await;
    let complete = again.result("complete").await;
    assert_eq!(complete.metadata()["num_frames"], 4);
}

#[tokio::test]
async fn known_cameras_are_those_of_the_photos() {
    let server = Server::with_model("posed", &[]).await;
    let mut client = server.client("").await;
    for index in 0..3 {
        let mut pose = json!([
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 1.0]
        ]);
        pose[0][3] = json!(f64::from(index) * -0.2);
        let message = json!({
            "type": "image", "data": base64(&sized(224, 168)), "extrinsics": pose,
            "intrinsics": [[200.0, 0.0, 111.5], [0.0, 200.0, 83.5], [0.0, 0.0, 1.0]],
        });
        client.send(message).await;
        client.expect("ack").await;
    }
    let mut focal_lengths = Vec::new();
    let created = rerun(&server, &client.session, "process_res=112").await;
    let session = created["session_id"].as_str().expect("an identifier");
    for (mut client, width) in [
        (client, 56.0),
        (Client::connect(&server, session).await, 112.0),
    ] {
        client.generate(false).await;
        let complete = client.result("complete").await;
        assert_eq!(complete.metadata()["known_cameras"], true);
        let focal = complete.metadata()["intrinsics"][0][0][0].as_f64();
        focal_lengths.push(focal.expect("a number") / width);
    }
    let [small, large] = focal_lengths[..] else {
        panic!("two sessions");
    };
    assert!((small / large - 1.0).abs() < 0.02, "{small} {large}");
}

#[tokio::test]
async fn what_cannot_be_run_again_is_refused() {
    let server = Server::start(&["--max-sessions", "1"]).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    client.upload("1.png", &photo(1)).await;
    let path = format!("/ws/session/{}/rerun", client.session);
    for (path, status, code) in [
        (format!("{path}?max_images=1"), 422, "invalid_parameter"),
        (format!("{path}?process_res=none"), 422, "invalid_parameter"),
        (format!("{path}?resolution=5"), 422, "unknown_parameter"),
        (path, 503, "too_many_sessions"),
        (
            "/ws/session/none/rerun".to_owned(),
            404,
            "session_not_found",
        ),
    ] {
        let reply = server.post(&path).await;
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (status, &json!(code)),
            "{path}"
        );
    }
    assert_eq!(server.info(&client.session).await["image_count"], 2);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
