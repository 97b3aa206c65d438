//! The photos of a folder, by their content.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pointstream_reconstruction::image::Detected;

use super::{Photo, kind};
use crate::reconstruct::report::LeftOut;

/// The photos of a folder, and its other files. Hidden files count as neither: macOS writes a `._photo.jpg`
/// beside a photo, which is not an image. Folders in it are looked into if it is `recursive`.
///
/// # Errors
/// If the folder cannot be read. What is in it and cannot be read is left out.
pub fn photos_in(folder: &Path, recursive: bool) -> io::Result<(Vec<Photo>, Vec<LeftOut>)> {
    let mut left_out = Vec::new();
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        let entries = match fs::read_dir(&inner) {
            Ok(entries) => entries,
            Err(error) if inner == folder => return Err(error),
            Err(error) => {
                left_out.push(left(inner, &format!("it cannot be read: {error}")));
                continue;
            }
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().as_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            // Not through links: those may lead back.
            let is_folder = entry.file_type()?.is_dir();
            match (is_folder, recursive) {
                (true, true) => folders.push(path),
                (true, false) => {
                    left_out.push(left(path, "it is a folder; --recursive looks into it"));
                }
                (false, _) if path.is_file() => files.push(path),
                (false, _) => left_out.push(left(path, "it is no file")),
            }
        }
    }
    alphanumeric_sort::sort_path_slice(&mut files);
    let mut photos = Vec::new();
    for path in files {
        let reason = match kind(&path) {
            Ok(Detected::Supported(_)) => {
                photos.push(photo(folder, path));
                continue;
            }
            Ok(Detected::Unsupported(kind)) => format!("it is {kind}; export it as JPEG or PNG"),
            Ok(Detected::Video) => "it is a video; name it to take its frames".to_owned(),
            Ok(Detected::Unknown) => "it is no photo".to_owned(),
            Err(error) => format!("it cannot be read: {error}"),
        };
        left_out.push(left(path, &reason));
    }
    left_out.sort_by(|one, other| one.path.cmp(&other.path));
    Ok((photos, left_out))
}

/// A photo with its name below the folder.
fn photo(folder: &Path, path: PathBuf) -> Photo {
    let name = path.strip_prefix(folder).unwrap_or(&path);
    Photo {
        name: name.to_string_lossy().into_owned(),
        ..Photo::new(path.clone())
    }
}

fn left(path: PathBuf, reason: &str) -> LeftOut {
    LeftOut {
        path,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder() -> TempDir {
        let folder = TempDir::new().expect("writable");
        let write = |name: &str, content: &[u8]| {
            fs::write(folder.path().join(name), content).expect("writable");
        };
        for name in ["img10.JPG", "img2", "img1.png", "img3.heic"] {
            write(name, b"\xff\xd8\xff");
        }
        write("._img1.png", b"\0\x05\x16\x07");
        write(".DS_Store", b"\0");
        write("img4.jpg", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif");
        write("img5.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
        write("notes.txt", b"words");
        write("walk.mov", b"\0\0\0\x14ftypqt  \0\0\0\0");
        fs::create_dir(folder.path().join("b.jpg")).expect("writable");
        write("b.jpg/img1.png", b"\x89PNG\r\n\x1a\n");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b.jpg/up")).expect("ours");
        folder
    }

    #[test]
    fn content_decides_and_the_rest_is_named() {
        let folder = folder();
        let (photos, left_out) = photos_in(folder.path(), false).expect("readable");
        let names: Vec<_> = photos.iter().map(|photo| photo.name.as_str()).collect();
        assert_eq!(
            names,
            ["img1.png", "img2", "img3.heic", "img5.jpg", "img10.JPG"]
        );
        let left: Vec<_> = left_out
            .iter()
            .map(|left| {
                let name = left.path.strip_prefix(folder.path()).expect("below it");
                format!("{}: {}", name.display(), left.reason)
            })
            .collect();
        assert_eq!(
            left,
            [
                "b.jpg: it is a folder; --recursive looks into it",
                "img4.jpg: it is AVIF; export it as JPEG or PNG",
                "notes.txt: it is no photo",
                "walk.mov: it is a video; name it to take its frames",
            ]
        );
    }

    #[test]
    fn folders_in_it_on_request_but_no_links() {
        let folder = folder();
        let (photos, left_out) = photos_in(folder.path(), true).expect("readable");
        let mut names: Vec<_> = photos.iter().map(|photo| photo.name.as_str()).collect();
        names.sort_unstable();
        let expected = [
            "b.jpg/img1.png",
            "img1.png",
            "img10.JPG",
            "img2",
            "img3.heic",
            "img5.jpg",
        ];
        assert_eq!(names, expected);
        let up = left_out.iter().find(|left| left.path.ends_with("up"));
        assert_eq!(up.expect("named").reason, "it is no file");
    }
}
