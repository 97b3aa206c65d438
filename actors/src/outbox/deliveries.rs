//! Messages and what has become of them.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::courier::{Attempt, AttemptOutcome};
use super::error::OutboxError;
use super::event::EventType;
use super::file::time;
use super::{schedule, subscriptions};
use crate::ids::SessionId;
use crate::sqlite::milliseconds;

/// Messages of one owner that may wait for one receiver.
const MOST_OF_OWNER: u64 = 1_000;
/// Messages that may wait in all.
const MOST: u64 = 10_000;
/// Messages that are kept after they were delivered or given up, for operators.
const KEPT: u64 = 10_000;
/// Time for which they are kept.
const KEPT_FOR: Duration = Duration::from_secs(7 * 86400);
/// The longest reason that is kept, in characters.
const REASON: usize = 300;

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Receiver {
    /// The webhook of the session.
    Session,
    /// The webhook of the operator.
    Operator,
}

impl Receiver {
    pub(super) fn word(self) -> &'static str {
        self.into()
    }
}

/// What has become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum DeliveryState {
    /// It will be tried, or tried again.
    Waiting,
    Delivered,
    /// It is not tried any more.
    Failed,
}

/// A message, for operators.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryReport {
    /// Larger than that of every earlier message.
    pub number: u64,
    pub message_id: String,
    pub event: String,
    pub session: String,
    pub receiver: String,
    /// The part of the URL that may be shown.
    pub host: String,
    pub state: String,
    /// Attempts that were made.
    pub attempts: u32,
    /// When the event happened.
    pub created_at: SystemTime,
    pub last_attempt_at: Option<SystemTime>,
    /// The status of the last answer.
    pub last_status: Option<u16>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<SystemTime>,
}

/// Which messages are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeliveryFilter {
    /// Only those with a smaller number.
    pub before: Option<u64>,
    pub state: Option<DeliveryState>,
    pub session: Option<SessionId>,
    /// At most so many.
    pub limit: u32,
}

/// A message that is to be added.
pub(super) struct NewDelivery<'a> {
    pub session: SessionId,
    pub receiver: Receiver,
    pub owner: &'a str,
    pub host: &'a str,
    pub message: &'a str,
    pub event: EventType,
    pub body: &'a str,
    pub created: i64,
}

/// Adds a message, which is due at once. Too many that wait make room for it.
pub(super) fn add(tx: &Transaction<'_>, new: &NewDelivery<'_>) -> Result<(), OutboxError> {
    make_room(tx, new.owner, new.receiver.word())?;
    let event: &str = new.event.into();
    tx.prepare(
        "INSERT OR IGNORE INTO deliveries \
         (session, receiver, owner, host, message, event, body, state, created, attempts, due) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'waiting', ?8, 0, 0)",
    )?
    .execute(params![
        new.session.to_string(),
        new.receiver.word(),
        new.owner,
        new.host,
        new.message,
        event,
        new.body,
        new.created
    ])?;
    Ok(())
}

