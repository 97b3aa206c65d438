//! The file that gets the result.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pointstream_actors::{BlobView, ResultFormat};

use super::error::ReconstructError;

/// Bytes that are copied at a time.
const PIECE: usize = 1 << 20;

/// A file to write.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    /// As the user named it.
    path: PathBuf,
    /// The path with its symbolic link resolved.
    target: PathBuf,
    format: ResultFormat,
}

impl Output {
    /// A file of this format, or of the one that the end of its name selects. Checks that it can be
    /// written.
    ///
    /// # Errors
    /// [`ReconstructError::Format`] or [`ReconstructError::Output`].
    pub fn new(path: PathBuf, format: Option<ResultFormat>) -> Result<Self, ReconstructError> {
        let named = path
            .file_name()
            .and_then(|name| ResultFormat::of_file_name(&name.to_string_lossy()));
        let Some(format) = format.or(named) else {
            return Err(ReconstructError::Format(path));
        };
        let target = match target(&path) {
            Ok(target) => target,
            Err(source) => return Err(ReconstructError::output(&path, source)),
        };
        let output = Self {
            path,
            target,
            format,
        };
        // Fail now, and not after the reconstruction.
        output.create()?;
        Ok(output)
    }

    /// The path as the user named it.
    pub fn into_path(self) -> PathBuf {
        self.path
    }

    pub fn format(&self) -> ResultFormat {
        self.format
    }

    /// Writes all of the file or nothing. Returns its path.
    ///
    /// # Errors
    /// [`ReconstructError::Output`].
    pub async fn save(self, content: BlobView) -> Result<PathBuf, ReconstructError> {
        let written = tokio::task::spawn_blocking(move || {
            let mut file = self.create()?;
            copy(&content, file.as_file_mut())
                .and_then(|()| file.persist(&self.target).map_err(Into::into))
                .map_err(|source| ReconstructError::output(&self.path, source))?;
            Ok(self.path)
        });
        written.await.map_err(io::Error::other)?
    }

    /// A temporary file in the same folder, which is removed unless it replaces the target.
    fn create(&self) -> Result<tempfile::NamedTempFile, ReconstructError> {
        let folder = match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        tempfile::Builder::new()
            .prefix(".pointstream-")
            // `create_new` gives it the usual permissions, and errors do not name the temporary
            // file.
            .make_in(folder, |path| File::create_new(path))
            .map_err(|source| ReconstructError::output(&self.path, source))
    }
}

/// Writes the content piece by piece.
fn copy(content: &BlobView, file: &mut File) -> io::Result<()> {
    for begin in (0..content.len()).step_by(PIECE) {
        file.write_all(&content.slice(begin..begin + PIECE).read()?)?;
    }
    Ok(())
}

/// The file that a path names. A symbolic link is followed, so that it stays a link.
fn target(path: &Path) -> io::Result<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.ends_with(b"/") || bytes.ends_with(b"/.") {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => fs::canonicalize(path),
        // A file must not replace /dev/null, for example.
        Ok(_) => Err(io::Error::other("it is a device or a pipe, not a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            // A link to a file that does not exist yet. A circle of links is another error.
            Ok(link) => target(&path.parent().unwrap_or(Path::new("")).join(link)),
            Err(_) => Ok(path.to_owned()),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_selects_the_format_unless_one_is_given() {
        let folder = tempfile::tempdir().expect("writable");
        let format = |name: &str, chosen| {
            let output = Output::new(folder.path().join(name), chosen);
            output.map(|output| output.format())
        };
        assert_eq!(format("a.b.PLY", None).expect("clear"), ResultFormat::Ply);
        assert_eq!(
            format("scene.colmap.zip", None).expect("clear"),
            ResultFormat::Colmap
        );
        let chosen = Some(ResultFormat::Nerfstudio);
        assert_eq!(
            format("scene.zip", chosen).expect("clear"),
            ResultFormat::Nerfstudio
        );
        let error = format("scene.zip", None).expect_err("two formats are zip files");
        assert!(error.to_string().contains(".nerfstudio.zip"), "{error}");
        assert!(format("missing/scene.glb", None).is_err());
        assert!(format("", Some(ResultFormat::Glb)).is_err());
    }

    #[test]
    fn a_path_that_cannot_be_written_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("writable");
        let path = |name: &str| folder.path().join(name);
        let refusal = |path: PathBuf| {
            let refused = Output::new(path, Some(ResultFormat::Glb));
            refused.expect_err("it is no file").to_string()
        };
        fs::create_dir(path("folder")).expect("writable");
        fs::write(path("file"), b"old").expect("writable");
        for name in [
            "folder", "folder/", "new/", "new/.", "new/..", "file/new", "",
        ] {
            let said = refusal(path(name));
            assert!(said.starts_with("cannot write "), "{name}: {said}");
            assert!(!said.contains(".pointstream-"), "{name}: {said}");
        }
        assert!(refusal(path(&"long".repeat(100))).contains("too long"));
        assert!(refusal("/dev/null".into()).contains("device"));
        assert_eq!(fs::read(path("file")).expect("untouched"), b"old");
    }

    #[tokio::test]
    async fn a_link_is_kept() {
        let folder = tempfile::tempdir().expect("writable");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("elsewhere")).expect("writable");
        fs::write(path("elsewhere/old.glb"), b"old").expect("writable");
        std::os::unix::fs::symlink("elsewhere/old.glb", path("scene.glb")).expect("writable");
        let output = Output::new(path("scene.glb"), None).expect("writable");
        output.save(b"new".to_vec().into()).await.expect("saved");
        assert_eq!(fs::read(path("elsewhere/old.glb")).expect("there"), b"new");
        assert!(fs::read_link(path("scene.glb")).is_ok());
    }

    #[tokio::test]
    async fn a_link_to_a_missing_file_is_kept() {
        let folder = tempfile::tempdir().expect("writable");
        let path = |name: &str| folder.path().join(name);
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, path(name)).expect("writable");
        };
        fs::create_dir(path("elsewhere")).expect("writable");
        link("elsewhere/link.glb", "scene.glb");
        link("new.glb", "elsewhere/link.glb");
        let output = Output::new(path("scene.glb"), None).expect("writable");
        let saved = output.save(b"new".to_vec().into()).await;
        assert_eq!(saved.expect("saved"), path("scene.glb"));
        assert_eq!(fs::read(path("elsewhere/new.glb")).expect("there"), b"new");
        for name in ["scene.glb", "elsewhere/link.glb"] {
            assert!(fs::read_link(path(name)).is_ok(), "{name}");
        }

        link("missing/new.glb", "nowhere.glb");
        link("missing/", "folder.glb");
        link("circle.glb", "circle.glb");
        for name in ["nowhere.glb", "folder.glb", "circle.glb"] {
            let refused = Output::new(path(name), None).expect_err("no file can be there");
            assert!(refused.to_string().contains(name), "{refused}");
            assert!(fs::read_link(path(name)).is_ok(), "{name}");
        }
    }
}
