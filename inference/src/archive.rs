//! Archives that have been checked.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pointstream_reconstruction::model::{Metadata, ModelError};

/// The embedded default: multi-view stereo without learned weights, built by `weights/mvs`.
static MVS: &[u8] = include_bytes!("../../weights/mvs/mvs.pt");

/// An archive that has been checked, ready to be loaded.
///
/// None of its code has run yet.
#[derive(Debug)]
pub struct ResolvedModel {
    /// What the archive says about itself.
    pub metadata: Metadata,
    /// Its path, or its name if it is embedded; for messages.
    pub path: String,
    /// The archive.
    pub(crate) archive: Archive,
}

/// Where an archive is.
#[derive(Debug)]
pub(crate) enum Archive {
    /// In the program.
    Embedded(&'static [u8]),
    /// In a file, which may be larger than what fits into memory twice.
    File(CheckedFile),
}

/// A file that has been checked.
///
/// It stays open, so that it is the same file when it is loaded, whatever its path leads to by then.
#[derive(Debug)]
pub(crate) struct CheckedFile {
    file: File,
    stamp: Stamp,
}

/// What changes when a file is written to: its length and the time of the last change.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(u64, Option<SystemTime>);

impl ResolvedModel {
    /// The embedded multi-view stereo.
    ///
    /// # Errors
    /// [`ModelError::Archive`] if the program was built with a broken archive.
    pub fn embedded() -> Result<Self, ModelError> {
        let path = "the embedded mvs";
        let metadata = Metadata::read(Cursor::new(MVS), path)?;
        metadata.verify(Cursor::new(MVS), path)?;
        Ok(Self {
            metadata,
            path: path.to_owned(),
            archive: Archive::Embedded(MVS),
        })
    }

    /// An archive from the file system, whose content must agree with the digest in its metadata.
    /// Blocks for as long as it takes to read it.
    ///
    /// # Errors
    /// [`ModelError::Read`] or [`ModelError::Archive`].
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::from_file(file, name),
            Err(source) => Err(ModelError::Read { path: name, source }),
        }
    }

    /// The same from an open file; `path` names it in messages.
    ///
    /// # Errors
    /// [`ModelError::Read`] or [`ModelError::Archive`].
    pub fn from_file(file: File, path: String) -> Result<Self, ModelError> {
        let model = Self::from_verified_file(file, path)?;
        if let Archive::File(checked) = &model.archive {
            let content = BufReader::new(&checked.file);
            model.metadata.verify(content, &model.path)?;
            // What was changed meanwhile was perhaps not read.
            checked.unchanged(&model.path)?;
        }
        Ok(model)
    }

    /// An archive from an open file, of which a checksum was compared just now: its content is not
    /// read once more for the digest.
    ///
    /// # Errors
    /// [`ModelError::Read`] or [`ModelError::Archive`].
    pub fn from_verified_file(file: File, path: String) -> Result<Self, ModelError> {
        let stamp = Stamp::of(&file).map_err(|source| ModelError::Read {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            metadata: Metadata::read(BufReader::new(&file), &path)?,
            path,
            archive: Archive::File(CheckedFile { file, stamp }),
        })
    }
}

impl CheckedFile {
    /// A path that leads to this file for as long as it is open.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }

    /// Refuses what was written to since it was checked; `path` names the file in messages.
    pub(crate) fn unchanged(&self, path: &str) -> Result<(), ModelError> {
        let stamp = Stamp::of(&self.file).map_err(|source| ModelError::Read {
            path: path.to_owned(),
            source,
        })?;
        if stamp == self.stamp {
            return Ok(());
        }
        Err(ModelError::Archive {
            path: path.to_owned(),
            reason: "it was changed while the service runs; start the service anew".to_owned(),
        })
    }
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self(metadata.len(), metadata.modified().ok()))
    }
}
