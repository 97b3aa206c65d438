//! Frames as `multipart/form-data`, read from their files while they are sent.

use std::future::ready;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use headers::{ContentLength, HeaderMapExt as _};
use sync_wrapper::SyncStream;
use tokio::fs::File;
use tokio_util::io::ReaderStream;
use uuid::Uuid;
use warp::http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use warp::reply::{Reply, Response};

/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;
/// What ends a part.
const LINE: &[u8] = b"\r\n";

/// A frame, and what comes before it.
struct Part {
    head: Bytes,
    file: PathBuf,
}

/// The answer with these files, which breaks off after the longest time. `kept` is dropped before its last bytes are
/// sent, or when the client leaves.
///
/// # Errors
/// If a file cannot be found.
pub async fn answer(
    files: Vec<PathBuf>,
    kept: impl Send + 'static,
    longest: Duration,
) -> io::Result<Response> {
    // A random one is in no file.
    let boundary = format!("pointstream-{}", Uuid::new_v4().simple());
    let end = Bytes::from(format!("--{boundary}--\r\n"));
    let mut length = end.len() as u64;
    let mut parts = Vec::new();
    for (index, file) in files.into_iter().enumerate() {
        let number = index + 1;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"images\"; \
             filename=\"frame_{number:05}.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"
        );
        let bytes = tokio::fs::metadata(&file).await?.len();
        length += head.len() as u64 + bytes + LINE.len() as u64;
        parts.push(Part {
            head: head.into(),
            file,
        });
    }
    let pieces = stream::iter(parts).then(open).try_flatten();
    // A client that has the whole answer may send its next video at once.
    let end = stream::once(async move {
        drop(kept);
        Ok(end)
    });
    let pieces = pieces.chain(end).take_until(tokio::time::sleep(longest));
    let pieces = SyncStream::new(pieces);
    let mut response = warp::reply::stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.typed_insert(ContentLength(length));
    if let Ok(kind) = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}")) {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

async fn open(part: Part) -> io::Result<impl stream::Stream<Item = io::Result<Bytes>> + Send> {
    let file = File::open(&part.file).await;
    let file = file.inspect_err(|error| {
        tracing::error!(%error, "a frame cannot be sent");
    })?;
    let head = stream::once(ready(Ok(part.head)));
    let end = stream::once(ready(Ok(Bytes::from_static(LINE))));
    Ok(head
        .chain(ReaderStream::with_capacity(file, PIECE))
        .chain(end))
}
