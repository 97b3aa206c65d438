//! `generate` and `finalize`: one runs, a few wait, each gets exactly one answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::connections::{Refusal, wire_text};
use super::generation::{self, GenerationError, Outcome, Plan, PlannedFrame};
use super::{SessionMessage, State};
use crate::connection::ConnectionId;
use crate::event::{AnswerKind, CloseReason, MessageId, Progress, SessionEvent, Stage};
use crate::gauge::CurrentJob;
use crate::metrics::ErrorKind;

/// A request that waits or runs.
pub(super) struct Request {
    /// Who asked.
    pub connection: ConnectionId,
    /// What the client calls it.
    pub id: Option<MessageId>,
    kind: RequestKind,
    /// Uploads with a smaller number are part of it.
    before: u64,
    asked: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestKind {
    Generate { incremental: bool },
    Finalize,
}

impl RequestKind {
    fn answer(self) -> AnswerKind {
        match self {
            Self::Generate { incremental: true } => AnswerKind::Delta,
            Self::Generate { incremental: false } | Self::Finalize => AnswerKind::Complete,
        }
    }
}

/// The request that runs.
pub(super) struct Running {
    request: Request,
    cancelled: Arc<AtomicBool>,
    /// Of its result.
    number: u64,
    /// The furthest progress that was shown.
    stage: Stage,
    fraction: f32,
}

impl State {
    pub(super) fn on_generate(
        &mut self,
        connection: ConnectionId,
        incremental: bool,
        id: Option<MessageId>,
        permit: OwnedSemaphorePermit,
    ) {
        self.enqueue(
            connection,
            RequestKind::Generate { incremental },
            id,
            permit,
        );
    }

    pub(super) fn on_finalize(
        &mut self,
        connection: ConnectionId,
        id: Option<MessageId>,
        permit: OwnedSemaphorePermit,
    ) {
        self.enqueue(connection, RequestKind::Finalize, id, permit);
    }

    /// Why the session takes no images and requests any more, if so.
    pub(super) fn closed_to_work(&self) -> Option<String> {
        if self.draining.is_some() {
            Some(CloseReason::ShuttingDown.to_string())
        } else if self.completed {
            Some("session is completed; create a new session for more".to_owned())
        } else if self.finalizing {
            Some("session is being finalized; nothing more is accepted".to_owned())
        } else {
            None
        }
    }

    fn enqueue(
        &mut self,
        connection: ConnectionId,
        kind: RequestKind,
        id: Option<MessageId>,
        permit: OwnedSemaphorePermit,
    ) {
        let limit = self.settings.max_pending_requests;
        let refusal = if let Some(reason) = self.closed_to_work() {
            Some(reason)
        } else if self.images.is_empty() && self.uploads.is_empty() {
            Some("there are no images yet; send at least one before a generate".to_owned())
        } else if self.requests.len() + usize::from(self.running.is_some()) > limit {
            Some(format!(
                "session is busy: {limit} requests are waiting already; wait for their answers"
            ))
        } else {
            None
        };
        if let Some(reason) = refusal {
            let refusal = Refusal {
                kind: ErrorKind::Refused,
                message: reason,
                id,
                filename: None,
            };
            return self.refuse(connection, refusal, Some(permit));
        }
        // The request counts among those that wait from now on, not among unanswered messages.
        drop(permit);
        self.finalizing |= kind == RequestKind::Finalize;
        self.requests.push_back(Request {
            connection,
            id,
            kind,
            before: self.next_upload,
            asked: Instant::now(),
        });
        self.dispatch();
    }

    /// Starts the next request if none runs and its images are stored.
    pub(super) fn dispatch(&mut self) {
        while self.running.is_none() {
            let oldest_upload = self
                .uploads
                .front()
                .map_or(u64::MAX, |upload| upload.number);
            let Some(request) = self
                .requests
                .pop_front_if(|request| request.before <= oldest_upload)
            else {
                return;
            };
            if self.images.is_empty() {
                let message = "none of the images could be used; send at least one that can";
                self.fail(request, ErrorKind::Image, message.to_owned());
            } else {
                self.start(request);
            }
        }
    }

