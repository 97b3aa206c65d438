//! How long a client may take to send something.

use std::time::Duration;

/// Least speed of a client in the middle of a message or an image, in bytes per second.
pub const LEAST_SPEED: u32 = 16 << 10;

/// How long an upload waits for memory while no other one gets any: longer than `timeout`, after which
/// one that has stalled gives back what it holds.
pub fn memory_wait(timeout: Duration) -> Duration {
    2 * timeout
}

/// How long the server waits altogether for a client's bytes: `timeout`, and longer for those that have
/// come.
pub fn receive_time(timeout: Duration, received: usize) -> Duration {
    timeout + Duration::from_secs_f64(received as f64 / f64::from(LEAST_SPEED))
}
