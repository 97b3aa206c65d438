//! Journals in a stream of JetStream.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use futures_util::StreamExt as _;
use uuid::Uuid;

use super::entry::{Content, Entry, Row};
use super::files::unfetched;
use super::messages::{Beginnings, Messages};
use super::session::SharedSession;
use super::{SharedFiles, Sharing, lock};
use crate::blobs::{BlobKey, BlobName};
use crate::ids::SessionId;
use crate::journal::{Answered, JournalError, JournalPlace, OpenJournal, Recorded, Records, Told};
use crate::remote::sealed::SealedBlob;
use crate::session::ledger::Record;

/// Contents of more bytes are stored as a file. NATS takes messages of a mebibyte.
const LARGEST_MESSAGE: usize = 512 << 10;
/// The most bytes of a content that is stored as a file.
const LARGEST_CONTENT: u64 = 256 << 20;
/// How often, and how long after a failure, a message is sent again.
const ATTEMPTS: u32 = 300;
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How often a journal is read again because it has grown meanwhile.
const CLAIMS: u32 = 16;
/// Longest time until the next message of a journal is there.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The shared journals.
#[derive(Debug)]
pub(crate) struct SharedJournals {
    files: Arc<SharedFiles>,
}

/// The journal of a session that this gateway has.
#[derive(Debug)]
struct SharedJournal {
    files: Arc<SharedFiles>,
    id: SessionId,
    session: Arc<SharedSession>,
    /// Records of a session that its creator has not kept: if this process ends, so does the session, and nobody
    /// else need know of it.
    unkept: Option<Vec<Row>>,
    /// Number of the last record.
    last: u64,
    answered: Answered,
    /// The answers that receivers of webhooks need no more.
    told: Told,
    messages: Messages,
}

impl SharedJournals {
    pub fn new(files: Arc<SharedFiles>) -> Self {
        Self { files }
    }

    fn sharing(&self) -> &Arc<Sharing> {
        self.files.sharing()
    }
}

/// The rows, in runs of those that are about requests and those that are not: each is a message of its own, so that
/// requests that are not needed any more leave nothing behind.
fn runs(rows: &[Row]) -> Vec<&[Row]> {
    rows.chunk_by(|one, other| one.is_of_request == other.is_of_request)
        .collect()
}

impl JournalPlace for SharedJournals {
    fn create(
        &self,
        session: SessionId,
        first: &Record,
    ) -> Result<Box<dyn OpenJournal>, JournalError> {
        let shared = Arc::new(SharedSession::default());
        self.sharing().sessions().insert(session, shared.clone());
        Ok(Box::new(SharedJournal {
            files: self.files.clone(),
            id: session,
            session: shared,
            unkept: Some(vec![Row::new(1, first)?]),
            last: 1,
            answered: Answered::default(),
            told: Told::default(),
            messages: Messages::default(),
        }))
    }

    /// Takes the session over: what an earlier owner appends afterwards is refused.
    fn open(&self, session: SessionId) -> Result<(Box<dyn OpenJournal>, Records), JournalError> {
        let sharing = self.sharing();
        let (read, tail) = sharing.runtime.block_on(sharing.claim_journal(session))?;
        let shared = Arc::new(SharedSession::restored(tail));
        let mut journal = SharedJournal {
            files: self.files.clone(),
            id: session,
            session: shared.clone(),
            unkept: None,
            last: 0,
            answered: Answered::default(),
            told: Told::default(),
            messages: Messages::default(),
        };
        let (mut all, mut beginnings) = (Vec::new(), Beginnings::default());
        for message in read {
            if let Some(content) = message.stored {
                shared.add_content(message.number, content);
            }
            shared.add(message.files);
            journal.messages.note_message(message.number);
            for row in message.rows {
                let record = row.record()?;
                if !beginnings.count(&record) {
                    continue;
                }
                journal.note(message.number, row.number, &record);
                let at = UNIX_EPOCH + Duration::from_millis(row.at.try_into().unwrap_or(0));
                all.push(Recorded {
                    record,
                    number: row.number,
                    at: at.min(SystemTime::now()),
                });
            }
        }
        if all.is_empty() {
            return Err(JournalError::NoBeginning);
        }
        sharing.sessions().insert(session, shared);
        Ok((Box::new(journal), Records { all }))
    }

