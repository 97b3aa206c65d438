//! One process at a time works on an archive of the store.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::error::ModelsError;
use super::registry::ModelId;

/// How often a lock that is held is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// The words about a holder are short.
const MAX_HOLDER_BYTES: u64 = 200;

/// A lock between processes. It ends with the process at the latest.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock of an archive, for a limited time; `task` says what it is needed for.
    ///
    /// The file stays when the lock ends: a process that waits for it may have it open.
    ///
    /// # Errors
    /// [`ModelsError::Busy`] after that time, [`ModelsError::File`].
    pub async fn acquire(
        path: &Path,
        id: ModelId,
        task: &str,
        patience: Duration,
    ) -> Result<Self, ModelsError> {
        let fail = |error| ModelsError::file("lock", path, error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(fail)?;
        let begin = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(fail(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let holder = holder(path);
            if begin.elapsed() >= patience {
                return Err(ModelsError::Busy {
                    id,
                    holder,
                    waited: patience,
                });
            }
            if !told {
                tracing::info!(model = %id, "waiting for {holder}");
                told = true;
            }
            tokio::time::sleep(RETRY).await;
        }
        file.set_len(0).map_err(fail)?;
        writeln!(file, "process {} ({task})", std::process::id()).map_err(fail)?;
        Ok(Self { _file: file })
    }
}

/// Who has the lock, in words.
fn holder(path: &Path) -> String {
    let mut words = String::new();
    // It may be between taking the lock and saying so.
    let read =
        File::open(path).and_then(|file| file.take(MAX_HOLDER_BYTES).read_to_string(&mut words));
    match (read, words.trim()) {
        (Ok(_), words) if !words.is_empty() => words.to_owned(),
        _ => "another process".to_owned(),
    }
}
