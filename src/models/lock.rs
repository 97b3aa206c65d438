//! A lock between processes: one at a time changes an archive of the store.

use std::fs::TryLockError;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;

use super::error::ModelsError;
use super::registry::ModelId;

/// Holds the lock until it is dropped or the process ends. The file stays, because a process that
/// waits for the lock may have it open.
#[derive(Debug)]
pub struct Lock {
    _file: fs::File,
}

impl Lock {
    /// Waits for the lock of an archive at most `patience`; the error is then
    /// [`ModelsError::Busy`]. `task` tells a waiting process what the lock is held for.
    pub async fn acquire(
        path: &Path,
        id: ModelId,
        task: &str,
        patience: Duration,
    ) -> Result<Self, ModelsError> {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
            Err(TryLockError::WouldBlock) => {
                tracing::info!(model = %id, "waiting for {}", holder(path));
                // A thread that still waits after the timeout ends with the process.
                let waiting = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
                let waited = tokio::time::timeout(patience, waiting).await;
                file = waited.map_err(|_| ModelsError::Busy {
                    id,
                    holder: holder(path),
                    waited: patience,
                })???;
            }
        }
        file.set_len(0)?;
        writeln!(file, "process {} ({task})", std::process::id())?;
        Ok(Self { _file: file })
    }
}

/// The process that holds the lock, in words.
fn holder(path: &Path) -> String {
    match fs::read_to_string(path).as_deref().map(str::trim) {
        Ok(words) if !words.is_empty() => words.to_owned(),
        // It has taken the lock, but not written its description yet.
        _ => "another process".to_owned(),
    }
}
