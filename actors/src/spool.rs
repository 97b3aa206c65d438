//! The files of sessions below the data directory.
//!
//! ```text
//! <data dir>/lock                      held while a system runs
//! <data dir>/sessions/<id>/1.image     an image as the client sent it
//! <data dir>/sessions/<id>/1.rgb       the same, oriented and resized: rows of RGB bytes
//! <data dir>/sessions/<id>/2.glb       the newest result
//! <data dir>/sessions/<id>/2.npz       what its other formats are made of, and one of them
//! <data dir>/sessions/<id>/2.ply       another format, if somebody asked for it
//! <data dir>/sessions/<id>.removed     the folder of a session that has ended, until it is gone
//! ```
//!
//! Names are numbers of ours, never a client's. All functions block.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use image::RgbImage;
use memmap2::Mmap;
use pointstream_reconstruction::formats::ResultFormat;
use pointstream_reconstruction::geometry::FrameSize;
use thiserror::Error;

use crate::event::SessionId;

/// A folder of the data directory that this process owns.
#[derive(Debug)]
pub(crate) struct DataDir {
    sessions: PathBuf,
    /// Keeps the lock until the system ends.
    _lock: File,
}

/// Why the data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// The file system refuses.
    #[error("the data directory {path} cannot be used: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process uses it.
    #[error("the data directory {0} is in use by another server; choose another one")]
    InUse(PathBuf),
}

impl DataDir {
    /// Takes the directory, makes it if need be, and removes what an earlier run left.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let fail = |source| DataDirError::Io {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(fail)?;
        let lock = File::create(path.join("lock")).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        let sessions = path.join("sessions");
        if sessions.exists() {
            tracing::info!(path = %sessions.display(), "removing what an earlier run left");
            fs::remove_dir_all(&sessions).map_err(fail)?;
        }
        fs::create_dir(&sessions).map_err(fail)?;
        Ok(Self {
            sessions,
            _lock: lock,
        })
    }

    /// The folder of one session; [`Spool::create`] makes it.
    pub fn spool(&self, session: SessionId) -> Spool {
        Spool {
            folder: self.sessions.join(session.to_string()),
        }
    }
}

/// The folder of one session.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// Makes the folder.
    pub fn create(&self) -> io::Result<()> {
        fs::create_dir(&self.folder)
    }

    /// Removes the folder with all that is in it. It gets another name first: work that is still
    /// under way must not add a file to it meanwhile. What could not be removed can be tried again.
    pub fn remove(&self) -> io::Result<()> {
        let doomed = self.folder.with_extension("removed");
        // One that is not there has its other name already, or is gone.
        unless_missing(fs::rename(&self.folder, &doomed))?;
        unless_missing(fs::remove_dir_all(&doomed))
    }

    /// Stores an image as it came and as the model takes it; all or nothing.
    pub fn store_image(&self, number: u64, original: &[u8], prepared: &RgbImage) -> io::Result<()> {
        let result = fs::write(self.original(number), original)
            .and_then(|()| fs::write(self.prepared(number), prepared.as_raw()));
        if result.is_err() {
            self.remove_image(number);
        }
        result
    }

    /// Removes an image that is not wanted after all.
    pub fn remove_image(&self, number: u64) {
        for path in [self.original(number), self.prepared(number)] {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "a file cannot be removed");
            }
        }
    }

    /// Reads an image as the model takes it.
    pub fn read_prepared(&self, number: u64, size: FrameSize) -> io::Result<RgbImage> {
        let pixels = fs::read(self.prepared(number))?;
        RgbImage::from_raw(size.width, size.height, pixels).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "a spooled image was changed from outside",
            )
        })
    }

    /// Makes the file of a result in one format, or empties it.
    pub fn create_result(&self, number: u64, format: ResultFormat) -> io::Result<File> {
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.result(number, format))
    }

    /// The file of a result as a view, which costs no memory of ours. It must not be written to
    /// any more; removing it leaves the view valid.
    pub fn view_result(&self, number: u64, format: ResultFormat) -> io::Result<Bytes> {
        let file = File::open(self.result(number, format))?;
        // SAFETY: the folder is this process's own and nobody writes to a result after this.
        let view = unsafe { Mmap::map(&file)? };
        Ok(Bytes::from_owner(view))
    }

    /// Removes a result in one format, if it is there.
    pub fn remove_result(&self, number: u64, format: ResultFormat) {
        let path = self.result(number, format);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a result cannot be removed");
        }
    }

    fn original(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.image"))
    }

    fn prepared(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.rgb"))
    }

    fn result(&self, number: u64, format: ResultFormat) -> PathBuf {
        self.folder.join(format!("{number}.{}", format.extension()))
    }
}

/// Takes what is not there for done.
fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
