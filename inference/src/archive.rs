//! Model archives whose metadata were checked.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pointstream_reconstruction::model::{Metadata, ModelError};

/// The embedded default model: multi-view stereo without learned weights, built by `weights/mvs`.
static MVS: &[u8] = include_bytes!("../../weights/mvs/mvs.pt");

/// A checked archive, ready to be loaded. None of its code has run yet.
#[derive(Debug)]
pub struct ResolvedModel {
    pub metadata: Metadata,
    /// Its path, or a name if it is embedded; for messages.
    pub path: String,
    pub(crate) archive: Archive,
}

/// Where an archive is.
#[derive(Debug)]
pub(crate) enum Archive {
    /// In the program.
    Embedded(&'static [u8]),
    /// In a file.
    File(CheckedFile),
}

/// A checked file. It stays open, so that the same file is loaded even if its path is replaced.
#[derive(Debug)]
pub(crate) struct CheckedFile {
    file: File,
    stamp: Stamp,
}

/// Length and modification time: they change when a file is written to.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(u64, Option<SystemTime>);

impl ResolvedModel {
    /// The embedded multi-view stereo.
    ///
    /// # Errors
    /// [`ModelError::Archive`] if the program was built with an invalid archive.
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

    /// Opens an archive and compares its content with the digest in its metadata. Blocks while it
    /// reads the whole file.
    ///
    /// # Errors
    /// [`ModelError::Read`] if the file cannot be read, [`ModelError::Archive`] if it is not a
    /// valid archive.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::from_file(file, name),
            Err(source) => Err(ModelError::Read { path: name, source }),
        }
    }

    /// Like [`open`](Self::open) for an open file; `path` names it in messages.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn from_file(file: File, path: String) -> Result<Self, ModelError> {
        let model = Self::from_verified_file(file, path)?;
        if let Archive::File(checked) = &model.archive {
            let content = BufReader::new(&checked.file);
            model.metadata.verify(content, &model.path)?;
            // A change during the check may not have been read.
            checked.unchanged(&model.path)?;
        }
        Ok(model)
    }

    /// Like [`from_file`](Self::from_file), but does not compare the digest: the caller has just
    /// verified a checksum of the file.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
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
    /// A path of this file that is valid while it is open.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }

    /// Refuses a file that was written to after the check; `path` names it in messages.
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
            reason: "it was changed while the service runs; restart the service".to_owned(),
        })
    }
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self(metadata.len(), metadata.modified().ok()))
    }
}