    /// One without records was never acknowledged, or is being removed.
    fn is_bare(&self, _: SessionId) -> io::Result<bool> {
        Ok(true)
    }

    /// This life of the gateway had none before. It takes over those that nobody has.
    fn sessions(&self) -> io::Result<Vec<SessionId>> {
        Ok(Vec::new())
    }
}

impl SharedJournal {
    /// A message has a record.
    fn note(&mut self, message: u64, number: u64, record: &Record) {
        self.last = self.last.max(number);
        self.answered.note(number, record);
        self.messages.note(message, number);
    }

    /// Appends a message behind the last one.
    fn write(&mut self, rows: &[Row]) -> Result<u64, JournalError> {
        let sharing = self.files.sharing().clone();
        let mut tail = lock(&self.session.tail);
        let names: Vec<BlobName> = rows.iter().flat_map(|row| row.files.clone()).collect();
        let files = self.files.store(self.id, &self.session, &names)?;
        let content = Content::Happened {
            rows: rows.to_vec(),
            files: files.clone(),
        };
        let appended = sharing.runtime.block_on(async {
            if *tail == 0 {
                let owned = sharing.own(self.id).await;
                owned.map_err(NotAppended::certainly)?;
            }
            sharing.append(self.id, *tail, content).await
        });
        match appended {
            Ok((message, stored)) => {
                *tail = message;
                self.session.add(files);
                if let Some(stored) = stored {
                    self.session.add_content(message, stored);
                }
                Ok(message)
            }
            Err(NotAppended { error, is_certain }) => {
                if is_certain {
                    sharing.remove_objects(files);
                }
                Err(error)
            }
        }
    }

    /// Removes messages of which no record is needed any more.
    fn prune(&mut self) {
        for records in self.answered.take_needless(&self.told) {
            self.messages.needless(&records);
        }
        let last = *lock(&self.session.tail);
        let messages = self.messages.take_removable(last);
        if messages.is_empty() {
            return;
        }
        let contents = messages.iter();
        let contents = contents.filter_map(|message| self.session.take_content(*message));
        let contents: Vec<SealedBlob> = contents.collect();
        self.files
            .sharing()
            .clone()
            .remove_messages(messages, contents);
    }
}

impl OpenJournal for SharedJournal {
    fn append(&mut self, records: &[&Record]) -> Result<(), JournalError> {
        let mut rows = self.unkept.clone().unwrap_or_default();
        let number = rows.last().map_or(self.last, |row| row.number);
        for (number, record) in (number + 1..).zip(records) {
            rows.push(Row::new(number, record)?);
        }
        let is_kept = |record: &&Record| matches!(record, Record::SessionKept);
        if self.unkept.is_some() && !records.iter().any(is_kept) {
            self.unkept = Some(rows);
            return Ok(());
        }
        for (number, run) in runs(&rows).into_iter().enumerate() {
            let message = self.write(run).map_err(|error| match error {
                // Those before it are written.
                error if number > 0 && !matches!(error, JournalError::Taken) => {
                    JournalError::Unknown(error.to_string())
                }
                error => error,
            })?;
            for row in run {
                self.note(message, row.number, &row.record()?);
            }
        }
        self.unkept = None;
        self.prune();
        Ok(())
    }

    fn keep_untold(&mut self, told: Told) {
        self.told = told;
    }
}

/// A message was not appended.
struct NotAppended {
    error: JournalError,
    /// Otherwise it may have been, so that what it names may be needed.
    is_certain: bool,
}

impl NotAppended {
    fn certainly(error: JournalError) -> Self {
        Self {
            error,
            is_certain: true,
        }
    }

    fn perhaps(error: JournalError) -> Self {
        Self {
            error,
            is_certain: false,
        }
    }
}

/// A message that was read.
pub(super) struct Message {
    /// Its number in the stream.
    number: u64,
    rows: Vec<Row>,
    files: Vec<SealedBlob>,
    /// Where its content was.
    stored: Option<SealedBlob>,
}

