//! Frames of a video, read by an installed ffmpeg.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::error::ReconstructError;
use super::tone_mapping::{self, Hdr};

/// The first video stream that is not a cover picture.
const STREAM: &str = "V:0";
/// ffmpeg's name for the format of text files, which it would draw as pictures.
const TEXT: &str = "tty";
/// The names of the frames. Relative, because ffmpeg would interpret a `%` in the folder's path.
const PATTERN: &str = "frame_%05d.jpg";
/// Makes square pixels of others: those of DV and of anamorphic lenses, for example. No side is made smaller. A
/// ratio near 1 comes from rounding, and one beyond these bounds is a mistake of the file.
const SQUARE_PIXELS: &str = "scale=round(iw*if(gt(abs(sar-1)\\,0.01)\\,clip(sar\\,1\\,4)\\,1)):\
                             round(ih*if(gt(abs(sar-1)\\,0.01)\\,clip(1/sar\\,1\\,4)\\,1)),setsar=1";

/// What ffprobe tells about colours.
const COLOURS: &str = "stream=color_space,color_transfer,color_primaries";
/// Ends of ffmpeg's names for the formats of files with one picture.
const STILLS: [&str; 3] = ["_pipe", "image2", "ico"];
/// Bytes of each output of ffmpeg that are kept.
const MAX_OUTPUT_BYTES: u64 = 64 << 10;

/// Writes `count` frames of a video, evenly spread over it, as JPEG files to a new folder; all of its
/// frames if there are fewer.
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
    // Without the prefix, a name could be read as an option or as an address.
    let mut source = OsString::from("file:");
    source.push(std::path::absolute(path)?);

    let format = probe(&["-show_entries", "format=format_name"], &source, path).await?;
    let format = format.trim();
    if format == TEXT {
        return Err(failed("it is text"));
    }
    if STILLS.iter().any(|still| format.ends_with(still)) {
        return Err(ReconstructError::Still {
            path: path.to_owned(),
            kind: format.trim_end_matches("_pipe").to_owned(),
        });
    }
    // Count the frames by decoding them: recordings of browsers have no duration, and a video that
    // was cut without encoding it again has packets that show no frame.
    let count_frames = ["-threads", "0", "-count_frames", "-select_streams", STREAM];
    let entry = ["-show_entries", "stream=nb_read_frames"];
    let output = probe(&[&count_frames[..], &entry].concat(), &source, path).await?;
    let all = output.lines().find_map(|line| line.parse::<u64>().ok());
    let Some(all) = all.filter(|all| *all > 0) else {
        return Err(failed("it has no frames"));
    };

    let hdr = tone_mapping(&source, path).await?;
    let mut filters = choice(count, all);
    if let Some(hdr) = hdr {
        filters = format!("{filters},{}", hdr.filters());
    }
    let filters = format!("{filters},{SQUARE_PIXELS}");

    tokio::fs::create_dir(folder).await?;
    let mut decode = Command::new("ffmpeg");
    decode.current_dir(folder);
    decode.args(["-v", "error", "-nostdin", "-i"]).arg(&source);
    decode.args(["-map", &format!("0:{STREAM}"), "-vf", &filters]);
    // One frame in each second, as the filter numbers them: ffmpeg fills gaps with copies.
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

/// How the frames become sRGB, if they are HDR.
async fn tone_mapping(source: &OsStr, path: &Path) -> Result<Option<Hdr>, ReconstructError> {
    let entries = [
        "-of",
        "default=noprint_wrappers=1",
        "-select_streams",
        STREAM,
    ];
    let colours = probe(
        &[&entries[..], &["-show_entries", COLOURS]].concat(),
        source,
        path,
    )
    .await?;
    let Some(hdr) = Hdr::find(&colours) else {
        return Ok(None);
    };
    let mut list = Command::new("ffmpeg");
    let list = succeed(list.args(["-v", "error", "-filters"]), path).await?;
    let missing = tone_mapping::missing(&String::from_utf8_lossy(&list));
    if missing.is_empty() {
        return Ok(Some(hdr));
    }
    Err(ReconstructError::ToneMapping {
        path: path.to_owned(),
        hdr: hdr.name(),
        filters: missing.join(" and "),
    })
}

/// The filter that passes `count` of `all` frames, one in each second.
fn choice(count: u32, all: u64) -> String {
    // `count` parts of the same length, and of each the first frame whose middle lies in it.
    let part = |middle| format!("floor(({middle})*{count}/{all})");
    let (this, before) = (part("n+0.5"), part("n-0.5"));
    format!("select='gt({this},{before})',settb=1,setpts=N")
}

/// The values that ffprobe prints, one in a line.
async fn probe(options: &[&str], source: &OsStr, path: &Path) -> Result<String, ReconstructError> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-of", "default=nokey=1:noprint_wrappers=1"]);
    let output = succeed(probe.args(options).arg(source), path).await?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// Runs one of ffmpeg's programs and returns its stdout. Dropping the future kills the program.
async fn succeed(command: &mut Command, path: &Path) -> Result<Vec<u8>, ReconstructError> {
    let fail = |reason: String| ReconstructError::Video {
        path: path.to_owned(),
        reason,
    };
    let (stdout, stderr, status) = run(command).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReconstructError::NoFfmpeg(path.to_owned()),
        _ => fail(error.to_string()),
    })?;
    match status.success() {
        true => Ok(stdout),
        false => Err(fail(String::from_utf8_lossy(&stderr).trim().to_owned())),
    }
}

/// The beginning of a program's stdout and of its stderr, and its status.
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

/// The first [`MAX_OUTPUT_BYTES`]. The rest is read and dropped: ffmpeg complains about every frame
/// of a damaged video.
async fn beginning(output: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    if let Some(mut output) = output {
        (&mut output)
            .take(MAX_OUTPUT_BYTES)
            .read_to_end(&mut content)
            .await?;
        tokio::io::copy(&mut output, &mut tokio::io::sink()).await?;
    }
    Ok(content)
}
