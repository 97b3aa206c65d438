//! Writes frames of a video as files.

use std::path::{Path, PathBuf};

use super::bounds::LONGEST_SIDE;
use super::choice;
use super::error::VideoError;
use super::measure;
use super::probe::{self, STREAM};
use super::program::output;
use super::source::Source;

/// The most frames that are taken of a video.
pub const MOST_FRAMES: u32 = 5000;
/// The most frames that are asked for in each second.
pub const MOST_PER_SECOND: f64 = 60.0;

/// The names of the frames. Relative, because ffmpeg would interpret a `%` in the folder's path.
const PATTERN: &str = "frame_%05d.jpg";
/// What their names end in.
pub const FRAME_ENDING: &str = "jpg";
/// Makes square pixels of others: those of DV and of anamorphic lenses, for example. No side is made smaller. A
/// ratio near 1 comes from rounding, and one beyond these bounds is a mistake of the file.
const SQUARE_PIXELS: &str = "scale=round(iw*if(gt(abs(sar-1)\\,0.01)\\,clip(sar\\,1\\,4)\\,1)):\
                             round(ih*if(gt(abs(sar-1)\\,0.01)\\,clip(1/sar\\,1\\,4)\\,1)),setsar=1";

/// How many frames are taken of a video. All if it has fewer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    Count(u32),
    /// At most so many.
    PerSecond(f64, u32),
}

impl Wanted {
    /// How many those are of a video.
    async fn of(self, source: &Source) -> Result<u32, VideoError> {
        Ok(match self {
            Self::Count(count) => count,
            Self::PerSecond(rate, most) => {
                let count = (probe::duration(source).await? * rate).round();
                // A cast of a float stays within the type.
                (count as u32).clamp(1, most)
            }
        })
    }
}

/// Writes frames of a video, evenly spread over it, as JPEG files to a folder: the sharp ones among
/// neighbours. The files are in the order of the frames.
///
/// # Errors
/// [`VideoError`] if ffmpeg is not installed or cannot read the file.
pub async fn frames(
    source: &Source,
    wanted: Wanted,
    folder: &Path,
) -> Result<Vec<PathBuf>, VideoError> {
    probe::check_format(source).await?;
    let hdr = probe::tone_mapping(source).await?;
    let count = wanted.of(source).await?;
    let sharpness = measure::sharpness(source).await?;
    let chosen = choice::choose(&sharpness, count);

    let select = choice::expression(&chosen);
    let mut filters = vec![format!("select='{select}',settb=1,setpts=N")];
    filters.extend(source.bounds().map(|_| at_most(LONGEST_SIDE)));
    filters.extend(hdr.map(|hdr| hdr.filters()));
    filters.push(SQUARE_PIXELS.to_owned());
    filters.extend(source.bounds().map(|_| at_most(LONGEST_SIDE)));

    let mut decode = source.ffmpeg();
    decode.current_dir(folder);
    decode.args(["-map", &format!("0:{STREAM}"), "-vf", &filters.join(",")]);
    // One frame in each second, as the filter numbers them: ffmpeg fills gaps with copies.
    let most = chosen.len().to_string();
    decode.args(["-r", "1", "-frames:v", &most, "-q:v", "2", PATTERN]);
    let written = output(source, decode);
    match source.bounds() {
        None => written.await.map(drop)?,
        Some(bounds) => {
            let written = tokio::select! {
                written = written => written,
                exceeded = bounds.exceeded(folder) => Err(exceeded),
            };
            // A full disk is told before what ffmpeg says of it.
            bounds.check(folder).await?;
            written?;
        }
    }

    let mut files = Vec::new();
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        files.extend(
            Some(path).filter(|path| path.extension().is_some_and(|end| end == FRAME_ENDING)),
        );
    }
    if files.is_empty() {
        return Err(VideoError::NoFrames);
    }
    alphanumeric_sort::sort_path_slice(&mut files);
    Ok(files)
}

/// The filter that makes larger frames smaller, with the same shape.
fn at_most(side: u32) -> String {
    format!("scale=min(iw\\,{side}):min(ih\\,{side}):force_original_aspect_ratio=decrease")
}
