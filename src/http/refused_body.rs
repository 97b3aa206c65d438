//! What is left of the body of a refused request.

use std::time::Duration;

use futures_util::StreamExt;

use super::multipart::Body;
use crate::rates::Pace;

/// Longest time to read and discard it. A client that is still sending when the connection closes may not
/// receive the error.
const LINGER: Duration = Duration::from_secs(5);

/// Reads and discards what is left of a body.
pub async fn discard(mut body: Body, pace: &Pace) {
    let rest = async {
        while let Some(Ok(piece)) = body.next().await
            && pace.after_bytes(piece.len()).await.is_ok()
        {}
    };
    // After the timeout, the connection is closed all the same.
    let _ = tokio::time::timeout(LINGER, rest).await;
}
