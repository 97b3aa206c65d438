//! The newest result in other formats: written once, when somebody asks, and kept as files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use pointstream_reconstruction::export::ResultFormat;
use tracing::Instrument;

use super::result::StoredResult;
use super::{SessionMessage, State};
use crate::export::{ExportFailed, ResultFile};
use crate::mailbox::{Reply, answer};
use crate::metrics::ErrorKind;

/// Where a file goes that was asked for.
pub(crate) type ExportReply = Reply<Result<Option<ResultFile>, ExportFailed>>;

/// Formats of results, each by the result's number.
#[derive(Default)]
pub(super) struct Exports {
    files: BTreeMap<(u64, ResultFormat), Export>,
    cancelled: Arc<AtomicBool>,
}

/// One of them.
enum Export {
    /// Being written. Each who waits is a client's request, of which there are only so many.
    Writing(Vec<ExportReply>),
    /// A view of the file.
    Written(Bytes),
}

impl Exports {
    /// Whether any is being written.
    pub fn are_written(&self) -> bool {
        self.files
            .values()
            .any(|export| matches!(export, Export::Writing(_)))
    }

    /// Gives up what is being written; nobody will be answered.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl State {
    pub(super) fn on_export(&mut self, format: ResultFormat, reply: ExportReply) {
        let Some(result) = self.result.clone() else {
            return answer(reply, Ok(None));
        };
        let number = result.answer().number;
        let stored = match self.exports.files.get_mut(&(number, format)) {
            Some(Export::Writing(waiting)) => return waiting.push(reply),
            Some(Export::Written(bytes)) => Some(bytes.clone()),
            None => result.stored(format),
        };
        if let Some(bytes) = stored {
            let file = self.result_file(number, format, bytes);
            return answer(reply, Ok(Some(file)));
        }
        let writing = Export::Writing(vec![reply]);
        self.exports.files.insert((number, format), writing);
        self.write_export(result, format);
    }

    fn write_export(&self, result: Arc<StoredResult>, format: ResultFormat) {
        let (workshop, mailbox) = (self.export_workshop.clone(), self.mailbox.clone());
        let cancelled = self.exports.cancelled.clone();
        let work = async move {
            let number = result.answer().number;
            let outcome = workshop
                .run(move || result.write(format, &cancelled))
                .await
                .map_err(|failed| ExportFailed::Internal(failed.to_string()))
                .and_then(|written| {
                    written.map_err(|error| ExportFailed::Write {
                        format,
                        source: Arc::new(error),
                    })
                });
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
        outcome: Result<Bytes, ExportFailed>,
    ) {
        self.touch();
        let Some(Export::Writing(waiting)) = self.exports.files.remove(&(number, format)) else {
            return;
        };
        match &outcome {
            Ok(bytes) => tracing::info!(%format, bytes = bytes.len(), "result written"),
            Err(error) => {
                tracing::warn!(%error, "result not written");
                let kind = match error {
                    ExportFailed::Write { .. } => ErrorKind::Storage,
                    _ => ErrorKind::Internal,
                };
                self.metrics.error(kind, Some(self.id), &error.to_string());
            }
        }
        let outcome = outcome.map(|bytes| self.result_file(number, format, bytes));
        for reply in waiting {
            answer(reply, outcome.clone().map(Some));
        }
        let Ok(file) = outcome else { return };
        if self.is_newest(number) {
            let written = Export::Written(file.bytes);
            self.exports.files.insert((number, format), written);
        } else {
            self.remove_files(number, vec![format]);
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