impl Sharing {
    /// Appends a content to a journal whose last message is `tail`, which is 0 if it has none. Also returns where
    /// the content is, if it is too large for a message.
    ///
    /// # Errors
    /// [`JournalError::Taken`] if somebody else has appended.
    async fn append(
        &self,
        session: SessionId,
        tail: u64,
        content: Content,
    ) -> Result<(u64, Option<SealedBlob>), NotAppended> {
        let certainly = NotAppended::certainly;
        let payload = Entry::new(self.id, content).to_bytes();
        let mut payload = payload.map_err(certainly)?;
        let mut stored = None;
        if payload.len() > LARGEST_MESSAGE {
            let blob = self.store_content(session, payload).await;
            let blob = blob.map_err(certainly)?;
            let entry = Entry::new(self.id, Content::Stored(blob.clone()));
            payload = entry.to_bytes().map_err(certainly)?;
            stored = Some(blob);
        }
        let appended = self.append_message(session, tail, payload).await;
        match appended {
            Ok(message) => Ok((message, stored)),
            Err(not) => {
                if not.is_certain {
                    self.remove_objects(stored.into_iter().collect());
                }
                Err(not)
            }
        }
    }

    async fn append_message(
        &self,
        session: SessionId,
        tail: u64,
        payload: Bytes,
    ) -> Result<u64, NotAppended> {
        // A message that was stored although that was not confirmed is known by it.
        let id = Uuid::new_v4().to_string();
        let subject = self.link.names.journal_of(session);
        let mut attempt = 0;
        loop {
            let message = PublishMessage::build()
                .message_id(&id)
                .expected_last_subject_sequence(tail)
                .payload(payload.clone());
            let sent = self.link.context.send_publish(subject.clone(), message);
            let confirmed = match sent.await {
                Ok(confirmation) => confirmation.await,
                Err(error) => Err(error),
            };
            let error = match confirmed {
                Ok(confirmed) => return Ok(confirmed.sequence),
                Err(error) => error,
            };
            match error.kind() {
                PublishErrorKind::WrongLastSequence if attempt == 0 => {
                    return Err(NotAppended::certainly(JournalError::Taken));
                }
                PublishErrorKind::WrongLastSequence => {
                    let last = self.last_message(session).await;
                    let last = last.map_err(|error| {
                        NotAppended::perhaps(JournalError::Unknown(error.to_string()))
                    })?;
                    return match last {
                        Some((number, last)) if last.as_deref() == Some(id.as_str()) => Ok(number),
                        // An earlier attempt may have succeeded before somebody else has appended.
                        _ => Err(NotAppended::perhaps(JournalError::Taken)),
                    };
                }
                _ if attempt == ATTEMPTS => {
                    let error = JournalError::Unknown(error.to_string());
                    return Err(NotAppended::perhaps(error));
                }
                _ => {
                    tracing::warn!(session_id = %session, %error, retry_in = ?RETRY_DELAY, "the journal of a session waits for NATS");
                    attempt += 1;
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    /// The number of the last message of a journal, and its identifier.
    async fn last_message(
        &self,
        session: SessionId,
    ) -> Result<Option<(u64, Option<String>)>, JournalError> {
        let subject = self.link.names.journal_of(session);
        let found = self.link.journals.get_last_raw_message_by_subject(&subject);
        match found.await {
            Ok(message) => {
                let id = message.headers.get(async_nats::header::NATS_MESSAGE_ID);
                Ok(Some((message.sequence, id.map(ToString::to_string))))
            }
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {
                Ok(None)
            }
            Err(error) => Err(JournalError::Unreachable(error.to_string())),
        }
    }

    /// Reads a journal, and appends that this gateway goes on with it. Returns the number of that message.
    async fn claim_journal(&self, session: SessionId) -> Result<(Vec<Message>, u64), JournalError> {
        let (mut messages, mut tail) = (Vec::new(), 0);
        for _ in 0..CLAIMS {
            if !self.is_mine(session).await? {
                return Err(JournalError::Taken);
            }
            let Some((last, _)) = self.last_message(session).await? else {
                return Err(JournalError::NoBeginning);
            };
            if last > tail {
                self.read_messages(session, (tail, last), &mut messages)
                    .await?;
                tail = last;
            }
            match self.append(session, tail, Content::Claimed).await {
                Ok((claim, _)) => return Ok((messages, claim)),
                // An earlier owner has appended meanwhile.
                Err(NotAppended {
                    error: JournalError::Taken,
                    ..
                }) => {}
                Err(NotAppended { error, .. }) => return Err(error),
            }
        }
        Err(JournalError::Taken)
    }

    /// Shows that a session is still this gateway's, and lets nobody else append. The journal ends with the message
    /// `tail`.
    pub(super) async fn confirm(&self, session: SessionId, tail: u64) -> Result<u64, JournalError> {
        let appended = self.append(session, tail, Content::Claimed).await;
        let appended = appended.map(|(message, _)| message);
        appended.map_err(|not| not.error)
    }

    /// Reads the messages of a journal behind one and up to another.
    async fn read_messages(
        &self,
        session: SessionId,
        (after, last): (u64, u64),
        messages: &mut Vec<Message>,
    ) -> Result<(), JournalError> {
        let unreachable =
            |error: &dyn std::fmt::Display| JournalError::Unreachable(error.to_string());
        let config = pull::OrderedConfig {
            filter_subject: self.link.names.journal_of(session),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: after + 1,
            },
            ..pull::OrderedConfig::default()
        };
        let consumer = self.link.journals.create_consumer(config).await;
        let consumer = consumer.map_err(|error| unreachable(&error))?;
        let found = consumer.messages().await;
        let mut found = found.map_err(|error| unreachable(&error))?;
        loop {
            let next = tokio::time::timeout(READ_TIMEOUT, found.next()).await;
            let next = next.map_err(|error| unreachable(&error))?;
            let next = next.ok_or_else(|| unreachable(&"its messages end too early"))?;
            let message = next.map_err(|error| unreachable(&error))?;
            let info = message.info().map_err(|error| unreachable(&error))?;
            let number = info.stream_sequence;
            messages.extend(self.read_message(session, number, &message.payload).await?);
            if number >= last {
                return Ok(());
            }
        }
    }

    /// `None` for one without records.
    async fn read_message(
        &self,
        session: SessionId,
        number: u64,
        payload: &[u8],
    ) -> Result<Option<Message>, JournalError> {
        let (mut content, mut stored) = (Entry::read(payload, number)?.content, None);
        if let Content::Stored(blob) = content {
            let fetched = blob.fetch(&self.link.files, LARGEST_CONTENT).await;
            let fetched = fetched.map_err(|error| JournalError::Files(unfetched(error)))?;
            content = Entry::read(&fetched, number)?.content;
            stored = Some(blob);
        }
        match content {
            Content::Happened { rows, files } => {
                let is_own = |blob: &SealedBlob| blob.key.session == session;
                if !files.iter().all(is_own) {
                    return Err(JournalError::Contradiction(number));
                }
                Ok(Some(Message {
                    number,
                    rows,
                    files,
                    stored,
                }))
            }
            Content::Claimed => Ok(None),
            Content::Stored(_) => Err(JournalError::Contradiction(number)),
        }
    }

    async fn store_content(
        &self,
        session: SessionId,
        content: Bytes,
    ) -> Result<SealedBlob, JournalError> {
        let key = BlobKey {
            session,
            name: BlobName::Prediction(Uuid::new_v4()),
        };
        self.store_object(key, content.into())
            .await
            .map_err(JournalError::Files)
    }

    /// Removes messages of a journal in the background, one after another, and then their contents. If one cannot be
    /// removed, it and those behind it stay, until the session ends.
    fn remove_messages(self: Arc<Self>, messages: Vec<u64>, contents: Vec<SealedBlob>) {
        self.runtime.clone().spawn(async move {
            for message in messages {
                if let Err(error) = self.link.journals.delete_message(message).await {
                    tracing::debug!(%error, message, "cannot remove a message of a journal");
                    return;
                }
            }
            self.remove_objects(contents);
        });
    }
}
