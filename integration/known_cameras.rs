//! Known cameras that a client sends with its images.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::npz::mean_depth;
use crate::support::pictures::sized;
use crate::support::server::Server;

/// Size of the images, and their processed size in these tests.
const SIZE: (u32, u32) = (224, 168);
const QUERY: &str = "process_res=112";
const SCALE: f64 = 0.5;

fn image(extra: Value) -> Value {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(sized(SIZE.0, SIZE.1));
    let mut message = json!({"type": "image", "data": data});
    let fields = message.as_object_mut().expect("an object");
    fields.extend(extra.as_object().expect("an object").clone());
    message
}

/// The camera of frame `index`: with its own focal length, beside the first one.
fn camera(index: usize) -> Value {
    let focal = 200.0 + index as f64;
    json!({
        "intrinsics": [[focal, 0, 111.5], [0, focal, 83.5], [0, 0, 1]],
        "extrinsics": [
            [1, 0, 0, -0.25 * index as f64], [0, 1, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1],
        ],
    })
}

async fn metadata(client: &mut Client) -> Value {
    client.generate(true).await;
    client.result("delta").await.metadata().clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[tokio::test]
async fn a_model_that_takes_known_cameras_gets_them_when_all_are_known() {
    let server = Server::with_model("posed", &[]).await;
    assert_eq!(server.get("/info").await.json()["model"]["poses"], true);
    let mut client = server.client(QUERY).await;
    for index in 0..3 {
        client.send(image(camera(index))).await;
        client.expect("ack").await;
    }
    let known = metadata(&mut client).await;
    assert_eq!(known["known_cameras"], true);
    assert_eq!(known["processed_size"], json!([112, 84]));
    for index in 0..3 {
        let intrinsics = &known["intrinsics"][index];
        let focal = (200.0 + index as f64) * SCALE;
        assert!((number(&intrinsics[0][0]) - focal).abs() < 1e-3);
        assert!((number(&intrinsics[1][1]) - focal).abs() < 1e-3);
        assert!((number(&intrinsics[0][2]) - 55.5).abs() < 1e-3);
        assert!((number(&intrinsics[1][2]) - 41.5).abs() < 1e-3);
        let extrinsics = &known["extrinsics"][index];
        assert!((number(&extrinsics[0][3]) + 0.25 * index as f64).abs() < 1e-5);
        assert!((number(&extrinsics[1][3]) - 0.5).abs() < 1e-5);
    }
    let depth = mean_depth(&server, &client).await;
    // If one camera is unknown, the model estimates all of them, and the known ones are anchors.
    client.send(image(json!({"intrinsics": null}))).await;
    client.expect("ack").await;
    let found = metadata(&mut client).await;
    assert_eq!(found["known_cameras"], false);
    assert_eq!(found["anchors"]["agreeing"], 3);
    for index in 0..4 {
        let extrinsics = &found["extrinsics"][index];
        assert!((number(&extrinsics[0][3]) + 0.25 * index as f64).abs() < 1e-5);
        assert!((number(&extrinsics[1][3]) - 0.5).abs() < 1e-5);
    }
    // Given the cameras, the model has half of the client's unit; its own line has frames 0.1 apart.
    let estimated = mean_depth(&server, &client).await;
    let ratio = estimated / depth;
    assert!((ratio - 0.25 / 0.1 / 2.0).abs() < 1e-3, "{ratio}");
}

#[tokio::test]
async fn windows_with_known_cameras_are_placed_by_them() {
    let server = Server::with_model("posed", &[]).await;
    let mut client = server.client("process_res=112&window=6").await;
    for index in 0..11 {
        client.send(image(camera(index))).await;
        client.expect("ack").await;
    }
    let known = metadata(&mut client).await;
    assert_eq!(known["known_cameras"], true);
    assert_eq!(known["unregistered_frames"], json!([]));
    for index in 0..11 {
        let extrinsics = &known["extrinsics"][index];
        assert!((number(&extrinsics[0][3]) + 0.25 * index as f64).abs() < 1e-5);
        assert!((number(&extrinsics[1][3]) - 0.5).abs() < 1e-5);
    }
}

#[tokio::test]
async fn a_model_that_does_not_take_known_cameras_is_not_given_them() {
    let server = Server::with_model("flat", &[]).await;
    assert_eq!(server.get("/info").await.json()["model"]["poses"], false);
    let mut client = server.client(QUERY).await;
    client.send(image(camera(0))).await;
    client.expect("ack").await;
    assert_eq!(metadata(&mut client).await["known_cameras"], false);
}

#[tokio::test]
async fn what_is_no_camera_is_refused_and_the_session_lives_on() {
    let server = Server::start(&[]).await;
    let mut client = server.client(QUERY).await;
    let whole = camera(0);
    let (intrinsics, extrinsics) = (&whole["intrinsics"], &whole["extrinsics"]);
    for (fields, words) in [
        (
            json!({"intrinsics": intrinsics}),
            ["intrinsics", "extrinsics", "both"],
        ),
        (
            json!({"intrinsics": "none", "extrinsics": extrinsics}),
            ["intrinsics", "3 rows of 3 numbers", "a string"],
        ),
        (
            json!({"intrinsics": intrinsics, "extrinsics": [[1, 0, 0, 0]]}),
            ["extrinsics", "4 rows of 4 numbers", "another array"],
        ),
        (
            json!({"intrinsics": [[0, 0, 1], [0, 1, 1], [0, 0, 1]], "extrinsics": extrinsics}),
            ["intrinsics", "fx", "above 0"],
        ),
        (
            json!({
                "intrinsics": intrinsics,
                "extrinsics": [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]],
            }),
            ["extrinsics", "rotation", "translation"],
        ),
    ] {
        client.send(image(fields)).await;
        client.expect_error(&words).await;
    }
    client.send(image(whole)).await;
    let ack = client.expect("ack").await;
    assert_eq!(ack["image_count"], 1);
}
