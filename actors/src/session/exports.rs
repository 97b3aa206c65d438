//! The newest result in other formats: written once, when somebody asks, and kept as files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use pointstream_reconstruction::formats::ResultFormat;
use tracing::Instrument;

use super::result::StoredResult;
use super::{SessionMessage, State};
use crate::handle::Unanswered;
use crate::mailbox::{Reply, answer};
use crate::metrics::ErrorKind;
use crate::result_file::{ResultFile, ResultFileError};

/// Where a file goes that was asked for.
pub(crate) type ExportReply = Reply<Result<Option<ResultFile>, ResultFileError>>;

/// Formats of results, each by the result's number.
#[derive(Default)]
pub(super) struct Exports {
    files: BTreeMap<(u64, ResultFormat), Export>,
}

/// One of them.
enum Export {
    /// Being written.
    Writing {
        /// Each is a client's request, of which there are only so many.
        waiting: Vec<ExportReply>,
        /// Set when nobody waits any more. The file may be asked for again before the writing has
        /// ended.
        cancelled: Arc<AtomicBool>,
    },
    /// A view of the file.
    Written(Bytes),
}

impl Exports {
    /// Whether any is being written.
    pub fn are_written(&self) -> bool {
        self.files
            .values()
            .any(|export| matches!(export, Export::Writing { .. }))
    }

