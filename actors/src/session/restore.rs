//! Going on with a session of an earlier process.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use pointstream_reconstruction::formats::ResultFormat;
use thiserror::Error;

use super::announcements::event_of;
use super::ledger::{
    Ledger, NewSession, OwedAnswer, OwedContent, Record, ResultSource, StoredMap, chunk_files,
};
use super::stored_result::StoredResult;
use crate::blobs::{BlobName, Blobs};
use crate::blocking::WorkFailed;
use crate::error_kind::ErrorKind;
use crate::frames::frame_file_bytes;
use crate::ids::SessionId;
use crate::journal::{JournalError, Journals, OpenJournal, Recorded, Records};
use crate::metrics::Metrics;
use crate::outbox::{Event, WebhookError};
use crate::session_event::SessionEvent;

/// What a session begins or goes on with.
pub(crate) struct Restored {
    pub ledger: Ledger,
    pub journal: Box<dyn OpenJournal>,
    /// What this process adds to the journal first.
    pub news: Vec<Record>,
    /// The newest result.
    pub result: Option<Arc<StoredResult>>,
    /// Answers that no client has received, the oldest first.
    pub owed: Vec<SessionEvent>,
    /// What receivers of webhooks were told, or have to be told.
    pub had: Vec<Event>,
    /// Whether there are such receivers.
    pub tells: bool,
}

/// What has become of a session of an earlier process.
pub(crate) enum Found {
    GoesOn(Box<Restored>),
    /// It has ended, ended with its creator, or was never acknowledged.
    HasEnded {
        /// See [`Restored::had`].
        had: Vec<Event>,
        /// What it was, if it had begun.
        ledger: Option<Box<Ledger>>,
    },
}

/// A session cannot be restored.
#[derive(Debug, Error)]
pub(crate) enum RestoreError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("a file of the session cannot be used: {0}")]
    Files(#[from] io::Error),
    /// A defect of this program, on records that contradict each other.
    #[error("the session's records cannot be used; the log has a panic")]
    Panicked,
    #[error("receivers of webhooks cannot be told: {0}")]
    Webhooks(WebhookError),
    #[error(transparent)]
    Work(#[from] WorkFailed),
}

impl Restored {
    /// A new session, whose journal has the first record.
    pub fn begin(new: NewSession, journal: Box<dyn OpenJournal>) -> Self {
        Self {
            ledger: Ledger::new(new),
            journal,
            news: Vec::new(),
            result: None,
            owed: Vec::new(),
            had: Vec::new(),
            tells: false,
        }
    }
}

impl RestoreError {
    /// Whether the session's files are wrong. Otherwise it may be restored at another time.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Journal(error) => error.is_damage(),
            Self::Files(error) => matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
            ),
            Self::Panicked => true,
            Self::Webhooks(_) | Self::Work(_) => false,
        }
    }
}

/// A session is not restored. What is damaged is set aside for the operator; all else stays for the next
/// start. Blocks.
pub(crate) fn give_up(
    blobs: &dyn Blobs,
    metrics: &Metrics,
    session: SessionId,
    error: &RestoreError,
) {
    metrics.error(ErrorKind::Storage, Some(session), &error.to_string());
    if !error.is_damage() {
        tracing::error!(
            session_id = %session,
            %error,
            "a session cannot be restored now; its files stay for the next start"
        );
        return;
    }
    match blobs.set_aside(session) {
        Ok(path) => tracing::error!(
            session_id = %session,
            %error,
            path = %path.display(),
            "a session cannot be restored; its files are set aside, remove them if nobody needs them"
        ),
        Err(reason) => tracing::error!(
            session_id = %session,
            %error,
            %reason,
            "a session cannot be restored, and its files cannot be set aside"
        ),
    }
}

/// Restores a session from its journal, and removes files that the journal does not know. Blocks.
pub(crate) fn restore(
    journals: &Journals,
    blobs: &Arc<dyn Blobs>,
    session: SessionId,
) -> Result<Found, RestoreError> {
    // A defect that one session brings to light must not end the others.
    let restored = AssertUnwindSafe(|| restore_checked(journals, blobs, session));
    catch_unwind(restored).unwrap_or(Err(RestoreError::Panicked))
}

fn restore_checked(
    journals: &Journals,
    blobs: &Arc<dyn Blobs>,
    session: SessionId,
) -> Result<Found, RestoreError> {
    let (journal, records) = match journals.open(session) {
        Err(JournalError::NoBeginning) if journals.is_bare(session)? => {
            return Ok(Found::HasEnded {
                had: Vec::new(),
                ledger: None,
            });
        }
        opened => opened?,
    };
    let active_at = last_use(&records);
    let Replayed {
        mut ledger,
        map,
        had,
    } = replay(records.all)?;
    if !ledger.is_kept() || ledger.has_ended() {
        return Ok(Found::HasEnded {
            had,
            ledger: Some(Box::new(ledger)),
        });
    }
    let news = vec![
        Record::SessionRestored,
        Record::SessionUsed {
            at: active_at.unwrap_or(ledger.active_at()),
        },
    ];
    for record in &news {
        ledger.apply(record.clone());
    }
    blobs.restore_session(session, &expected_files(&ledger, map.as_deref()))?;
    blobs.charge(session, ledger.creator().cloned());
    let result = match ledger.result() {
        Some(record) => {
            let opened = StoredResult::open(blobs.clone(), session, record.clone(), map)?;
            Some(Arc::new(opened))
        }
        None => None,
    };
    let owed = ledger.owed().iter();
    let owed = owed.map(|owed| event(blobs.as_ref(), session, owed, result.as_deref()));
    Ok(Found::GoesOn(Box::new(Restored {
        owed: owed.collect::<io::Result<_>>()?,
        result,
        ledger,
        journal,
        news,
        had,
        tells: false,
    })))
}

