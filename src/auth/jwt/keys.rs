//! Keeps the keys of an issuer up to date.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::key_set::KeySet;
use super::source::{KeySource, KeysError};

/// How often the keys are read.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Least time between two attempts, however many unknown keys are asked for.
const LEAST: Duration = Duration::from_secs(60);
/// Callers that wait for an attempt at the same time.
const WAITING: usize = 64;

/// The keys as they are now.
pub struct Keys {
    current: watch::Receiver<Arc<KeySet>>,
    wanted: mpsc::Sender<oneshot::Sender<()>>,
}

impl Keys {
    /// Reads the keys, and again every hour, until `stop` is cancelled.
    ///
    /// # Errors
    /// If they cannot be read now. A later failure is logged, and the last keys stay.
    pub async fn follow(source: KeySource, stop: CancellationToken) -> Result<Self, KeysError> {
        let keys = read(source.clone()).await?;
        tracing::info!(%source, keys = keys.len(), "keys of the issuer read");
        let (sender, current) = watch::channel(Arc::new(keys));
        let (wanted, wishes) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = keep_reading(source, sender, wishes) => {}
            }
        });
        Ok(Self { current, wanted })
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

async fn keep_reading(
    source: KeySource,
    sender: watch::Sender<Arc<KeySet>>,
    mut wishes: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut last: Option<Instant> = None;
    let mut due = Instant::now() + INTERVAL;
    loop {
        let wish = tokio::select! {
            () = tokio::time::sleep_until(due) => None,
            Some(wish) = wishes.recv() => Some(wish),
        };
        let may = last.is_none_or(|last| last.elapsed() >= LEAST);
        if wish.is_none() || may {
            let now = Instant::now();
            last = Some(now);
            due = now + INTERVAL;
            match read(source.clone()).await {
                Ok(keys) => {
                    tracing::info!(%source, keys = keys.len(), "keys of the issuer read again");
                    sender.send_replace(Arc::new(keys));
                }
                Err(error) => {
                    tracing::error!(%error, "the last keys of the issuer stay");
                }
            }
        }
        if let Some(wish) = wish {
            // The caller may have gone.
            let _ = wish.send(());
        }
    }
}

async fn read(source: KeySource) -> Result<KeySet, KeysError> {
    let reading = tokio::task::spawn_blocking(move || source.read());
    reading
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
}
