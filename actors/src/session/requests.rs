//! `generate` and `finalize`: one request runs, a few wait, each gets exactly one answer.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use tokio_util::sync::DropGuard;

use super::ledger::RequestRecord;
use crate::answer::AnswerKind;
use crate::ids::{ClientId, MessageId, RequestKey};
use crate::session_event::{Progress, Stage};

/// The requests of a session.
pub(super) struct Requests {
    waiting: VecDeque<Request>,
    running: Option<Running>,
    /// Number of the next request that runs.
    next: u64,
    /// Requests that may wait beside the one that runs.
    max_waiting: usize,
}

/// A request that waits or runs.
#[derive(Debug)]
pub(super) struct Request {
    pub key: RequestKey,
    pub client: ClientId,
    /// The client's identifier of the message.
    pub id: Option<MessageId>,
    pub kind: RequestKind,
    /// Uploads with a smaller number are part of the request.
    pub before: u64,
    pub asked: Instant,
    /// The furthest progress that was shown: it may run more than once.
    shown: (Stage, f32),
}

impl Request {
    /// A request of a client, from now on.
    pub fn new(record: &RequestRecord, client: ClientId) -> Self {
        Self {
            key: record.key,
            client,
            id: record.id.clone(),
            kind: record.kind,
            before: record.before,
            asked: Instant::now(),
            shown: (Stage::LoadingModel, 0.0),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum RequestKind {
    Generate { incremental: bool },
    Finalize,
}

struct Running {
    request: Request,
    number: u64,
    /// Cancels the job when it is dropped.
    _cancel: Option<DropGuard>,
}

impl RequestKind {
    pub fn answer(self) -> AnswerKind {
        match self {
            Self::Generate { incremental: true } => AnswerKind::Delta,
            Self::Generate { incremental: false } | Self::Finalize => AnswerKind::Complete,
        }
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Requests {
    /// `next` is the number of the first request that runs.
    pub fn new(next: u64, max_waiting: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            running: None,
            next,
            max_waiting,
        }
    }

    /// Requests that run or wait.
    pub fn count(&self) -> usize {
        self.waiting.len() + usize::from(self.running.is_some())
    }

    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether no more requests may wait.
    pub fn is_full(&self) -> bool {
        self.count() > self.max_waiting
    }

    /// Whether a `finalize` waits or runs.
    pub fn is_finalizing(&self) -> bool {
        let running = self.running.iter().map(|running| &running.request);
        running
            .chain(&self.waiting)
            .any(|request| request.kind == RequestKind::Finalize)
    }

    pub fn push(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    /// Takes the oldest waiting request, if none runs and all of its uploads are settled.
    pub fn next_ready(&mut self, oldest_upload: Option<u64>) -> Option<Request> {
        if self.running.is_some() {
            return None;
        }
        let settled = oldest_upload.unwrap_or(u64::MAX);
        self.waiting
            .pop_front_if(|request| request.before <= settled)
    }

    /// The number that the next request will run under.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// The number of a request that could not run.
    pub fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// A request runs now, under [`next_number`](Self::next_number). Its job, if it has one, is
    /// cancelled when the request is finished or dropped.
    pub fn start(&mut self, request: Request, cancel: Option<DropGuard>) {
        self.running = Some(Running {
            request,
            number: self.next,
            _cancel: cancel,
        });
        self.next += 1;
    }

    /// The running request and its number.
    pub fn running(&self) -> Option<(u64, &Request)> {
        let running = self.running.as_ref()?;
        Some((running.number, &running.request))
    }

    /// Progress of the running request. Stage and fraction never decrease, also if a job is retried, or
    /// the request is started again. None for progress of an earlier request.
    pub fn progress(&mut self, number: u64, progress: Progress) -> Option<Progress> {
        let running = self.running.as_mut()?;
        if running.number != number {
            return None;
        }
        let (stage, fraction) = running.request.shown;
        let (stage, fraction) = (stage.max(progress.stage), fraction.max(progress.fraction));
        running.request.shown = (stage, fraction);
        Some(Progress {
            stage,
            fraction,
            message: progress.message,
        })
    }

    /// Takes the running request, if it has this number.
    pub fn finish(&mut self, number: u64) -> Option<Request> {
        let running = self.running.take_if(|running| running.number == number);
        running.map(|running| running.request)
    }

    /// Takes the running request and cancels its job.
    pub fn cancel_running(&mut self) -> Option<Request> {
        self.running.take().map(|running| running.request)
    }

    /// Takes the requests with this identifier, or all: the one that runs, whose job is cancelled, and
    /// those that wait.
    pub fn cancel(&mut self, id: Option<&MessageId>) -> (Option<Request>, VecDeque<Request>) {
        let is_meant = |request: &Request| id.is_none_or(|id| request.id.as_ref() == Some(id));
        let running = self.running.take_if(|running| is_meant(&running.request));
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (cancelled, waiting) = waiting.partition(is_meant);
        self.waiting = waiting;
        (running.map(|running| running.request), cancelled)
    }

    /// Takes all waiting requests.
    pub fn take_waiting(&mut self) -> VecDeque<Request> {
        std::mem::take(&mut self.waiting)
    }
}
