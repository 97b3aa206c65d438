//! Frames of a video, read by ffmpeg where it is installed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::error::ReconstructError;

/// The video itself, and no picture of its cover.
const STREAM: &str = "V:0";
/// The format that ffmpeg takes text for: art of letters, which it would draw.
const TEXT: &str = "tty";
/// What the frames are called. Relative to their folder, as ffmpeg gives a `%` a meaning.
const PATTERN: &str = "frame_%05d.jpg";
/// Bytes of what one of ffmpeg's programs says that are kept.
const MOST_WORDS: u64 = 64 << 10;

/// `count` frames of a video, evenly spread over it, as JPEG files in a new folder. All of its
/// frames if there are no more.
///
/// # Errors
/// [`ReconstructError`] if ffmpeg is not installed or cannot read the file.
pub async fn frames(
    path: &Path,
    count: u32,
    folder: &Path,
) -> Result<Vec<PathBuf>, ReconstructError> {
    let failed = |reason: &str| ReconstructError::Video {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    // Otherwise a name may look like an option or like the address of something else.
    let mut source = OsString::from("file:");
    source.push(std::path::absolute(path)?);

    let format = probe(&["-show_entries", "format=format_name"], &source, path).await?;
    if format.trim() == TEXT {
        return Err(failed("it is text"));
    }
    // By decoding it: recordings of browsers do not tell their duration, and a part that was cut
    // out without encoding it again has packets before it that no frame is shown of.
    let count_frames = ["-threads", "0", "-count_frames", "-select_streams", STREAM];
    let entry = ["-show_entries", "stream=nb_read_frames"];
    let said = probe(&[&count_frames[..], &entry].concat(), &source, path).await?;
    let all = said.lines().find_map(|line| line.parse::<u64>().ok());
    let Some(all) = all.filter(|all| *all > 0) else {
        return Err(failed("it has no frames"));
    };

    tokio::fs::create_dir(folder).await?;
    let mut decode = Command::new("ffmpeg");
    decode.current_dir(folder);
    decode.args(["-v", "error", "-nostdin", "-i"]).arg(&source);
    decode.args(["-map", &format!("0:{STREAM}"), "-vf", &choice(count, all)]);
    // As the filter numbers them: ffmpeg fills what it takes for gaps with copies.
    decode.args(["-r", "1", "-frames:v", &count.to_string(), "-q:v", "2"]);
    succeed(decode.arg(PATTERN), path).await?;

    let mut frames = Vec::new();
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        frames.push(entry.path());
    }
    if frames.is_empty() {
        return Err(failed("it has no frames"));
    }
    alphanumeric_sort::sort_path_slice(&mut frames);
    Ok(frames)
}

/// The filter that lets `count` of `all` frames through, one in each second.
fn choice(count: u32, all: u64) -> String {
    // As many parts of the same length, and the first frame whose middle lies in each.
    let part = |middle| format!("floor(({middle})*{count}/{all})");
    let (this, before) = (part("n+0.5"), part("n-0.5"));
    format!("select='gt({this},{before})',settb=1,setpts=N")
}

/// The values that ffprobe tells, each in a line.
async fn probe(options: &[&str], source: &OsStr, path: &Path) -> Result<String, ReconstructError> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-of", "default=nokey=1:noprint_wrappers=1"]);
    let said = succeed(probe.args(options).arg(source), path).await?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Runs one of ffmpeg's programs, and gives what it writes. It ends when this is given up.
async fn succeed(command: &mut Command, path: &Path) -> Result<Vec<u8>, ReconstructError> {
    let fail = |reason: String| ReconstructError::Video {
        path: path.to_owned(),
        reason,
    };
    let (said, complaint, status) = run(command).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReconstructError::NoFfmpeg(path.to_owned()),
        _ => fail(error.to_string()),
    })?;
    match status.success() {
        true => Ok(said),
        false => Err(fail(String::from_utf8_lossy(&complaint).trim().to_owned())),
    }
}

/// What a program writes and complains of, the beginning of each, and how it ended.
async fn run(command: &mut Command) -> io::Result<(Vec<u8>, Vec<u8>, ExitStatus)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    tokio::try_join!(beginning(stdout), beginning(stderr), child.wait())
}

/// The first [`MOST_WORDS`] bytes; the rest is read and forgotten. Of a damaged video ffmpeg says
/// something in every frame.
async fn beginning(output: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut words = Vec::new();
    if let Some(mut output) = output {
        (&mut output)
            .take(MOST_WORDS)
            .read_to_end(&mut words)
            .await?;
        tokio::io::copy(&mut output, &mut tokio::io::sink()).await?;
    }
    Ok(words)
}