/// What receivers of webhooks were told, or have to be told, of a session that has ended. Blocks.
pub(crate) fn events(journals: &Journals, session: SessionId) -> Result<Vec<Event>, JournalError> {
    let (_, records) = journals.open(session)?;
    Ok(replay(records.all)?.had)
}

/// Reads what a session has, and checks its files. `None` if it does not go on. Nothing is changed. Blocks.
pub(crate) fn check(
    journals: &Journals,
    blobs: &dyn Blobs,
    session: SessionId,
) -> Result<Option<Ledger>, RestoreError> {
    let records = match journals.open(session) {
        Err(JournalError::NoBeginning) if journals.is_bare(session)? => return Ok(None),
        opened => opened?.1,
    };
    let Replayed { ledger, map, .. } = replay(records.all)?;
    if !ledger.is_kept() || ledger.has_ended() {
        return Ok(None);
    }
    blobs.check_session(session, &expected_files(&ledger, map.as_deref()))?;
    Ok(Some(ledger))
}

/// A ledger, and the map that its newest result was made of.
struct Replayed {
    ledger: Ledger,
    map: Option<Arc<StoredMap>>,
    /// What has happened.
    had: Vec<Event>,
}

fn replay(records: Vec<Recorded>) -> Result<Replayed, JournalError> {
    let as_of = records
        .iter()
        .rev()
        .find_map(|recorded| match &recorded.record {
            Record::ResultStored { result, .. } => Some(result.as_of),
            _ => None,
        });
    let mut records = records.into_iter();
    let Some(Record::SessionCreated(new)) = records.next().map(|first| first.record) else {
        return Err(JournalError::NoBeginning);
    };
    let mut ledger = Ledger::new(*new);
    let (mut map, mut had) = (None, Vec::new());
    for Recorded { record, number, at } in records {
        if !ledger.fits(&record) {
            return Err(JournalError::Contradiction(number));
        }
        had.extend(event_of(&ledger, &record, at));
        ledger.apply(record);
        if as_of == Some(ledger.map_changes()) {
            map = ledger.map().cloned();
        }
    }
    Ok(Replayed { ledger, map, had })
}

/// When the session was last used, if that is not among the records.
fn last_use(records: &Records) -> Option<SystemTime> {
    let is_use = |record: &Record| {
        !matches!(
            record,
            Record::SessionCreated(_)
                | Record::SessionKept
                | Record::SessionRestored
                | Record::SessionUsed { .. }
                | Record::SessionEnded
        )
    };
    let last = records.all.last().filter(|last| is_use(&last.record))?;
    Some(last.at)
}

/// The files that the session must have, with their sizes in bytes as far as they are known.
/// `map` is that of the newest result.
fn expected_files(ledger: &Ledger, map: Option<&StoredMap>) -> BTreeMap<BlobName, Option<u64>> {
    let source = ledger.result().map(|result| &result.source);
    let map = map.filter(|_| matches!(source, Some(ResultSource::Chunks(_))));
    let of_map = map.iter().flat_map(|stored| &stored.files);
    let of_map = of_map.flat_map(|file| chunk_files(*file));
    let names = ledger.files().into_iter().chain(of_map);
    let mut files: BTreeMap<_, _> = names.map(|name| (name, None)).collect();
    for image in ledger.images() {
        files.insert(BlobName::Original(image.number), Some(image.bytes));
        files.insert(
            BlobName::Prepared(image.number),
            Some(frame_file_bytes(image.size, image.has_hidden)),
        );
    }
    if let Some(result) = ledger.result() {
        let glb = BlobName::Result(result.number, ResultFormat::Glb);
        files.insert(glb, Some(result.metadata.glb_size_bytes as u64));
    }
    files
}

fn event(
    blobs: &dyn Blobs,
    session: SessionId,
    owed: &OwedAnswer,
    newest: Option<&StoredResult>,
) -> io::Result<SessionEvent> {
    let (id, request) = (owed.id.clone(), owed.request);
    Ok(match &owed.content {
        OwedContent::Error { code, message } => SessionEvent::Error {
            code: *code,
            message: message.clone(),
            id,
            filename: None,
            request: Some(request),
        },
        OwedContent::Result(record) => {
            let newest = newest.filter(|newest| newest.number() == record.number);
            let answer = match newest {
                Some(newest) => newest.answer().clone(),
                None => Arc::new(StoredResult::open_answer(blobs, session, record)?),
            };
            SessionEvent::result(answer, id, request)
        }
    })
}

#[cfg(test)]
mod fuzz;
