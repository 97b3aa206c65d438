//! A folder for a video and its frames, which is removed whatever happens.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Attempts to remove a folder. A killed ffmpeg may write for another moment.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// A private folder. Dropping it removes it with all that is in it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// The end of the server waits until it is dropped.
    token: TaskTrackerToken,
}

impl Scratch {
    /// Creates a folder in another one. Blocks.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(parent: &Path, token: TaskTrackerToken) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        let path = TempDir::with_prefix_in("video-", parent)?.keep();
        Ok(Self { path, token })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (path, token) = (std::mem::take(&mut self.path), self.token.clone());
        let remove = move || {
            remove(&path);
            drop(token);
        };
        match Handle::try_current() {
            // The runtime must not wait for the disk.
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = remove_all(path) {
        tracing::warn!(
            path = %path.display(),
            %error,
            "cannot remove the files of a video; they stay until the next start"
        );
    }
}

/// Removes a folder with all that is in it, if it is there. Blocks.
///
/// # Errors
/// If it cannot be removed.
pub fn remove_all(path: &Path) -> io::Result<()> {
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) if left > 0 => std::thread::sleep(PAUSE),
            removed => return removed,
        }
    }
}
