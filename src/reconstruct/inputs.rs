//! The inputs: photos, folders of photos, and videos.

mod folder;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pointstream_reconstruction::image::{Detected, SIGNATURE_BYTES, detect};

use super::error::ReconstructError;
use super::options::IMAGE_LIMITS;
use super::report::{LeftOut, Report};
use crate::video::{self, Source, VideoError, Wanted};

/// An image file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// Where its bytes are.
    file: PathBuf,
    /// What the user knows it by: for a frame of a video that of the video.
    pub path: PathBuf,
    /// The file's name, for the session and messages. Of a file in a folder's folder also their names.
    pub name: String,
}

impl Photo {
    fn new(path: PathBuf) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self {
            // The session takes no control characters, and a terminal shows the name.
            name: name.to_string_lossy().replace(char::is_control, "\u{fffd}"),
            file: path.clone(),
            path,
        }
    }

    fn frame(file: PathBuf, video: &Path) -> Self {
        Self {
            path: video.to_owned(),
            ..Self::new(file)
        }
    }
}

/// How inputs are chosen.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// Frames of each video.
    pub frames: Wanted,
    /// Whether folders in folders are looked into.
    pub recursive: bool,
    /// Whether a file that cannot be used is an error.
    pub strict: bool,
}

/// What is at a path.
enum Input {
    Photos(Vec<Photo>, Vec<LeftOut>),
    /// A file that is not an image. It may be a video.
    Other(PathBuf),
}

/// Finds the photos, in the order of the numbers in their names. Writes frames of each video to a folder
/// below `scratch`. Files that cannot be used are skipped, and the report names them.
///
/// # Errors
/// [`ReconstructError`] for a path that does not exist, for the first one that cannot be used if the choice is
/// strict or there are no others, and if nothing is left.
pub async fn collect(
    paths: &[PathBuf],
    choice: Choice,
    scratch: &Path,
    report: &mut Report,
) -> Result<Vec<Photo>, ReconstructError> {
    let mut paths = paths.to_vec();
    alphanumeric_sort::sort_path_slice(&mut paths);
    let alone = paths.len() == 1;
    let looked = tokio::task::spawn_blocking(move || {
        let looked = paths.into_iter().map(|path| {
            let input = look(&path, choice.recursive);
            (path, input)
        });
        looked.collect::<Vec<_>>()
    });
    let mut photos = Vec::new();
    let looked = looked.await.map_err(io::Error::other)?;
    for (number, (path, input)) in looked.into_iter().enumerate() {
        let found = match input {
            Ok(Input::Photos(found, left_out)) => {
                report.leave_out(left_out);
                match found.is_empty() {
                    true => Err(ReconstructError::EmptyFolder(path.clone())),
                    false => Ok(found),
                }
            }
            Ok(Input::Other(path)) => {
                let folder = scratch.join(format!("video_{number}"));
                let frames = frames_of(&path, choice.frames, &folder).await;
                let frames = frames.map_err(|error| ReconstructError::video(&path, error));
                frames.map(|frames| {
                    let frames = frames.into_iter();
                    frames.map(|frame| Photo::frame(frame, &path)).collect()
                })
            }
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => photos.extend(found),
            Err(error) if choice.strict || alone || is_mistaken(&error) => return Err(error),
            Err(error) => report.skip(&path, &error),
        }
    }
    match photos.is_empty() {
        true => Err(ReconstructError::NothingLeft),
        false => Ok(photos),
    }
}

/// Writes frames of a video to a new folder.
async fn frames_of(path: &Path, wanted: Wanted, folder: &Path) -> Result<Vec<PathBuf>, VideoError> {
    tokio::fs::create_dir(folder).await?;
    video::frames(&Source::own(path)?, wanted, folder).await
}

/// Whether the command itself is wrong, and no file: a path is misspelt, or the machine lacks something.
fn is_mistaken(error: &ReconstructError) -> bool {
    match error {
        ReconstructError::Unreadable { source, .. } => source.kind() == io::ErrorKind::NotFound,
        ReconstructError::System(_) => true,
        _ => false,
    }
}

/// Reads a photo's file.
///
/// # Errors
/// [`ReconstructError`] if it cannot be read or is too large for a photo.
pub async fn read(photo: &Photo) -> Result<Vec<u8>, ReconstructError> {
    let unreadable = |source| ReconstructError::unreadable(&photo.path, source);
    let length = tokio::fs::metadata(&photo.file)
        .await
        .map_err(unreadable)?
        .len();
    let most = IMAGE_LIMITS.max_bytes;
    if length > most as u64 {
        return Err(ReconstructError::Photo {
            path: photo.path.clone(),
            reason: format!("{length} bytes are more than a photo may have ({most})"),
        });
    }
    tokio::fs::read(&photo.file).await.map_err(unreadable)
}

/// Looks at a path. Blocks on the file system.
fn look(path: &Path, recursive: bool) -> Result<Input, ReconstructError> {
    let unreadable = |source| ReconstructError::unreadable(path, source);
    if fs::metadata(path).map_err(unreadable)?.is_dir() {
        let (photos, left_out) = folder::photos_in(path, recursive).map_err(unreadable)?;
        return Ok(Input::Photos(photos, left_out));
    }
    match kind(path).map_err(unreadable)? {
        Detected::Supported(_) => Ok(Input::Photos(vec![Photo::new(path.to_owned())], Vec::new())),
        Detected::Unsupported(kind) => Err(ReconstructError::Still {
            path: path.to_owned(),
            kind: kind.to_owned(),
        }),
        Detected::Video | Detected::Unknown => Ok(Input::Other(path.to_owned())),
    }
}

/// What a file is, by its first bytes.
fn kind(path: &Path) -> io::Result<Detected> {
    let mut start = Vec::with_capacity(SIGNATURE_BYTES);
    let file = File::open(path)?;
    file.take(SIGNATURE_BYTES as u64).read_to_end(&mut start)?;
    Ok(detect(&start))
}
