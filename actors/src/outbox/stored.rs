//! The outbox when the system starts, before there are actors.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::courier::Courier;
use super::deliveries;
use super::error::OutboxError;
use super::event::{Event, EventContent, Place};
use super::file::{OUTBOX, OutboxFile};
use super::subscriptions::{self, Subscription};
use super::{Outbox, OutboxArgs};
use crate::actor_status::ActorStatus;
use crate::error_kind::ErrorKind;
use crate::ids::SessionId;
use crate::journal::Durability;
use crate::metrics::Metrics;
use crate::session::ledger::Ledger;

/// The open outbox of a data directory. All methods block.
pub(crate) struct StoredOutbox {
    file: OutboxFile,
    path: PathBuf,
    durability: Durability,
    courier: Arc<dyn Courier>,
}

/// The messages of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxCounts {
    pub waiting: u64,
    pub finished: u64,
}

impl StoredOutbox {
    /// Opens the outbox. One that is damaged is set aside for the operator.
    pub fn open(
        data_dir: &Path,
        durability: Durability,
        courier: Arc<dyn Courier>,
        metrics: &Metrics,
    ) -> Result<Self, OutboxError> {
        let path = data_dir.join(OUTBOX);
        let file = match open_sound(&path, durability) {
            Err(error) if error.is_damage() => {
                metrics.error(ErrorKind::Storage, None, &error.to_string());
                let aside = set_aside(&path)?;
                tracing::error!(
                    %error,
                    path = %aside.display(),
                    "the outbox of webhooks is set aside: its messages and webhooks are lost; remove it if \
                     nobody needs it"
                );
                OutboxFile::open(&path, durability)?
            }
            opened => opened?,
        };
        let mut stored = Self {
            file,
            path,
            durability,
            courier,
        };
        let host = stored
            .courier
            .operator()
            .map(|webhook| webhook.host.clone());
        let tx = stored.file.begin()?;
        deliveries::follow_operator(&tx, host.as_deref())?;
        tx.commit()?;
        Ok(stored)
    }

    /// Whether the end of a session was taken in: it does not go on, even if its files are still there.
    pub fn has_ended(&mut self, session: SessionId) -> Result<bool, OutboxError> {
        subscriptions::has_ended(&self.file.begin()?, session)
    }

    /// A session goes on, which has had these events. Returns whether anybody is told of it. An operator
    /// who has a webhook only now is not told of what was before.
    pub fn goes_on(&mut self, ledger: &Ledger, had: &[Event]) -> Result<bool, OutboxError> {
        let last = had.iter().rev().find_map(|event| match event.place() {
            Place::Answer(request) => Some(request),
            Place::End => None,
        });
        let new = Subscription {
            session: ledger.session(),
            owner: ledger.creator().cloned(),
            webhook: None,
            operator: self.courier.operator().is_some(),
            through: last.unwrap_or(0),
        };
        let tx = self.file.begin()?;
        subscriptions::add(&tx, &new)?;
        let exists = subscriptions::exists(&tx, new.session)?;
        tx.commit()?;
        Ok(exists)
    }

    /// A session, which has had these events, has ended or is lost.
    pub fn ends(
        &mut self,
        session: SessionId,
        had: &[Event],
        content: EventContent,
    ) -> Result<(), OutboxError> {
        let end = Event {
            session,
            at: SystemTime::now(),
            content,
        };
        let operator = self.courier.operator();
        let operator = operator.map(|webhook| webhook.host.as_str());
        let tx = self.file.begin()?;
        for event in had.iter().chain([&end]) {
            subscriptions::take_in(&tx, event, &self.courier.body(event), operator)?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Forgets the sessions that are not among these: they were never created.
    pub fn keep_only(&mut self, sessions: &[SessionId]) -> Result<(), OutboxError> {
        let tx = self.file.begin()?;
        for session in subscriptions::live(&tx)? {
            if !sessions.contains(&session) {
                subscriptions::end(&tx, session)?;
            }
        }
        subscriptions::prune(&tx)?;
        tx.commit()?;
        Ok(())
    }

    /// The outbox for the actors. `shared` tells whether another server may go on with the sessions.
    pub fn into_outbox(self, metrics: Arc<Metrics>, shared: bool) -> Outbox {
        Outbox::new(OutboxArgs {
            file: Arc::new(Mutex::new(Some(self.file))),
            path: self.path,
            durability: self.durability,
            courier: self.courier,
            status: ActorStatus::new("outbox", "webhooks".to_owned()),
            metrics,
            shared,
        })
    }
}

/// Opens an outbox that has no damage.
fn open_sound(path: &Path, durability: Durability) -> Result<OutboxFile, OutboxError> {
    let file = OutboxFile::open(path, durability)?;
    file.check()?;
    Ok(file)
}

/// Renames a damaged file, and the log that SQLite has beside it. Earlier ones stay.
fn set_aside(path: &Path) -> Result<PathBuf, OutboxError> {
    let fail = |source| OutboxError::File {
        path: path.to_owned(),
        source,
    };
    let mut aside = path.with_extension("damaged");
    let mut count = 1_u32;
    while aside.try_exists().map_err(fail)? || log_of(&aside).try_exists().map_err(fail)? {
        count += 1;
        aside = path.with_extension(format!("damaged-{count}"));
    }
    fs::rename(path, &aside).map_err(fail)?;
    match fs::rename(log_of(path), log_of(&aside)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(fail(error)),
        _ => Ok(aside),
    }
}

/// The write-ahead log that SQLite has beside a file.
fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Forgets all about a session of a data directory that no server uses: another one takes its place. Blocks.
pub(crate) fn forget(data_dir: &Path, session: SessionId) -> Result<(), OutboxError> {
    let path = data_dir.join(OUTBOX);
    if !path.exists() {
        return Ok(());
    }
    let mut file = OutboxFile::open(&path, Durability::Sync)?;
    let tx = file.begin()?;
    subscriptions::remove(&tx, session)?;
    deliveries::remove(&tx, session)?;
    tx.commit()?;
    Ok(())
}

/// Looks at the outbox of a data directory that no server uses. `None` if it has none. Blocks.
pub(crate) fn check(data_dir: &Path) -> Result<Option<OutboxCounts>, OutboxError> {
    let path = data_dir.join(OUTBOX);
    if !path.exists() {
        return Ok(None);
    }
    let mut file = OutboxFile::open(&path, Durability::Sync)?;
    file.check()?;
    let tx = file.begin()?;
    Ok(Some(OutboxCounts {
        waiting: deliveries::count_waiting(&tx)?,
        finished: deliveries::count_finished(&tx)?,
    }))
}
