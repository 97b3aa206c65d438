//! The newest result, and its other formats: each is written once, on request, and kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use pointstream_reconstruction::formats::mesh::mesh_need;
use pointstream_reconstruction::formats::{ResultFormat, WriteError};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::adopt::FramePreparation;
use super::context::Context;
use super::message::{FileId, ResultFileReply, SessionMessage};
use super::stored_result::StoredResult;
use crate::answer::{Answer, ResultFile};
use crate::blobs::{BlobName, BlobView};
use crate::blocking::WorkFailed;
use crate::error_kind::ErrorKind;
use crate::errors::{ResultFileError, Unanswered};
use crate::jobs::{Held, HoldFailed};
use crate::mailbox::answer;
use crate::session_config::SessionConfig;

/// The newest result and the files of results.
pub(super) struct ResultFiles {
    context: Context,
    /// How the session makes frames of photos.
    preparation: FramePreparation,
    newest: Option<Arc<StoredResult>>,
    files: BTreeMap<FileId, File>,
}

/// A file of a format that is not stored with every result.
enum File {
    Writing {
        /// Each belongs to a client's request, whose number is bounded.
        waiting: Vec<ResultFileReply>,
        /// Cancels the writing when it is dropped.
        cancel: DropGuard,
    },
    /// A view of the file.
    Written(BlobView),
    /// The result has no such file, however often it is tried.
    Impossible(ResultFileError),
}

impl ResultFiles {
    pub fn new(context: Context, config: &SessionConfig) -> Self {
        Self {
            context,
            preparation: FramePreparation::of(config),
            newest: None,
            files: BTreeMap::new(),
        }
    }

    /// The newest result.
    pub fn newest(&self) -> Option<&Arc<Answer>> {
        self.newest.as_ref().map(|result| result.answer())
    }

    /// The newest result with its files.
    pub fn newest_stored(&self) -> Option<&Arc<StoredResult>> {
        self.newest.as_ref()
    }

    pub fn has_result(&self) -> bool {
        self.newest.is_some()
    }

    /// Whether a file is being written.
    pub fn is_writing(&self) -> bool {
        self.files
            .values()
            .any(|file| matches!(file, File::Writing { .. }))
    }

    /// Replaces the newest result. Returns the files of the previous one, except those that
    /// are being written, which clients still wait for, and its GLB if a client has yet to get it.
    #[must_use = "the files are not removed here"]
    pub fn replace(&mut self, result: Arc<StoredResult>, keep_glb: bool) -> Vec<BlobName> {
        let Some(previous) = self.newest.replace(result) else {
            return Vec::new();
        };
        let number = previous.number();
        let mut names = StoredResult::files(number).to_vec();
        let glb = BlobName::Result(number, ResultFormat::Glb);
        names.retain(|name| !(keep_glb && *name == glb));
        self.files.retain(|&(of, format), file| {
            if of == number && matches!(file, File::Written(_)) {
                names.push(BlobName::Result(number, format));
            }
            of != number || matches!(file, File::Writing { .. })
        });
        names
    }

    /// Goes on with the result of an earlier process.
    pub fn restore(&mut self, result: Option<Arc<StoredResult>>) {
        self.newest = result;
    }

    /// Answers with the newest result in a format, which is written first if necessary.
    pub fn request(&mut self, format: ResultFormat, reply: ResultFileReply) {
        let Some(result) = self.newest.clone() else {
            return answer(reply, Ok(None));
        };
        let id = (result.number(), format);
        let stored = match self.files.get_mut(&id) {
            Some(File::Writing { waiting, .. }) => return waiting.push(reply),
            Some(File::Written(bytes)) => Some(bytes.clone()),
            Some(File::Impossible(error)) => return answer(reply, Err(error.clone())),
            None => result.stored(format),
        };
        match stored {
            Some(bytes) => answer(reply, Ok(Some(self.file(id, bytes)))),
            None => self.write(&result, format, vec![reply]),
        }
    }

    fn write(
        &mut self,
        result: &Arc<StoredResult>,
        format: ResultFormat,
        waiting: Vec<ResultFileReply>,
    ) {
        let id = (result.number(), format);
        let cancelled = CancellationToken::new();
        let writing = File::Writing {
            waiting,
            cancel: cancelled.clone().drop_guard(),
        };
        self.files.insert(id, writing);
        let (context, preparation) = (self.context.clone(), self.preparation);
        let work = write(context, preparation, result.clone(), format, cancelled);
        self.context
            .mailbox
            .detached_work(work, move |outcome| SessionMessage::FileWritten {
                file: id,
                outcome,
            });
    }

