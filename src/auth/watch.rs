//! Reads the file of tokens again when it changes.
//!
//! Its metadata are asked for every second: this also works where events do not come, as on network
//! file systems and for files behind links that are swapped.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::token_file::{TokenFile, TokenFileError};
use super::token_set::TokenSet;

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The tokens of a file, as they are now.
pub type Current = watch::Receiver<Arc<TokenSet>>;

/// What changes with the file, or none if it cannot be looked at.
type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((
        found.dev(),
        found.ino(),
        found.len(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ))
}

/// No tokens, which do not change.
pub fn none() -> Current {
    watch::channel(Arc::new(TokenSet::default())).1
}

/// Reads the file, and again when it changes, until `stop` is cancelled.
///
/// # Errors
/// If it cannot be read now. A later failure is logged, and the last tokens stay.
pub async fn follow(path: PathBuf, stop: CancellationToken) -> Result<Current, TokenFileError> {
    let (seen, tokens) = read(path.clone()).await;
    let tokens = tokens?;
    tracing::info!(file = %path.display(), tokens = tokens.len(), "tokens read");
    let (sender, current) = watch::channel(Arc::new(tokens));
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep_reading(path, seen, sender) => {}
        }
    });
    Ok(current)
}

async fn keep_reading(path: PathBuf, mut seen: Stamp, sender: watch::Sender<Arc<TokenSet>>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let file = path.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || stamp(&file)).await else {
            continue;
        };
        if now == seen {
            continue;
        }
        let (read_at, tokens) = read(path.clone()).await;
        seen = read_at;
        match tokens {
            Ok(tokens) => {
                tracing::info!(file = %path.display(), tokens = tokens.len(), "tokens read again");
                sender.send_replace(Arc::new(tokens));
            }
            Err(error) => tracing::error!(
                %error,
                "the file of tokens cannot be used; the tokens of its last valid content stay"
            ),
        }
    }
}

/// The tokens, and the stamp of the file before it was read: a later change is then noticed.
async fn read(path: PathBuf) -> (Stamp, Result<TokenSet, TokenFileError>) {
    let reading = tokio::task::spawn_blocking(move || {
        let stamp = stamp(&path);
        (stamp, TokenFile::read(&path).map(TokenSet::from))
    });
    reading.await.unwrap_or_else(|error| {
        let error = std::io::Error::other(error);
        (None, Err(error.into()))
    })
}
