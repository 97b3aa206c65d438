//! Runs ffmpeg's programs.

use std::io;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStdout, Command};

use super::error::VideoError;
use super::source::Source;

/// Bytes of an output that are kept.
const MAX_OUTPUT_BYTES: u64 = 64 << 10;
/// Characters of ffmpeg's complaints that are told. It complains about every frame of a damaged video.
const MAX_REASON: usize = 1000;

/// Runs a program, and reads its stdout in a way of the caller. Dropping the future kills the program.
///
/// # Errors
/// [`VideoError`] if it cannot be started or fails, and what reading gives.
pub async fn run<T, R: Future<Output = Result<T, VideoError>>>(
    source: &Source,
    mut command: Command,
    read: impl FnOnce(ChildStdout) -> R,
) -> Result<T, VideoError> {
    let started = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => VideoError::NoFfmpeg,
        _ => VideoError::System(error),
    })?;
    if let (Some(bounds), Some(id)) = (source.bounds(), child.id()) {
        bounds.limit(id)?;
    }
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("a program has no pipes").into());
    };
    let complaints = async { beginning(stderr).await.map_err(VideoError::from) };
    let status = async { child.wait().await.map_err(VideoError::from) };
    let (output, complaints, status) = tokio::try_join!(read(stdout), complaints, status)?;
    match status.success() {
        true => Ok(output),
        false => Err(VideoError::Unreadable(reason(&complaints, status))),
    }
}

/// Runs a program; returns the beginning of its stdout.
///
/// # Errors
/// [`VideoError`] if it cannot be started or fails.
pub async fn output(source: &Source, command: Command) -> Result<String, VideoError> {
    let read = async |stdout| beginning(stdout).await.map_err(VideoError::from);
    let output = run(source, command, read).await?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// The first [`MAX_OUTPUT_BYTES`]. The rest is read and dropped, so that the program can go on.
async fn beginning(mut output: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    (&mut output)
        .take(MAX_OUTPUT_BYTES)
        .read_to_end(&mut content)
        .await?;
    tokio::io::copy(&mut output, &mut tokio::io::sink()).await?;
    Ok(content)
}

/// Why a program failed.
fn reason(complaints: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(complaints);
    match text.trim() {
        "" => format!("ffmpeg failed with {status}"),
        text => text.chars().take(MAX_REASON).collect(),
    }
}