    /// A file was written, or not.
    pub fn written(&mut self, id: FileId, outcome: Result<BlobView, ResultFileError>) {
        let Some(File::Writing { waiting, cancel }) = self.files.remove(&id) else {
            return;
        };
        let (number, format) = id;
        if outcome.is_err() && cancel.token().is_cancelled() {
            tracing::info!(%format, "writing a result was cancelled");
            // It may have been requested again meanwhile.
            let newest = self.newest.clone();
            if let Some(result) = newest.filter(|result| result.number() == number)
                && !waiting.is_empty()
            {
                self.write(&result, format, waiting);
            }
            return;
        }
        match &outcome {
            Ok(bytes) => tracing::info!(%format, bytes = bytes.len(), "result written"),
            Err(error) => self.note(error_kind(error), error),
        }
        let outcome = outcome.map(|bytes| self.file(id, bytes));
        for reply in waiting {
            answer(reply, outcome.clone().map(Some));
        }
        let is_newest = self.newest.as_ref().map(|result| result.number()) == Some(number);
        match outcome {
            Ok(file) if is_newest => drop(self.files.insert(id, File::Written(file.bytes))),
            Ok(_) => self.context.remove([BlobName::Result(number, format)]),
            Err(error) if is_newest && is_final(&error) => {
                self.files.insert(id, File::Impossible(error));
            }
            Err(_) => {}
        }
    }

    /// A caller stopped waiting: cancels the writing of files without waiting callers.
    pub fn cancel_unwanted(&mut self) {
        for file in self.files.values_mut() {
            if let File::Writing { waiting, cancel } = file {
                waiting.retain(|reply| !reply.is_closed());
                if waiting.is_empty() {
                    cancel.token().cancel();
                }
            }
        }
    }

    /// A file takes too long: cancels the writing and answers the waiting callers.
    pub fn time_out(&mut self, id: FileId) {
        let Some(File::Writing { waiting, cancel }) = self.files.get_mut(&id) else {
            return;
        };
        cancel.token().cancel();
        let waiting = std::mem::take(waiting);
        let error = ResultFileError::TimedOut {
            format: id.1,
            limit: self.context.settings.pool.job_timeout,
        };
        self.note(ErrorKind::Timeout, &error);
        for reply in waiting {
            answer(reply, Err(error.clone()));
        }
    }

    fn note(&self, kind: ErrorKind, error: &ResultFileError) {
        tracing::warn!(%error, "result not written");
        let metrics = &self.context.metrics;
        metrics.error(kind, Some(self.context.id), &error.to_string());
    }

    fn file(&self, (number, format): FileId, bytes: BlobView) -> ResultFile {
        ResultFile {
            session: self.context.id,
            number,
            format,
            bytes,
        }
    }
}

impl From<WorkFailed> for ResultFileError {
    fn from(failed: WorkFailed) -> Self {
        Self::Internal(failed.to_string())
    }
}

/// Whether it lies in the result.
fn is_final(error: &ResultFileError) -> bool {
    match error {
        ResultFileError::Write { source, .. } => matches!(**source, WriteError::Surface(_)),
        _ => false,
    }
}

fn error_kind(error: &ResultFileError) -> ErrorKind {
    match error {
        ResultFileError::NoMemory {
            source: HoldFailed::TimedOut(_),
            ..
        } => ErrorKind::Timeout,
        ResultFileError::NoMemory { .. } => ErrorKind::OutOfMemory,
        error if is_final(error) => ErrorKind::Cloud,
        ResultFileError::Write { source, .. } => ErrorKind::of_files(&**source),
        ResultFileError::Unanswered(_) => ErrorKind::Busy,
        ResultFileError::TimedOut { .. } => ErrorKind::Timeout,
        ResultFileError::Internal(_) => ErrorKind::Internal,
    }
}

/// Waits for the memory that a mesh takes.
async fn hold(
    context: &Context,
    result: &StoredResult,
    format: ResultFormat,
    cancelled: &CancellationToken,
) -> Result<Held, ResultFileError> {
    let holding = context
        .dispatcher
        .hold_for_mesh(mesh_need(result.cameras()));
    tokio::select! {
        biased;
        // Nobody waits for the file any more.
        () = cancelled.cancelled() => Err(WorkFailed::not_wanted().into()),
        held = holding => held.map_err(|source| ResultFileError::NoMemory { format, source }),
    }
}

/// Waits for a slot, then writes a file. The time limit begins when the slot is free.
async fn write(
    context: Context,
    preparation: FramePreparation,
    result: Arc<StoredResult>,
    format: ResultFormat,
    cancelled: CancellationToken,
) -> Result<BlobView, ResultFileError> {
    let limit = context.settings.pool.job_timeout;
    // The memory comes before the slot: who waits for it must not hold up others at the slots.
    let held = match format.is_mesh() {
        true => Some(hold(&context, &result, format, &cancelled).await?),
        false => None,
    };
    let slot = tokio::time::timeout(limit, context.result_files.slot(context.owner()))
        .await
        .map_err(|_| Unanswered::Busy)??;
    let id = (result.number(), format);
    let key = context.key(BlobName::Result(id.0, format));
    let own = context.clone();
    let work = move || {
        let written = result.write(format, &key, &own, preparation, &cancelled);
        drop(held);
        written
    };
    let mut writing = std::pin::pin!(slot.run(work));
    let written = match tokio::time::timeout(limit, writing.as_mut()).await {
        Ok(written) => written,
        Err(_) => {
            context.mailbox.notify(SessionMessage::FileLate(id));
            writing.await
        }
    };
    written?.map_err(|error| ResultFileError::Write {
        format,
        source: Arc::new(error),
    })
}
