//! Files that are there wholly or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::ModelsError;

/// The archive that the exporter writes.
const ARCHIVE: &str = "archive.pt";
/// What of a workspace outlives a failed fetch.
const DOWNLOADS: &str = "downloads";

/// A folder for what is not finished, on the store's file system. Its lock is held.
#[derive(Debug)]
pub struct Workspace {
    /// Where it is.
    pub folder: PathBuf,
}

impl Workspace {
    /// Where the exporter writes its archive.
    pub fn archive(&self) -> PathBuf {
        self.folder.join(ARCHIVE)
    }

    /// Where checkpoints are downloaded to.
    pub fn downloads(&self) -> PathBuf {
        self.folder.join(DOWNLOADS)
    }

    /// Removes all but downloads, which a later fetch goes on with.
    ///
    /// # Errors
    /// [`ModelsError::File`].
    pub fn sweep(&self) -> Result<(), ModelsError> {
        match self.folder.is_dir() {
            true => keep_only(&self.folder, &[DOWNLOADS]),
            false => Ok(()),
        }
    }

    /// Removes all.
    pub fn remove(&self) {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(folder = %self.folder.display(), %error, "files are left");
            }
            _ => {}
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Err(error) = self.sweep() {
            tracing::warn!(%error, "files of a fetch are left");
        }
    }
}

/// Makes a folder, with those above it, unless it is there.
pub fn create_folder(folder: &Path, mode: u32) -> Result<(), ModelsError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
        .map_err(|error| ModelsError::file("create", folder, error))
}

/// Writes a new file that only its owner can change.
pub fn write(path: &Path, content: &[u8]) -> Result<(), ModelsError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .map_err(|error| ModelsError::file("write", path, error))
}

/// Moves a file so that after a loss of power it is wholly at its new place or not at all.
pub fn persist(from: &Path, to: &Path) -> Result<(), ModelsError> {
    let moved = File::open(from)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(from, to))
        .and_then(|()| File::open(to.parent().unwrap_or(Path::new(".")))?.sync_all());
    moved.map_err(|error| ModelsError::file("write", to, error))
}

/// Removes everything in a folder but the entries of these names.
pub fn keep_only(folder: &Path, names: &[&str]) -> Result<(), ModelsError> {
    let sweep = || {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if names.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    };
    sweep().map_err(|error| ModelsError::file("sweep", folder, error))
}

/// The time, by RFC 3339.
pub fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now);
    // A year beyond 9999 has no such form.
    now.format(&Rfc3339).unwrap_or_else(|_| now.to_string())
}
