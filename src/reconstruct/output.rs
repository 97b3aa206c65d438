//! Where the result goes.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pointstream_actors::ResultFormat;

use super::error::ReconstructError;

/// A file that will be written.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    path: PathBuf,
    format: ResultFormat,
}

impl Output {
    /// A file of this format, or the one that its name tells.
    ///
    /// # Errors
    /// [`ReconstructError`] if the format is not clear, or the file cannot be there.
    pub fn new(path: PathBuf, format: Option<ResultFormat>) -> Result<Self, ReconstructError> {
        let named = path
            .file_name()
            .and_then(|name| ResultFormat::of_file_name(&name.to_string_lossy()));
        let Some(format) = format.or(named) else {
            return Err(ReconstructError::Format(path));
        };
        let output = Self { path, format };
        if output.path.is_dir() {
            let source = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(ReconstructError::output(&output.path, source));
        }
        // Now, and not after minutes of work.
        output.create()?;
        Ok(output)
    }

    /// What will be written.
    pub fn format(&self) -> ResultFormat {
        self.format
    }

    /// Writes the file: all of it or nothing. Returns where it is.
    ///
    /// # Errors
    /// [`ReconstructError::Output`].
    pub async fn save(self, bytes: Bytes) -> Result<PathBuf, ReconstructError> {
        let written = tokio::task::spawn_blocking(move || {
            let mut file = self.create()?;
            file.write_all(&bytes)
                .and_then(|()| file.persist(&self.path).map_err(Into::into))
                .map_err(|source| ReconstructError::output(&self.path, source))?;
            Ok(self.path)
        });
        written.await.map_err(io::Error::other)?
    }

    /// A file beside it, which goes away again unless it takes its place.
    fn create(&self) -> Result<tempfile::NamedTempFile, ReconstructError> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        tempfile::Builder::new()
            .prefix(".pointstream-")
            // As any other file that a program makes.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|source| ReconstructError::output(&self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats_unless_one_was_chosen() {
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
}
