//! Which rows of a journal are not needed any more: those of requests whose answer was delivered, once later
//! rows say what the session has of them, and receivers of webhooks are told. So a journal does not grow with
//! the number of requests.

use std::collections::BTreeMap;

use super::told::Told;
use crate::ids::RequestKey;
use crate::session::ledger::Record;

/// The requests that a journal has rows of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answered {
    requests: BTreeMap<RequestKey, Rows>,
    /// The last row of each effect.
    last: BTreeMap<Effect, u64>,
}

/// The rows of a request.
#[derive(Debug, Clone, Default)]
struct Rows {
    numbers: Vec<u64>,
    answer: Option<Answer>,
    delivered: bool,
}

#[derive(Debug, Clone)]
struct Answer {
    number: u64,
    /// Whether receivers of webhooks are told of it.
    tells: bool,
    effects: Vec<Effect>,
}

/// What an answer leaves in the ledger until a later one replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// Its number; those of later requests are larger.
    Number,
    /// Whether the last request has failed.
    Outcome,
    Result,
    World,
}

impl Answered {
    /// Notes a row.
    pub fn note(&mut self, number: u64, record: &Record) {
        let Some(request) = request(record) else {
            return;
        };
        let rows = self.requests.entry(request).or_default();
        rows.numbers.push(number);
        rows.delivered |= matches!(record, Record::AnswerDelivered { .. });
        if let Some(effects) = effects(record) {
            self.last
                .extend(effects.iter().map(|effect| (*effect, number)));
            let tells = !matches!(record, Record::RequestCancelled { .. });
            rows.answer = Some(Answer {
                number,
                tells,
                effects,
            });
        }
    }

    /// Forgets the requests that are not needed any more. Returns their rows, for each in their order.
    pub fn take_needless(&mut self, told: &Told) -> Vec<Vec<u64>> {
        // The keys of later requests are larger, so the last one stays.
        let newest = self.requests.last_key_value().map(|(request, _)| *request);
        let last = &self.last;
        let mut needless = Vec::new();
        self.requests.retain(|request, rows| {
            let is_unneeded = rows.answer.as_ref().is_some_and(|answer| {
                let mut effects = answer.effects.iter();
                effects.all(|effect| last.get(effect).is_some_and(|row| *row > answer.number))
                    && (!answer.tells || told.includes(*request))
            });
            let is_done = rows.delivered && is_unneeded;
            let keep = !is_done || newest == Some(*request);
            if !keep {
                needless.push(std::mem::take(&mut rows.numbers));
            }
            keep
        });
        needless
    }
}

/// The request that a record is about. The first one of each is [`Record::RequestMade`].
pub(crate) fn request(record: &Record) -> Option<RequestKey> {
    match record {
        Record::RequestMade(made) => Some(made.key),
        Record::ResultStored { request, .. }
        | Record::RequestFailed { request, .. }
        | Record::RequestCancelled { request, .. }
        | Record::AnswerDelivered { request } => Some(*request),
        _ => None,
    }
}

/// What an answer leaves; `None` if the record is none.
fn effects(record: &Record) -> Option<Vec<Effect>> {
    let (ran, others) = match record {
        Record::ResultStored { world: None, .. } => (true, &[Effect::Outcome, Effect::Result][..]),
        Record::ResultStored { .. } => {
            (true, &[Effect::Outcome, Effect::Result, Effect::World][..])
        }
        Record::RequestFailed { number, .. } => (number.is_some(), &[Effect::Outcome][..]),
        Record::RequestCancelled { number, .. } => (number.is_some(), &[][..]),
        _ => return None,
    };
    let number = ran.then_some(Effect::Number);
    Some(number.into_iter().chain(others.iter().copied()).collect())
}