    fn start(&mut self, request: Request) {
        let number = self.next_result;
        self.next_result += 1;
        let cancelled = Arc::new(AtomicBool::new(false));
        let frames: Vec<_> = self
            .images
            .iter()
            .filter(|image| image.number < request.before)
            .map(|image| PlannedFrame {
                job: self.job_frame(image),
                name: image.name.clone(),
            })
            .collect();
        self.mailbox.gauge().job(Some(CurrentJob {
            kind: if request.kind == RequestKind::Finalize {
                "finalize"
            } else {
                "generate"
            },
            session: self.id,
            frames: frames.len(),
            since: Instant::now(),
        }));
        let plan = Plan {
            session: self.id,
            kind: request.kind.answer(),
            number,
            asked: request.asked,
            frames,
            config: self.config.clone(),
            world: self.world.clone(),
            model: self.settings.model.clone(),
            spool: self.spool.clone(),
            pool: self.pool.borrow().clone(),
            workshop: self.workshop.clone(),
            mailbox: self.mailbox.clone(),
            cancelled: cancelled.clone(),
        };
        tracing::info!(frames = plan.frames.len(), kind = ?request.kind, "generation starts");
        self.running = Some(Running {
            request,
            cancelled,
            number,
            stage: Stage::LoadingModel,
            fraction: 0.0,
        });
        let mailbox = self.mailbox.clone();
        let run = tokio::spawn(generation::run(plan).instrument(self.span.clone()));
        tokio::spawn(async move {
            let result = match run.await {
                Ok(result) => result.map(Box::new),
                Err(error) => Err(GenerationError::Internal(error.to_string())),
            };
            // Gone: then nobody waits for it.
            let _ = mailbox.cast(SessionMessage::GenerationEnded(result));
        });
    }

    pub(super) fn on_progress(&mut self, number: u64, progress: Progress) {
        let running = self.running.as_mut();
        let Some(running) = running.filter(|running| running.number == number) else {
            return;
        };
        // A job that is tried again starts over; what was shown stays.
        running.stage = running.stage.max(progress.stage);
        running.fraction = running.fraction.max(progress.fraction);
        let progress = Progress {
            stage: running.stage,
            fraction: running.fraction,
            message: progress.message,
        };
        let connection = running.request.connection;
        self.show_progress(connection, SessionEvent::Progress(progress));
    }

    pub(super) fn on_generation_ended(&mut self, result: Result<Box<Outcome>, GenerationError>) {
        let Some(running) = self.running.take() else {
            return;
        };
        self.touch();
        self.mailbox.gauge().job(None);
        let request = running.request;
        match result {
            Ok(outcome) => {
                let answer = outcome.result.answer().clone();
                tracing::info!(
                    points = answer.metadata.num_points,
                    seconds = answer.metadata.timings.total,
                    "generation ends"
                );
                self.metrics.generations.succeeded(
                    answer.kind,
                    answer.metadata.num_frames,
                    &answer.metadata.timings,
                );
                self.keep_outcome(*outcome);
                if request.kind == RequestKind::Finalize {
                    self.complete();
                }
                let id = request.id;
                self.answer_request(request.connection, SessionEvent::Result { answer, id });
            }
            Err(error) => {
                tracing::warn!(%error, "generation failed");
                self.fail(request, error.kind(), error.to_string());
            }
        }
        self.drained();
        self.dispatch();
        self.encode_ahead();
    }

    fn keep_outcome(&mut self, outcome: Outcome) {
        self.error = None;
        self.world = Some(outcome.world);
        if let Some(old) = self.result.replace(outcome.result) {
            self.forget_result(&old);
        }
    }

    /// The session is finalized: nobody needs the encoded frames any more.
    fn complete(&mut self) {
        self.completed = true;
        for image in &self.images {
            image.features.clear();
        }
    }

    fn fail(&mut self, request: Request, kind: ErrorKind, message: String) {
        if request.kind == RequestKind::Finalize {
            self.finalizing = false;
        }
        let message = wire_text(&message);
        self.metrics.generations.failed(request.kind.answer());
        self.metrics.error(kind, Some(self.id), &message);
        self.error = Some(message.clone());
        self.refuse_request(request, kind, message);
    }

    /// Answers a request with an error.
    pub(super) fn refuse_request(&mut self, request: Request, kind: ErrorKind, message: String) {
        let event = SessionEvent::Error {
            kind,
            message,
            id: request.id,
            filename: None,
        };
        self.answer_request(request.connection, event);
    }

    /// Gives the running generation up; nobody will be answered.
    pub(super) fn cancel_running(&mut self) {
        if let Some(running) = self.running.take() {
            running.cancelled.store(true, Ordering::Relaxed);
            self.metrics
                .generations
                .cancelled(running.request.kind.answer());
        }
    }
}
