//! A model that determines its unit of length from the depth of all frames (`align`).

use serde_json::Value;

use crate::support::npz::mean_depth;
use crate::support::pictures::sized;
use crate::support::server::Server;

/// Mean depth of all frames after the model's alignment.
const MEAN_DEPTH: f64 = 10.0;

/// The metadata and the mean depth of a result of three frames.
async fn reconstruct(model: &str) -> (Value, f64) {
    let server = Server::with_model(model, &[]).await;
    let mut client = server.client("process_res=112").await;
    for name in ["a.png", "b.png", "c.png"] {
        client.upload(name, &sized(112, 84)).await;
    }
    client.generate(false).await;
    let answer = client.result("complete").await;
    let depth = mean_depth(&server, &client).await;
    (answer.metadata().clone(), depth)
}

/// Distance of each camera from the first one; all are on a line.
fn steps(metadata: &Value) -> Vec<f64> {
    let step = |index: usize| metadata["extrinsics"][index][0][3].as_f64();
    (0..3)
        .map(|index| -step(index).expect("a number"))
        .collect()
}

#[tokio::test]
async fn cameras_and_depth_are_in_the_unit_that_all_depth_decides() {
    let (plain, plain_depth) = reconstruct("flat").await;
    let (aligned, aligned_depth) = reconstruct("aligned").await;
    assert!((aligned_depth - MEAN_DEPTH).abs() < 1e-3, "{aligned_depth}");
    assert!((1.5..2.0).contains(&plain_depth), "{plain_depth}");
    let unit = MEAN_DEPTH / plain_depth;
    for (found, own) in steps(&aligned).iter().zip(steps(&plain)) {
        assert!((found - unit * own).abs() < 1e-4, "{found} {own} {unit}");
    }
    assert!(steps(&plain)[2] > 0.15, "the cameras have a baseline");
}
