//! The inputs: photos, folders of photos, and videos.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::ReconstructError;
use super::video;

/// Bytes at the start of a file that show an image's format.
const SIGNATURE: usize = 12;
/// Extensions of the photos in a folder, in upper or lower case.
const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// An image file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    pub path: PathBuf,
    /// The file's name, for the session and messages.
    pub name: String,
}

impl Photo {
    fn new(path: PathBuf) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self {
            // The session takes no control characters, and a terminal shows the name.
            name: name.to_string_lossy().replace(char::is_control, "\u{fffd}"),
            path,
        }
    }
}

/// The kind of file at a path.
enum Input {
    Photos(Vec<Photo>),
    /// A file that is not an image. It may be a video.
    Other(PathBuf),
}

/// Finds the photos, in the order of the numbers in their names. Writes `num_frames` frames of each
/// video to a folder below `scratch`.
///
/// # Errors
/// [`ReconstructError`] for the first path that cannot be used.
pub async fn collect(
    paths: &[PathBuf],
    num_frames: u32,
    scratch: &Path,
) -> Result<Vec<Photo>, ReconstructError> {
    let mut paths = paths.to_vec();
    alphanumeric_sort::sort_path_slice(&mut paths);
    let looked = tokio::task::spawn_blocking(move || {
        paths
            .into_iter()
            .map(look)
            .collect::<Result<Vec<_>, ReconstructError>>()
    });
    let mut photos = Vec::new();
    for (number, input) in looked
        .await
        .map_err(io::Error::other)??
        .into_iter()
        .enumerate()
    {
        match input {
            Input::Photos(found) => photos.extend(found),
            Input::Other(path) => {
                let folder = scratch.join(format!("video_{number}"));
                let frames = video::frames(&path, num_frames, &folder).await?;
                photos.extend(frames.into_iter().map(Photo::new));
            }
        }
    }
    Ok(photos)
}

/// Looks at a path. Blocks on the file system.
fn look(path: PathBuf) -> Result<Input, ReconstructError> {
    let unreadable = |source| ReconstructError::unreadable(&path, source);
    if fs::metadata(&path).map_err(unreadable)?.is_dir() {
        let photos = photos_in(&path).map_err(unreadable)?;
        if photos.is_empty() {
            return Err(ReconstructError::EmptyFolder(path));
        }
        return Ok(Input::Photos(photos));
    }
    let mut start = Vec::with_capacity(SIGNATURE);
    File::open(&path)
        .and_then(|file| file.take(SIGNATURE as u64).read_to_end(&mut start))
        .map_err(unreadable)?;
    Ok(if is_image(&start) {
        Input::Photos(vec![Photo::new(path)])
    } else {
        Input::Other(path)
    })
}

/// The photos of a folder by their extensions. Ignores folders in it and hidden files: macOS writes
/// a `._photo.jpg` beside a photo, which is not an image.
fn photos_in(folder: &Path) -> io::Result<Vec<Photo>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let known = EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known));
        if known && path.is_file() {
            paths.push(path);
        }
    }
    alphanumeric_sort::sort_path_slice(&mut paths);
    Ok(paths.into_iter().map(Photo::new).collect())
}

/// Whether a file begins like an image that can be decoded.
fn is_image(start: &[u8]) -> bool {
    start.starts_with(b"\xff\xd8\xff")
        || start.starts_with(b"\x89PNG\r\n\x1a\n")
        || (start.starts_with(b"RIFF") && start.get(8..SIGNATURE) == Some(b"WEBP"))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn photos_are_sorted_by_the_numbers_in_their_names() {
        let folder = TempDir::new().expect("writable");
        for name in ["img10.JPG", "img2.jpg", "img1.png"] {
            fs::write(folder.path().join(name), b"\xff\xd8\xff").expect("writable");
        }
        // Files that systems and programs write beside photos.
        for name in [
            "._img1.png",
            ".DS_Store",
            ".jpg",
            "Thumbs.db",
            "desktop.ini",
            "img2.xmp",
            "img2.jpg.xmp",
            "img2.json",
            "img2",
        ] {
            fs::write(folder.path().join(name), b"\0\x05\x16\x07").expect("writable");
        }
        fs::create_dir(folder.path().join("folder.jpg")).expect("writable");
        let collected = async |paths: &[PathBuf]| {
            let photos = collect(paths, 1, folder.path()).await.expect("photos");
            photos
                .into_iter()
                .map(|photo| photo.name)
                .collect::<Vec<_>>()
        };
        let expected = ["img1.png", "img2.jpg", "img10.JPG"];
        assert_eq!(collected(&[folder.path().to_owned()]).await, expected);
        let paths = ["img10.JPG", "img2.jpg", "img1.png"].map(|name| folder.path().join(name));
        assert_eq!(collected(&paths).await, expected);
    }

    #[test]
    fn images_are_recognised_by_their_first_bytes() {
        assert!(is_image(b"\xff\xd8\xff\xe0"));
        assert!(is_image(b"\x89PNG\r\n\x1a\n\0\0\0\r"));
        assert!(is_image(b"RIFF\x10\0\0\0WEBP"));
        assert!(!is_image(b"RIFF\x10\0\0\0AVI "));
        assert!(!is_image(b""));
    }
}
