//! Errors by kind, and the last of them.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus::{IntCounterVec, Registry, register_int_counter_vec_with_registry};

use crate::event::SessionId;

/// Errors that are remembered.
const REMEMBERED: usize = 50;
/// Characters that are remembered of an error's text.
const REMEMBERED_CHARS: usize = 300;

/// What went wrong, for operators to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A client sent what is no message of the protocol.
    Message,
    /// A client's message cannot be honoured as things are: a limit is reached, the session is
    /// completed, the service ends.
    Refused,
    /// A client sent an image that cannot be used.
    Image,
    /// A socket was refused or closed because of what the client did.
    Socket,
    /// A client does not read what it asked for.
    SlowClient,
    /// The model failed.
    Model,
    /// The model had too little memory.
    OutOfMemory,
    /// The model took too long.
    Timeout,
    /// Too much is waiting to be done already.
    Busy,
    /// A worker failed, or there is none that could work.
    Worker,
    /// No point cloud could be made of the model's output.
    Cloud,
    /// The disk has no room.
    DiskFull,
    /// The disk refused, or does not give back what it was given.
    Storage,
    /// A session's actor failed.
    Session,
    /// An HTTP request was answered with a server error.
    Http,
    /// Something of ours is wrong.
    Internal,
}

impl ErrorKind {
    const ALL: [Self; 16] = [
        Self::Message,
        Self::Refused,
        Self::Image,
        Self::Socket,
        Self::SlowClient,
        Self::Model,
        Self::OutOfMemory,
        Self::Timeout,
        Self::Busy,
        Self::Worker,
        Self::Cloud,
        Self::DiskFull,
        Self::Storage,
        Self::Session,
        Self::Http,
        Self::Internal,
    ];

    /// What an error that has to do with files counts as.
    pub fn of_files(error: &(dyn Error + 'static)) -> Self {
        let (mut full, mut next) = (false, Some(error));
        while let Some(error) = next {
            let kind = error.downcast_ref().map(io::Error::kind);
            full |= matches!(
                kind,
                Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            );
            next = error.source();
        }
        if full { Self::DiskFull } else { Self::Storage }
    }

    /// The word for it in metrics and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Refused => "refused",
            Self::Image => "image",
            Self::Socket => "socket",
            Self::SlowClient => "slow_client",
            Self::Model => "model",
            Self::OutOfMemory => "out_of_memory",
            Self::Timeout => "timeout",
            Self::Busy => "busy",
            Self::Worker => "worker",
            Self::Cloud => "cloud",
            Self::DiskFull => "disk_full",
            Self::Storage => "storage",
            Self::Session => "session",
            Self::Http => "http",
            Self::Internal => "internal",
        }
    }
}

/// An error that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReport {
    /// When.
    pub time: SystemTime,
    /// What went wrong.
    pub kind: ErrorKind,
    /// The session that it concerns, if it is one.
    pub session: Option<SessionId>,
    /// The error's text, cut if it is long. It may repeat what a client sent.
    pub message: String,
}

/// Counts errors and remembers the last ones.
#[derive(Debug)]
pub(crate) struct ErrorMetrics {
    by_kind: IntCounterVec,
    recent: Mutex<VecDeque<ErrorReport>>,
}

impl ErrorMetrics {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by_kind = register_int_counter_vec_with_registry!(
            "pointstream_errors_total",
            "Errors by kind.",
            &["kind"],
            registry
        )?;
        for kind in ErrorKind::ALL {
            by_kind.with_label_values(&[kind.name()]);
        }
        Ok(Self {
            by_kind,
            recent: Mutex::new(VecDeque::with_capacity(REMEMBERED)),
        })
    }

    pub fn record(&self, kind: ErrorKind, session: Option<SessionId>, message: &str) {
        self.by_kind.with_label_values(&[kind.name()]).inc();
        let report = ErrorReport {
            time: SystemTime::now(),
            kind,
            session,
            message: message.chars().take(REMEMBERED_CHARS).collect(),
        };
        // Every change leaves a whole ring, so a poisoned one is whole too.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.truncate(REMEMBERED - 1);
        recent.push_front(report);
    }

    pub fn recent(&self) -> Vec<ErrorReport> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().cloned().collect()
    }

    pub fn total(&self) -> u64 {
        ErrorKind::ALL
            .iter()
            .map(|kind| self.by_kind.with_label_values(&[kind.name()]).get())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_newest_and_counts_all() {
        let errors = ErrorMetrics::new(&Registry::new()).expect("valid metrics");
        for index in 0..REMEMBERED + 5 {
            errors.record(ErrorKind::Image, None, &index.to_string());
        }
        errors.record(ErrorKind::Model, Some(SessionId::nil()), &"x".repeat(9999));
        let recent = errors.recent();
        assert_eq!(recent.len(), REMEMBERED);
        assert_eq!(recent[0].kind, ErrorKind::Model);
        assert_eq!(recent[0].session, Some(SessionId::nil()));
        assert_eq!(recent[0].message.len(), REMEMBERED_CHARS);
        assert_eq!(recent[1].message, (REMEMBERED + 4).to_string());
        assert_eq!(errors.total(), REMEMBERED as u64 + 6);
    }
}