    /// Gives up what is being written; nobody will be answered.
    pub fn cancel(&self) {
        for export in self.files.values() {
            if let Export::Writing { cancelled, .. } = export {
                cancelled.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl State {
    pub(super) fn on_export(&mut self, format: ResultFormat, reply: ExportReply) {
        let Some(result) = self.result.clone() else {
            return answer(reply, Ok(None));
        };
        let number = result.answer().number;
        let stored = match self.exports.files.get_mut(&(number, format)) {
            Some(Export::Writing { waiting, .. }) => return waiting.push(reply),
            Some(Export::Written(bytes)) => Some(bytes.clone()),
            None => result.stored(format),
        };
        if let Some(bytes) = stored {
            let file = self.result_file(number, format, bytes);
            return answer(reply, Ok(Some(file)));
        }
        self.write_export(result, format, vec![reply]);
    }

    fn write_export(
        &mut self,
        result: Arc<StoredResult>,
        format: ResultFormat,
        waiting: Vec<ExportReply>,
    ) {
        let number = result.answer().number;
        let cancelled = Arc::new(AtomicBool::new(false));
        let writing = Export::Writing {
            waiting,
            cancelled: cancelled.clone(),
        };
        self.exports.files.insert((number, format), writing);
        let (workshop, mailbox) = (self.export_workshop.clone(), self.mailbox.clone());
        let limit = self.settings.job_timeout;
        let work = async move {
            // Its time begins when it is written: others may take longer than it does.
            let outcome = match tokio::time::timeout(limit, workshop.place()).await {
                Ok(Ok(place)) => {
                    let mut written =
                        std::pin::pin!(place.run(move || result.write(format, &cancelled)));
                    let in_time = tokio::time::timeout(limit, written.as_mut()).await;
                    let written = match in_time {
                        Ok(written) => written,
                        Err(_) => {
                            // Gone: then nobody waits for it.
                            let _ = mailbox.cast(SessionMessage::ExportLate { number, format });
                            written.await
                        }
                    };
                    written
                        .map_err(|failed| ResultFileError::Internal(failed.to_string()))
                        .and_then(|written| {
                            written.map_err(|error| ResultFileError::Write {
                                format,
                                source: Arc::new(error),
                            })
                        })
                }
                Ok(Err(failed)) => Err(ResultFileError::Internal(failed.to_string())),
                Err(_) => Err(Unanswered::Busy.into()),
            };
            // Gone: then the file goes with the session's folder.
            let _ = mailbox.cast(SessionMessage::ExportEnded {
                number,
                format,
                outcome,
            });
        };
        tokio::spawn(work.instrument(self.span.clone()));
    }

    pub(super) fn on_export_ended(
        &mut self,
        number: u64,
        format: ResultFormat,
        outcome: Result<Bytes, ResultFileError>,
    ) {
        self.touch();
        let removed = self.exports.files.remove(&(number, format));
        let Some(Export::Writing { waiting, cancelled }) = removed else {
            return;
        };
        if outcome.is_err() && cancelled.load(Ordering::Relaxed) {
            tracing::info!(%format, "writing a result was given up");
            match self.result.clone() {
                // It was asked for again meanwhile.
                Some(result) if result.answer().number == number && !waiting.is_empty() => {
                    self.write_export(result, format, waiting);
                }
                _ => {}
            }
            return self.drained();
        }
        match &outcome {
            Ok(bytes) => tracing::info!(%format, bytes = bytes.len(), "result written"),
            Err(error) => {
                tracing::warn!(%error, "result not written");
                let kind = match error {
                    ResultFileError::Write { source, .. } => ErrorKind::of_files(&**source),
                    ResultFileError::Unanswered(_) => ErrorKind::Busy,
                    _ => ErrorKind::Internal,
                };
                self.metrics.error(kind, Some(self.id), &error.to_string());
            }
        }
        let outcome = outcome.map(|bytes| self.result_file(number, format, bytes));
        for reply in waiting {
            answer(reply, outcome.clone().map(Some));
        }
        match outcome {
            Ok(file) if self.is_newest(number) => {
                let written = Export::Written(file.bytes);
                self.exports.files.insert((number, format), written);
            }
            Ok(_) => self.remove_files(number, vec![format]),
            Err(_) => {}
        }
        self.drained();
    }

    /// Gives up writing what nobody waits for any more.
    pub(super) fn on_export_left(&mut self) {
        for export in self.exports.files.values_mut() {
            if let Export::Writing { waiting, cancelled } = export {
                waiting.retain(|reply| !reply.is_closed());
                if waiting.is_empty() {
                    cancelled.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Gives up writing what takes too long.
    pub(super) fn on_export_late(&mut self, number: u64, format: ResultFormat) {
        let export = self.exports.files.get_mut(&(number, format));
        if let Some(Export::Writing { waiting, cancelled }) = export {
            cancelled.store(true, Ordering::Relaxed);
            let limit = self.settings.job_timeout;
            let late = ResultFileError::TimedOut { format, limit };
            tracing::warn!(error = %late, "result not written");
            let text = late.to_string();
            self.metrics.error(ErrorKind::Timeout, Some(self.id), &text);
            for reply in waiting.drain(..) {
                answer(reply, Err(late.clone()));
            }
        }
    }

    /// A newer result came: the files of this one go, but those that are being written, which are
    /// still waited for.
    pub(super) fn forget_result(&mut self, old: &StoredResult) {
        let number = old.answer().number;
        let mut formats = StoredResult::FORMATS.to_vec();
        self.exports.files.retain(|&(of, format), export| {
            let goes = of == number && matches!(export, Export::Written(_));
            if goes {
                formats.push(format);
            }
            !goes
        });
        self.remove_files(number, formats);
    }

    fn remove_files(&self, number: u64, formats: Vec<ResultFormat>) {
        let (spool, workshop) = (self.spool.clone(), self.workshop.clone());
        tokio::spawn(async move {
            let remove = move || {
                for format in formats {
                    spool.remove_result(number, format);
                }
            };
            if let Err(error) = workshop.run(remove).await {
                tracing::warn!(%error, "an old result could not be removed");
            }
        });
    }

    fn is_newest(&self, number: u64) -> bool {
        let newest = self.result.as_ref();
        newest.is_some_and(|result| result.answer().number == number)
    }

    fn result_file(&self, number: u64, format: ResultFormat, bytes: Bytes) -> ResultFile {
        ResultFile {
            session: self.id,
            number,
            format,
            bytes,
        }
    }
}
