//! How sharp the frames of a video are.

use std::io;

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::sharpness_of_grey;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;

use super::error::VideoError;
use super::probe::STREAM;
use super::program::run;
use super::source::Source;

/// Sides of the pictures that are measured, whatever the shape of the video: they are only compared with each
/// other.
const SIDE: u32 = 384;
/// The most frames of a video: 18 hours with 30 in each second.
const MOST: usize = 2_000_000;

/// The sharpness of each frame. This also counts them, which takes decoding: recordings of browsers have no
/// duration, and a video that was cut without encoding it again has packets that show no frame.
///
/// # Errors
/// [`VideoError`] if ffmpeg cannot read the video, or it has no frames or far too many.
pub async fn sharpness(source: &Source) -> Result<Vec<f32>, VideoError> {
    let filters = format!("scale={SIDE}:{SIDE},format=gray,settb=1,setpts=N");
    let mut decode = source.ffmpeg();
    decode.args(["-map", &format!("0:{STREAM}"), "-vf", &filters]);
    // One frame in each second, as the filters number them: none is dropped or doubled.
    decode.args(["-r", "1", "-f", "rawvideo", "pipe:1"]);
    let found = run(source, decode, read).await?;
    match found.is_empty() {
        true => Err(VideoError::NoFrames),
        false => Ok(found),
    }
}

/// Measures pictures as they come. One is in memory at a time.
async fn read(mut stdout: ChildStdout) -> Result<Vec<f32>, VideoError> {
    let size = FrameSize::new(SIDE, SIDE);
    let mut found = Vec::new();
    let mut picture = vec![0; size.columns() * size.rows()];
    loop {
        match stdout.read_exact(&mut picture).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(found),
            Err(error) => return Err(error.into()),
        }
        if found.len() == MOST {
            return Err(VideoError::TooManyFrames(MOST));
        }
        let measured = tokio::task::spawn_blocking(move || {
            let sharpness = sharpness_of_grey(&picture, size);
            (sharpness, picture)
        });
        let (sharpness, same) = measured.await.map_err(io::Error::other)?;
        found.push(sharpness);
        picture = same;
    }
}
