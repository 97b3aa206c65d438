//! Errors by kind, and the last of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus::{IntCounterVec, Registry, register_int_counter_vec_with_registry};
use strum::VariantArray;

use crate::error_kind::ErrorKind;
use crate::ids::SessionId;

/// Errors of a kind that are remembered: many of one, which a client can cause, do not push others out.
const REMEMBERED: usize = 10;
/// Characters that are remembered of an error's text.
const REMEMBERED_CHARS: usize = 300;

/// An error that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReport {
    pub time: SystemTime,
    pub kind: ErrorKind,
    /// The session concerned, if there is one.
    pub session: Option<SessionId>,
    /// The error's text, truncated if long. May contain text from a client.
    pub message: String,
}

/// Counts errors and remembers the last ones.
#[derive(Debug)]
pub(crate) struct ErrorMetrics {
    by_kind: IntCounterVec,
    recent: Mutex<Recent>,
}

/// The last errors of each kind, the newest first, with their numbers: the clock may step back.
#[derive(Debug, Default)]
struct Recent {
    next: u64,
    by_kind: HashMap<ErrorKind, VecDeque<(u64, ErrorReport)>>,
}

impl ErrorMetrics {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by_kind = register_int_counter_vec_with_registry!(
            "pointstream_errors_total",
            "Errors by kind.",
            &["kind"],
            registry
        )?;
        for kind in ErrorKind::VARIANTS {
            by_kind.with_label_values(&[label(*kind)]);
        }
        Ok(Self {
            by_kind,
            recent: Mutex::default(),
        })
    }

    pub fn record(&self, kind: ErrorKind, session: Option<SessionId>, message: &str) {
        self.record_at(SystemTime::now(), kind, session, message);
    }

    fn record_at(
        &self,
        time: SystemTime,
        kind: ErrorKind,
        session: Option<SessionId>,
        message: &str,
    ) {
        self.by_kind.with_label_values(&[label(kind)]).inc();
        let report = ErrorReport {
            time,
            kind,
            session,
            message: message.chars().take(REMEMBERED_CHARS).collect(),
        };
        // Every change leaves valid lists, so a poisoned lock is usable.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let number = recent.next;
        recent.next += 1;
        let of_kind = recent.by_kind.entry(kind).or_default();
        of_kind.truncate(REMEMBERED - 1);
        of_kind.push_front((number, report));
    }

    pub fn recent(&self) -> Vec<ErrorReport> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = recent.by_kind.values().flatten().collect();
        all.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        all.into_iter().map(|(_, report)| report.clone()).collect()
    }

    pub fn total(&self) -> u64 {
        ErrorKind::VARIANTS
            .iter()
            .map(|kind| self.by_kind.with_label_values(&[label(*kind)]).get())
            .sum()
    }
}

fn label(kind: ErrorKind) -> &'static str {
    kind.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn remembers_the_newest_of_each_kind_and_counts_all() {
        let errors = ErrorMetrics::new(&Registry::new()).expect("valid metrics");
        errors.record(ErrorKind::Worker, None, "rare");
        for index in 0..REMEMBERED + 5 {
            errors.record(ErrorKind::Image, None, &index.to_string());
        }
        errors.record(ErrorKind::Model, Some(SessionId::nil()), &"x".repeat(9999));
        let recent = errors.recent();
        assert_eq!(recent.len(), REMEMBERED + 2);
        assert_eq!(recent[REMEMBERED + 1].message, "rare");
        assert_eq!(recent[0].kind, ErrorKind::Model);
        assert_eq!(recent[0].session, Some(SessionId::nil()));
        assert_eq!(recent[0].message.len(), REMEMBERED_CHARS);
        assert_eq!(recent[1].message, (REMEMBERED + 4).to_string());
        assert_eq!(errors.total(), REMEMBERED as u64 + 7);
    }

    #[test]
    fn a_clock_that_steps_back_or_stands_still_reorders_nothing() {
        let errors = ErrorMetrics::new(&Registry::new()).expect("valid metrics");
        let kinds = [ErrorKind::Worker, ErrorKind::Image, ErrorKind::Model];
        for (index, seconds) in [30, 20, 20, 10, 25, 10].into_iter().enumerate() {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            errors.record_at(time, kinds[index % 3], None, &index.to_string());
        }
        let recent = errors.recent().into_iter();
        let order: Vec<String> = recent.map(|error| error.message).collect();
        assert_eq!(order, ["5", "4", "3", "2", "1", "0"]);
    }
}
