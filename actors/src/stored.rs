//! What a data directory has when the system starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::blobs::{Blobs, DataDir, DataDirError};
use crate::ids::SessionId;
use crate::journal::Journals;
use crate::metrics::Metrics;
use crate::outbox::{Event, EventContent, OutboxError, StoredOutbox};
use crate::session::restore::{Found, Restored, give_up, restore};
use crate::session_event::CloseReason;
use crate::settings::Settings;
use crate::sharing::{SharedFiles, SharedJournals, Sharing};
use crate::system::StartError;

/// An open data directory.
pub(crate) struct Stored {
    pub blobs: Arc<dyn Blobs>,
    pub journals: Journals,
    /// The sessions of earlier processes, the oldest first.
    pub restored: Vec<Restored>,
    pub outbox: Option<StoredOutbox>,
    /// The files of shared sessions.
    pub shared: Option<Arc<SharedFiles>>,
}

impl Stored {
    /// Locks the directory and reads its sessions. One that is damaged is set aside for the operator. If sessions
    /// are shared, the directory only has copies of their files, and those of an earlier process are removed.
    /// Blocks.
    ///
    /// `around` puts a layer around the stored files.
    pub fn open(
        settings: &Settings,
        metrics: &Metrics,
        sharing: Option<Arc<Sharing>>,
        around: impl FnOnce(Arc<dyn Blobs>) -> Arc<dyn Blobs>,
    ) -> Result<Self, StartError> {
        let (path, durability) = (&settings.data_dir, settings.durability);
        let data_dir = DataDir::open(path, settings.disk, metrics.disk.clone(), durability)?;
        let sessions = data_dir.sessions().to_owned();
        if sharing.is_some() {
            data_dir.remove_copies()?;
        }
        let local = around(Arc::new(data_dir));
        let shared = sharing.map(|sharing| Arc::new(SharedFiles::new(local.clone(), sharing)));
        let (blobs, journals) = match &shared {
            Some(shared) => {
                let blobs: Arc<dyn Blobs> = shared.clone();
                let place = Arc::new(SharedJournals::new(shared.clone()));
                (blobs.clone(), Journals::at(place, blobs))
            }
            None => (local.clone(), Journals::new(sessions, durability, local)),
        };
        let found = journals.sessions().map_err(|source| DataDirError::Io {
            path: path.clone(),
            source,
        })?;
        let mut outbox = match &settings.courier {
            Some(courier) => {
                let courier = courier.clone();
                Some(StoredOutbox::open(path, durability, courier, metrics)?)
            }
            None => None,
        };
        let (mut restored, mut live) = (Vec::new(), Vec::new());
        for session in found {
            if has_ended(&mut outbox, session)? {
                remove(blobs.as_ref(), session);
                continue;
            }
            match restore(&journals, &blobs, session) {
                Ok(Found::GoesOn(mut found)) => {
                    if let Some(outbox) = &mut outbox {
                        found.tells = outbox.goes_on(&found.ledger, &found.had)?;
                    }
                    live.push(session);
                    restored.push(*found);
                }
                Ok(Found::HasEnded { had, .. }) => {
                    // The process ended before it told.
                    let reason = CloseReason::Deleted;
                    let end = EventContent::SessionEnded { reason };
                    let mut told = ends(&mut outbox, session, &had, &end);
                    // The outbox may need the space of its files.
                    if told.is_err() && clear(blobs.as_ref(), session) {
                        told = ends(&mut outbox, session, &had, &end);
                    }
                    match told {
                        Ok(()) => remove(blobs.as_ref(), session),
                        Err(error) => {
                            stays(session, &error);
                            live.push(session);
                        }
                    }
                }
                Err(error) => {
                    let is_lost = error.is_damage();
                    if !is_lost {
                        live.push(session);
                    } else if let Err(error) =
                        ends(&mut outbox, session, &[], &EventContent::lost())
                    {
                        stays(session, &error);
                        live.push(session);
                        continue;
                    }
                    give_up(blobs.as_ref(), metrics, session, &error);
                }
            }
        }
        if let Some(outbox) = &mut outbox {
            // Those that stay although they were never created are only rows, until the next start.
            if let Err(error) = outbox.keep_only(&live) {
                tracing::error!(%error, "the outbox of webhooks keeps sessions that are gone");
            }
        }
        restored.sort_by_key(|restored| (restored.ledger.place(), restored.ledger.created_at()));
        if !restored.is_empty() {
            tracing::info!(
                sessions = restored.len(),
                "sessions of an earlier run go on"
            );
        }
        Ok(Self {
            blobs,
            journals,
            restored,
            outbox,
            shared,
        })
    }
}

/// Whether receivers of webhooks were told that a session has ended. The process ended before its files
/// were removed.
fn has_ended(outbox: &mut Option<StoredOutbox>, session: SessionId) -> Result<bool, OutboxError> {
    match outbox {
        Some(outbox) => outbox.has_ended(session),
        None => Ok(false),
    }
}

fn ends(
    outbox: &mut Option<StoredOutbox>,
    session: SessionId,
    had: &[Event],
    content: &EventContent,
) -> Result<(), OutboxError> {
    match outbox {
        Some(outbox) => outbox.ends(session, had, content.clone()),
        None => Ok(()),
    }
}

/// A session is over, and receivers of webhooks could not be told.
fn stays(session: SessionId, error: &OutboxError) {
    tracing::error!(
        session_id = %session,
        %error,
        "no webhook tells that a session is over; its files stay for the next start"
    );
}

/// Removes all files of a session but its journal. Returns whether that was possible.
fn clear(blobs: &dyn Blobs, session: SessionId) -> bool {
    let cleared = blobs.restore_session(session, &BTreeMap::new());
    if let Err(error) = &cleared {
        tracing::error!(session_id = %session, %error, "cannot remove the files of a session that has ended");
    }
    cleared.is_ok()
}

/// Removes a session whose creator is gone.
fn remove(blobs: &dyn Blobs, session: SessionId) {
    if let Err(error) = blobs.remove_session(session) {
        tracing::error!(session_id = %session, %error, "cannot remove the files of a session that has ended");
    }
}
