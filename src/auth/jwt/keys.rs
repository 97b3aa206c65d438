//! Keeps the keys of an issuer up to date.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::kept;
use super::key_set::KeySet;
use super::source::{Fetched, KeySource, KeysError};

/// How often the keys are read.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Time after a failure until the keys are read again, and least time between two attempts, however many
/// unknown keys are asked for.
const LEAST: Duration = Duration::from_secs(60);
/// Callers that wait for an attempt at the same time.
const WAITING: usize = 64;

/// The keys as they are now.
pub struct Keys {
    current: watch::Receiver<Arc<KeySet>>,
    wanted: mpsc::Sender<oneshot::Sender<()>>,
    folder: watch::Sender<Option<PathBuf>>,
}

/// What keeps the keys up to date.
struct Reader {
    source: KeySource,
    current: watch::Sender<Arc<KeySet>>,
    /// Where the keys are kept.
    folder: watch::Receiver<Option<PathBuf>>,
    /// What is to be kept; none if it was kept before.
    fetched: Option<String>,
}

impl Keys {
    /// Reads the keys, and again every hour, until `stop` is cancelled. If they cannot be fetched, those
    /// that a former server has kept in the folder do.
    ///
    /// # Errors
    /// If they cannot be read now, and none are kept. A later failure is logged, and the last keys stay.
    pub async fn follow(
        source: KeySource,
        folder: &Path,
        stop: CancellationToken,
    ) -> Result<Self, KeysError> {
        let read = read(source.clone()).await;
        let is_fresh = read.is_ok();
        let (keys, fetched) = match read {
            Ok(Fetched { keys, text }) => {
                tracing::info!(%source, keys = keys.len(), "keys of the issuer read");
                (keys, text)
            }
            Err(error) => (kept_keys(&source, folder, error).await?, None),
        };
        let (sender, current) = watch::channel(Arc::new(keys));
        let (folder, kept_in) = watch::channel(None);
        let (wanted, wishes) = mpsc::channel(WAITING);
        let reader = Reader {
            source,
            current: sender,
            folder: kept_in,
            fetched,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = reader.keep_reading(is_fresh, wishes) => {}
            }
        });
        Ok(Self {
            current,
            wanted,
            folder,
        })
    }

    /// Keeps the keys in a folder from now on, for later servers. The folder must be one of data by then: one
    /// with other files is refused.
    pub fn keep_in(&self, folder: &Path) {
        self.folder.send_replace(Some(folder.to_owned()));
    }

    pub fn current(&self) -> Arc<KeySet> {
        self.current.borrow().clone()
    }

    /// Waits until the keys are read again, unless they were a moment ago: a token names a key that is
    /// not there.
    pub async fn refresh(&self) {
        let (reply, done) = oneshot::channel();
        // With too many waiting, or while the server ends, there is nothing to wait for.
        if self.wanted.try_send(reply).is_ok() {
            let _ = done.await;
        }
    }
}

impl Reader {
    async fn keep_reading(
        mut self,
        is_fresh: bool,
        mut wishes: mpsc::Receiver<oneshot::Sender<()>>,
    ) {
        let mut last: Option<Instant> = None;
        let mut due = Instant::now() + pause(is_fresh);
        loop {
            let wish = tokio::select! {
                () = tokio::time::sleep_until(due) => None,
                Some(wish) = wishes.recv() => Some(wish),
                Ok(()) = self.folder.changed() => {
                    self.keep().await;
                    continue;
                }
            };
            let may = last.is_none_or(|last| last.elapsed() >= LEAST);
            if wish.is_none() || may {
                let now = Instant::now();
                last = Some(now);
                due = now + pause(self.read_again().await);
            }
            if let Some(wish) = wish {
                // The caller may have gone.
                let _ = wish.send(());
            }
        }
    }

    /// Whether the keys could be read.
    async fn read_again(&mut self) -> bool {
        let source = &self.source;
        match read(source.clone()).await {
            Ok(Fetched { keys, text }) => {
                tracing::info!(%source, keys = keys.len(), "keys of the issuer read again");
                self.current.send_replace(Arc::new(keys));
                self.fetched = text;
                self.keep().await;
                true
            }
            Err(error) => {
                tracing::error!(%error, "the last keys of the issuer stay");
                false
            }
        }
    }

    /// Keeps what was fetched last, once there is a folder for it.
    async fn keep(&mut self) {
        let folder = self.folder.borrow().clone();
        let (Some(folder), KeySource::Url(url)) = (folder, &self.source) else {
            return;
        };
        let Some(text) = self.fetched.take() else {
            return;
        };
        let url = url.clone();
        let kept = tokio::task::spawn_blocking(move || kept::write(&folder, &url, &text)).await;
        let failed: Option<&dyn std::fmt::Display> = match &kept {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            tracing::warn!(%error, "the keys of the issuer are not kept for the next start");
        }
    }
}

/// Time until the keys are read again.
fn pause(was_read: bool) -> Duration {
    match was_read {
        true => INTERVAL,
        false => LEAST,
    }
}

async fn read(source: KeySource) -> Result<Fetched, KeysError> {
    let reading = tokio::task::spawn_blocking(move || source.read());
    reading
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
}

/// The keys that a former server has kept.
///
/// # Errors
/// Why they could not be read from the issuer, if there are none.
async fn kept_keys(
    source: &KeySource,
    folder: &Path,
    error: KeysError,
) -> Result<KeySet, KeysError> {
    let KeySource::Url(url) = source else {
        return Err(error);
    };
    let (folder, url) = (folder.to_owned(), url.clone());
    let kept = tokio::task::spawn_blocking(move || kept::read(&folder, &url)).await;
    match kept {
        Ok(Ok(keys)) => {
            tracing::error!(%error, keys = keys.len(), "the keys of the issuer that were kept are used");
            Ok(keys)
        }
        Ok(Err(kept)) => {
            if !kept.is_missing() {
                tracing::warn!(error = %kept, "the keys of the issuer that were kept are not used");
            }
            Err(error)
        }
        Err(_) => Err(error),
    }
}
