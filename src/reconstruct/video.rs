//! Frames of a video, read by ffmpeg where it is installed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;

use super::error::ReconstructError;

/// `count` frames of a video, evenly spread over it, as JPEG files in a new folder.
///
/// # Errors
/// [`ReconstructError`] if ffmpeg is not installed or cannot read the file.
pub async fn frames(
    path: &Path,
    count: u32,
    folder: &Path,
) -> Result<Vec<PathBuf>, ReconstructError> {
    let failed = |reason: String| ReconstructError::Video {
        path: path.to_owned(),
        reason,
    };
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-show_entries", "format=duration"]);
    probe.args(["-of", "csv=p=0"]).arg(path);
    let said = succeed(probe, path).await?;
    let duration = String::from_utf8_lossy(&said.stdout);
    let duration: f64 = match duration.trim().parse() {
        Ok(seconds) if seconds > 0.0 => seconds,
        _ => return Err(failed("it does not know how long it is".to_owned())),
    };

    tokio::fs::create_dir(folder).await?;
    let mut decode = Command::new("ffmpeg");
    decode.args(["-v", "error", "-nostdin", "-i"]).arg(path);
    decode.args(["-vf", &format!("fps={}", f64::from(count) / duration)]);
    decode.args(["-frames:v", &count.to_string(), "-q:v", "2"]);
    decode.arg(folder.join("frame_%05d.jpg"));
    succeed(decode, path).await?;

    let mut frames = Vec::new();
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        frames.push(entry.path());
    }
    if frames.is_empty() {
        return Err(failed("it has no frames".to_owned()));
    }
    frames.sort();
    Ok(frames)
}

/// Runs one of ffmpeg's programs. It ends when this is given up.
async fn succeed(mut command: Command, path: &Path) -> Result<Output, ReconstructError> {
    let run = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    match run {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(ReconstructError::Video {
                path: path.to_owned(),
                reason: said.trim().to_owned(),
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ReconstructError::NoFfmpeg(path.to_owned()))
        }
        Err(error) => Err(ReconstructError::Video {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}
