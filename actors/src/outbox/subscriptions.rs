//! Who is told of which session.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::courier::Webhook;
use super::deliveries::{self, NewDelivery, Receiver};
use super::error::OutboxError;
use super::event::{Event, EventType, Place};
use crate::ids::{RequestKey, SessionId};
use crate::sqlite::milliseconds;

/// Who is told of a session.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub session: SessionId,
    /// The name of the session's creator.
    pub owner: Option<Arc<str>>,
    /// The session's own webhook.
    pub webhook: Option<Webhook>,
    /// Whether the operator is told, too.
    pub operator: bool,
    /// The answers of requests up to this one are not told.
    pub through: RequestKey,
}

/// Adds who is told of a session. Those that are known already stay, and are told again if they were told of its
/// end: another server had it meanwhile.
pub(super) fn add(tx: &Transaction<'_>, new: &Subscription) -> Result<(), OutboxError> {
    let session = new.session.to_string();
    let owner = new.owner.as_deref().unwrap_or_default();
    let mut insert = tx.prepare(
        "INSERT INTO subscriptions \
         (session, receiver, owner, url, host, secret, events, through, ended, gone) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0) \
         ON CONFLICT (session, receiver) DO UPDATE SET ended = 0",
    )?;
    if let Some(webhook) = &new.webhook {
        let Webhook {
            url,
            host,
            secret,
            events,
        } = webhook;
        let receiver = Receiver::Session.word();
        let (events, secret) = (words(events), secret.reveal());
        insert.execute(params![
            session,
            receiver,
            owner,
            url,
            host,
            secret,
            events,
            new.through
        ])?;
    }
    if new.operator {
        let (receiver, none) = (Receiver::Operator.word(), None::<&str>);
        insert.execute(params![
            session,
            receiver,
            owner,
            none,
            none,
            none,
            "",
            new.through
        ])?;
    }
    Ok(())
}

/// Forgets a session that nobody was told of.
pub(super) fn remove(tx: &Transaction<'_>, session: SessionId) -> Result<(), OutboxError> {
    tx.execute(
        "DELETE FROM subscriptions WHERE session = ?1",
        [session.to_string()],
    )?;
    Ok(())
}

/// Whether anybody is told of a session.
pub(super) fn exists(tx: &Transaction<'_>, session: SessionId) -> Result<bool, OutboxError> {
    let mut select = tx.prepare("SELECT 1 FROM subscriptions WHERE session = ?1")?;
    Ok(select.exists([session.to_string()])?)
}

/// Whether the end of a session was taken in.
pub(super) fn has_ended(tx: &Transaction<'_>, session: SessionId) -> Result<bool, OutboxError> {
    let mut select = tx.prepare("SELECT 1 FROM subscriptions WHERE session = ?1 AND ended <> 0")?;
    Ok(select.exists([session.to_string()])?)
}

/// The sessions of which somebody is told and whose end was not taken in.
pub(super) fn live(tx: &Transaction<'_>) -> Result<Vec<SessionId>, OutboxError> {
    let mut select = tx.prepare("SELECT DISTINCT session FROM subscriptions WHERE ended = 0")?;
    let rows = select.query_map([], |row| row.get::<_, String>(0))?;
    let mut found = Vec::new();
    for session in rows {
        found.extend(SessionId::try_parse(&session?));
    }
    Ok(found)
}

/// Marks a session as ended without telling anybody.
pub(super) fn end(tx: &Transaction<'_>, session: SessionId) -> Result<(), OutboxError> {
    tx.execute(
        "UPDATE subscriptions SET ended = 1 WHERE session = ?1",
        [session.to_string()],
    )?;
    Ok(())
}

/// Removes those of ended sessions that no message needs any more.
pub(super) fn prune(tx: &Transaction<'_>) -> Result<(), OutboxError> {
    tx.execute(
        "DELETE FROM subscriptions WHERE ended <> 0 AND NOT EXISTS (SELECT 1 FROM deliveries \
         WHERE deliveries.session = subscriptions.session \
         AND deliveries.receiver = subscriptions.receiver)",
        [],
    )?;
    Ok(())
}

/// Sends a receiver nothing more.
pub(super) fn disable(
    tx: &Transaction<'_>,
    session: &str,
    receiver: Receiver,
) -> Result<(), OutboxError> {
    tx.execute(
        "UPDATE subscriptions SET gone = 1 WHERE session = ?1 AND receiver = ?2",
        params![session, receiver.word()],
    )?;
    Ok(())
}

/// Makes messages of an event, unless it was taken in before. `operator` is the host of the operator's
/// webhook.
pub(super) fn take_in(
    tx: &Transaction<'_>,
    event: &Event,
    body: &str,
    operator: Option<&str>,
) -> Result<(), OutboxError> {
    for receiver in [Receiver::Session, Receiver::Operator] {
        let Some(found) = note(tx, event, receiver)? else {
            continue;
        };
        let host = match (receiver, operator) {
            (Receiver::Operator, host) => host,
            (Receiver::Session, _) if found.wants(event.kind()) => found.host.as_deref(),
            (Receiver::Session, _) => None,
        };
        let Some(host) = host else { continue };
        let new = NewDelivery {
            session: event.session,
            receiver,
            owner: &found.owner,
            host,
            message: &event.message_id(),
            event: event.kind(),
            body,
            created: milliseconds(event.at),
        };
        deliveries::add(tx, &new)?;
    }
    Ok(())
}

/// A subscription that has not had an event.
struct Found {
    owner: String,
    host: Option<String>,
    events: String,
    gone: bool,
}

impl Found {
    fn wants(&self, kind: EventType) -> bool {
        let word: &str = kind.into();
        !self.gone && self.events.split(' ').any(|known| known == word)
    }
}

/// Notes that an event was taken in. `None` if it was before, or the receiver is not told.
fn note(
    tx: &Transaction<'_>,
    event: &Event,
    receiver: Receiver,
) -> Result<Option<Found>, OutboxError> {
    let key = (event.session.to_string(), receiver.word());
    let mut select = tx.prepare(
        "SELECT owner, host, events, gone, through, ended FROM subscriptions \
         WHERE session = ?1 AND receiver = ?2",
    )?;
    let found = select.query_row([key.0.as_str(), key.1], |row| {
        let found = Found {
            owner: row.get(0)?,
            host: row.get(1)?,
            events: row.get(2)?,
            gone: row.get(3)?,
        };
        Ok((found, row.get::<_, u64>(4)?, row.get::<_, bool>(5)?))
    });
    let Some((found, through, ended)) = found.optional()? else {
        return Ok(None);
    };
    let (through, ended) = match event.place() {
        _ if ended => return Ok(None),
        Place::Answer(request) if request <= through => return Ok(None),
        Place::Answer(request) => (request, false),
        Place::End => (through, true),
    };
    tx.prepare(
        "UPDATE subscriptions SET through = ?3, ended = ?4 WHERE session = ?1 AND receiver = ?2",
    )?
    .execute(params![key.0, key.1, through, ended])?;
    Ok(Some(found))
}

fn words(events: &[EventType]) -> String {
    let words: Vec<&str> = events.iter().map(<&str>::from).collect();
    words.join(" ")
}