/// Gives up the oldest message of an owner that has too many for a receiver, or of the one that has most
/// if there are too many in all. So an owner with many does not push out what the operator is told.
fn make_room(tx: &Transaction<'_>, owner: &str, receiver: &str) -> Result<(), OutboxError> {
    let mut of_owner = tx.prepare(
        "SELECT COUNT(*) FROM deliveries WHERE state = 'waiting' AND owner = ?1 AND receiver = ?2",
    )?;
    let of_owner: u64 = of_owner.query_row([owner, receiver], |row| row.get(0))?;
    if of_owner >= MOST_OF_OWNER {
        return give_oldest_up(tx, owner, receiver);
    }
    if count_waiting(tx)? >= MOST {
        let most: (String, String) = tx.query_row(
            "SELECT owner, receiver FROM deliveries WHERE state = 'waiting' GROUP BY owner, receiver \
             ORDER BY COUNT(*) DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        give_oldest_up(tx, &most.0, &most.1)?;
    }
    Ok(())
}

fn give_oldest_up(tx: &Transaction<'_>, owner: &str, receiver: &str) -> Result<(), OutboxError> {
    tx.prepare(
        "UPDATE deliveries SET state = 'failed', last_error = 'too many newer messages wait' \
         WHERE number = (SELECT number FROM deliveries WHERE state = 'waiting' AND owner = ?1 \
         AND receiver = ?2 ORDER BY number LIMIT 1)",
    )?
    .execute([owner, receiver])?;
    Ok(())
}

/// The sessions with messages that wait.
pub(super) fn waiting_sessions(tx: &Transaction<'_>) -> Result<HashSet<SessionId>, OutboxError> {
    let mut select =
        tx.prepare("SELECT DISTINCT session FROM deliveries WHERE state = 'waiting'")?;
    let rows = select.query_map([], |row| row.get::<_, String>(0))?;
    let mut found = HashSet::new();
    for session in rows {
        found.extend(SessionId::try_parse(&session?));
    }
    Ok(found)
}

/// Messages that wait.
pub(super) fn count_waiting(tx: &Transaction<'_>) -> Result<u64, OutboxError> {
    let mut count = tx.prepare("SELECT COUNT(*) FROM deliveries WHERE state = 'waiting'")?;
    Ok(count.query_row([], |row| row.get(0))?)
}

/// Messages that are kept although they do not wait any more.
pub(super) fn count_finished(tx: &Transaction<'_>) -> Result<u64, OutboxError> {
    let count = "SELECT COUNT(*) FROM deliveries WHERE state <> 'waiting'";
    Ok(tx.query_row(count, [], |row| row.get(0))?)
}

/// Notes what has become of an attempt.
pub(super) fn settle(
    tx: &Transaction<'_>,
    number: u64,
    attempt: &Attempt,
    now: SystemTime,
) -> Result<(), OutboxError> {
    let mut select =
        tx.prepare("SELECT session, receiver, attempts, state FROM deliveries WHERE number = ?1")?;
    let found = select.query_row([number], |row| {
        let words: (String, String) = (row.get(0)?, row.get(1)?);
        Ok((words, row.get::<_, u32>(2)?, row.get::<_, String>(3)?))
    });
    let Some(((session, receiver), attempts, state)) = found.optional()? else {
        return Ok(());
    };
    let attempts = attempts.saturating_add(1);
    let waits = state == DeliveryState::Waiting.to_string();
    let (state, due) = match attempt.outcome {
        AttemptOutcome::Delivered => (DeliveryState::Delivered, None),
        AttemptOutcome::Gone => (DeliveryState::Failed, None),
        _ => match schedule::delay(attempts, attempt.retry_after).filter(|_| waits) {
            Some(delay) => (DeliveryState::Waiting, Some(now + delay)),
            None => (DeliveryState::Failed, None),
        },
    };
    let word: &str = state.into();
    let reason = attempt.reason.as_deref();
    let reason = reason.map(|text| text.chars().take(REASON).collect::<String>());
    tx.prepare(
        "UPDATE deliveries SET state = ?2, attempts = ?3, due = ?4, last_at = ?5, last_status = ?6, \
         last_error = ?7 WHERE number = ?1",
    )?
    .execute(params![
        number,
        word,
        attempts,
        due.map_or(0, milliseconds),
        milliseconds(now),
        attempt.status,
        reason
    ])?;
    // The operator's webhook is given up as a whole, for all sessions.
    if attempt.outcome == AttemptOutcome::Gone && receiver == Receiver::Session.word() {
        subscriptions::disable(tx, &session, Receiver::Session)?;
        give_up(
            tx,
            &session,
            Receiver::Session,
            "the receiver wants no more messages",
        )?;
    }
    Ok(())
}

/// Gives up all messages of a receiver that wait.
fn give_up(
    tx: &Transaction<'_>,
    session: &str,
    receiver: Receiver,
    reason: &str,
) -> Result<(), OutboxError> {
    tx.execute(
        "UPDATE deliveries SET state = 'failed', last_error = ?3 \
         WHERE state = 'waiting' AND session = ?1 AND receiver = ?2",
        params![session, receiver.word(), reason],
    )?;
    Ok(())
}

/// What the operator has chosen since the last process: messages for the webhook of then go to that of
/// now, or are given up.
pub(super) fn follow_operator(
    tx: &Transaction<'_>,
    operator: Option<&str>,
) -> Result<(), OutboxError> {
    let receiver = Receiver::Operator.word();
    match operator {
        Some(host) => tx.execute(
            "UPDATE deliveries SET host = ?2 WHERE state = 'waiting' AND receiver = ?1 AND host <> ?2",
            [receiver, host],
        )?,
        None => tx.execute(
            "UPDATE deliveries SET state = 'failed', last_error = 'the operator has no webhook now' \
             WHERE state = 'waiting' AND receiver = ?1",
            [receiver],
        )?,
    };
    Ok(())
}

/// Tries a message again from now on, whatever has become of it. `false` if there is none.
pub(super) fn redeliver(tx: &Transaction<'_>, number: u64) -> Result<bool, OutboxError> {
    let changed = tx.execute(
        "UPDATE deliveries SET state = 'waiting', attempts = 0, due = 0 WHERE number = ?1",
        [number],
    )?;
    Ok(changed > 0)
}

/// Removes all messages of a session.
pub(super) fn remove(tx: &Transaction<'_>, session: SessionId) -> Result<(), OutboxError> {
    tx.execute(
        "DELETE FROM deliveries WHERE session = ?1",
        [session.to_string()],
    )?;
    Ok(())
}

/// Removes messages that operators had long enough to look at.
pub(super) fn prune(tx: &Transaction<'_>, now: SystemTime) -> Result<(), OutboxError> {
    tx.execute(
        "DELETE FROM deliveries WHERE state <> 'waiting' AND number <= (SELECT number \
         FROM deliveries WHERE state <> 'waiting' ORDER BY number DESC LIMIT 1 OFFSET ?1)",
        [KEPT],
    )?;
    let oldest = now.checked_sub(KEPT_FOR).map_or(0, milliseconds);
    tx.execute(
        "DELETE FROM deliveries WHERE state <> 'waiting' AND COALESCE(last_at, created) < ?1",
        [oldest],
    )?;
    Ok(())
}

/// Messages, the newest first.
pub(super) fn list(
    tx: &Transaction<'_>,
    filter: &DeliveryFilter,
) -> Result<Vec<DeliveryReport>, OutboxError> {
    let mut select = tx.prepare(
        "SELECT number, message, event, session, receiver, host, state, attempts, created, last_at, \
         last_status, last_error, due FROM deliveries \
         WHERE (?1 IS NULL OR number < ?1) AND (?2 IS NULL OR state = ?2) \
         AND (?3 IS NULL OR session = ?3) ORDER BY number DESC LIMIT ?4",
    )?;
    let state = filter.state.map(|state| state.to_string());
    let session = filter.session.map(|session| session.to_string());
    let rows = select.query_map(params![filter.before, state, session, filter.limit], report)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn report(row: &Row<'_>) -> rusqlite::Result<DeliveryReport> {
    let state: String = row.get(6)?;
    let due: i64 = row.get(12)?;
    let created: i64 = row.get(8)?;
    let waits = state == DeliveryState::Waiting.to_string();
    Ok(DeliveryReport {
        number: row.get(0)?,
        message_id: row.get(1)?,
        event: row.get(2)?,
        session: row.get(3)?,
        receiver: row.get(4)?,
        host: row.get(5)?,
        state,
        attempts: row.get(7)?,
        created_at: time(created),
        last_attempt_at: row.get::<_, Option<i64>>(9)?.map(time),
        last_status: row.get(10)?,
        last_error: row.get(11)?,
        // One that was never tried is due since its event.
        next_attempt_at: waits.then(|| time(due.max(created))),
    })
}
