//! Shared test support: the server process, a client, and checks of results.

pub mod archives;
pub mod client;
pub mod compressed;
pub mod disk;
pub mod ffmpeg;
pub mod follower;
pub mod gate;
pub mod geometry;
pub mod glb;
pub mod haproxy;
pub mod issuer;
pub mod likeness;
mod machines;
#[path = "../../actors/src/tests/remote/nats_server.rs"]
pub mod nats;
pub mod npz;
pub mod paths;
pub mod pictures;
pub mod program;
pub mod proxy;
pub mod python;
pub mod raw;
pub mod receiver;
pub mod relay;
pub mod rest;
pub mod s3;
pub mod scene;
pub mod schemas;
pub mod scrape;
pub mod server;
pub mod stand_in;
pub mod store;
#[path = "../../reconstruction/tests/exif/tiff.rs"]
pub mod tiff;
pub mod tls;
pub mod tokens;
pub mod worker;

use std::future::Future;
use std::time::Duration;

/// Timeout of any single step, to end hanging tests; no step should take nearly as long.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Waits for a future; fails the test after the timeout.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {} s", PATIENCE.as_secs()),
    }
}

/// Polls until there is a value; fails the test after the timeout.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(value) = ask().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}
