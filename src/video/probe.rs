//! What ffprobe tells about a video.

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStdout;

use super::error::VideoError;
use super::program::{output, run};
use super::source::Source;
use super::tone_mapping::{self, Hdr};

/// The first video stream that is not a cover picture.
pub const STREAM: &str = "V:0";
/// ffmpeg's name for the format of text files, which it would draw as pictures.
const TEXT: &str = "tty";
/// Ends of ffmpeg's names for the formats of files with one picture.
const STILLS: [&str; 3] = ["_pipe", "image2", "ico"];
/// What ffprobe tells about the stream.
const COLOURS: &str = "stream=index,color_space,color_transfer,color_primaries";

/// Checks that a file is a video.
///
/// # Errors
/// [`VideoError`] that says what else it is.
pub async fn check_format(source: &Source) -> Result<(), VideoError> {
    let format = ["-of", "default=nokey=1:noprint_wrappers=1"];
    let entry = ["-show_entries", "format=format_name"];
    let format = output(source, source.ffprobe(&[format, entry].concat())).await?;
    let format = format.trim();
    if format == TEXT {
        return Err(VideoError::Text);
    }
    match STILLS.iter().any(|still| format.ends_with(still)) {
        true => Err(VideoError::Still(
            format.trim_end_matches("_pipe").to_owned(),
        )),
        false => Ok(()),
    }
}

/// How the frames become sRGB, if they are HDR.
///
/// # Errors
/// [`VideoError`] if there is no video stream, or ffmpeg lacks filters.
pub async fn tone_mapping(source: &Source) -> Result<Option<Hdr>, VideoError> {
    let form = ["-of", "default=noprint_wrappers=1"];
    let entries = ["-select_streams", STREAM, "-show_entries", COLOURS];
    let stream = output(source, source.ffprobe(&[&form[..], &entries].concat())).await?;
    if stream.trim().is_empty() {
        return Err(VideoError::NoFrames);
    }
    let Some(hdr) = Hdr::find(&stream) else {
        return Ok(None);
    };
    let mut list = source.program("ffmpeg");
    list.args(["-v", "error", "-filters"]);
    let missing = tone_mapping::missing(&output(source, list).await?);
    match missing.is_empty() {
        true => Ok(Some(hdr)),
        false => Err(VideoError::ToneMapping {
            hdr: hdr.name(),
            filters: missing.join(" and "),
        }),
    }
}

/// The duration of a video in seconds, by the times of its frames: recordings of browsers do not state it.
///
/// # Errors
/// [`VideoError::NoTimes`] if the file does not tell them.
pub async fn duration(source: &Source) -> Result<f64, VideoError> {
    let form = ["-of", "compact=print_section=0", "-select_streams", STREAM];
    let entries = ["-show_entries", "packet=pts_time,dts_time,flags"];
    let list = source.ffprobe(&[&form[..], &entries].concat());
    let times = run(source, list, read_times).await?;
    times.duration().ok_or(VideoError::NoTimes)
}

/// The times of frames.
#[derive(Debug, Default)]
struct Times {
    count: u64,
    /// The first and the last, in seconds.
    span: Option<(f64, f64)>,
}

async fn read_times(stdout: ChildStdout) -> Result<Times, VideoError> {
    let mut lines = BufReader::new(stdout).lines();
    let mut times = Times::default();
    while let Some(line) = lines.next_line().await? {
        times.add(&line);
    }
    Ok(times)
}

impl Times {
    /// Adds a packet: `pts_time=0.250000|dts_time=N/A|flags=K_`.
    fn add(&mut self, line: &str) {
        let value = |name: &str| {
            let mut fields = line.split('|').filter_map(|field| field.split_once('='));
            fields.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        // Packets before the beginning of a cut are decoded but not shown.
        if value("flags").is_some_and(|flags| flags.contains('D')) {
            return;
        }
        let time = |name| value(name).and_then(|time| time.parse::<f64>().ok());
        let Some(time) = time("pts_time").or_else(|| time("dts_time")) else {
            return;
        };
        if time.is_finite() {
            self.count += 1;
            let (first, last) = self.span.unwrap_or((time, time));
            self.span = Some((first.min(time), last.max(time)));
        }
    }

    /// From the first frame to the end of the last one, which lasts as long as the others on average.
    fn duration(&self) -> Option<f64> {
        let (first, last) = self.span?;
        match self.count {
            0 | 1 => Some(0.0),
            count => Some((last - first) * count as f64 / (count - 1) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_frames_give_the_duration() {
        let mut times = Times::default();
        assert_eq!(times.duration(), None);
        times.add("pts_time=N/A|dts_time=N/A|flags=K_");
        assert_eq!(times.duration(), None);
        times.add("pts_time=9.0|dts_time=9.0|flags=KD_");
        times.add("pts_time=1.5|dts_time=1.0|flags=K__");
        assert_eq!(times.duration(), Some(0.0));
        times.add("pts_time=2.5|dts_time=1.5|flags=___");
        times.add("pts_time=N/A|dts_time=2.0|flags=___");
        assert_eq!(times.duration(), Some(1.5));
    }
}
