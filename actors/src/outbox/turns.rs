//! Which message is next. Hosts take turns, so that a slow one does not hold up the others.

use std::collections::HashMap;
use std::time::SystemTime;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::deliveries::Receiver;
use super::error::OutboxError;
use super::file::time;
use crate::sqlite::milliseconds;

/// Attempts at the same time.
const MOST: usize = 64;
/// Attempts to one host at the same time.
const MOST_OF_HOST: usize = 2;
/// Attempts for one owner at the same time: others have room beside it.
const MOST_OF_OWNER: usize = MOST / 2;

/// The attempts that are being made, by the number of the message.
#[derive(Debug, Clone, Default)]
pub(super) struct Traffic(pub HashMap<u64, Road>);

/// Whose message is under way, and where to.
#[derive(Debug, Clone)]
pub(super) struct Road {
    pub host: String,
    pub owner: String,
    /// Whether it is for the operator's webhook.
    pub operators: bool,
}

/// A message whose time has come.
#[derive(Debug)]
pub(super) struct Ready {
    pub number: u64,
    pub road: Road,
    pub message: String,
    pub body: String,
    /// Of the session's own webhook.
    pub url: Option<String>,
    pub secret: Option<Vec<u8>>,
}

/// What is to be done now, and when there is more.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub ready: Vec<Ready>,
    /// When the next message is due that waits for its time.
    pub next: Option<SystemTime>,
}

impl Traffic {
    fn of_host(&self, host: &str) -> usize {
        self.0.values().filter(|road| road.host == host).count()
    }

    /// The owners for which no more attempts are made now, as JSON. Nobody in particular is no owner.
    fn full_owners(&self) -> String {
        let mut counts = HashMap::<&str, usize>::new();
        for road in self.0.values().filter(|road| !road.owner.is_empty()) {
            *counts.entry(&road.owner).or_default() += 1;
        }
        let full = counts
            .into_iter()
            .filter(|(_, count)| *count >= MOST_OF_OWNER);
        serde_json::Value::from_iter(full.map(|(owner, _)| owner)).to_string()
    }

    fn numbers(&self) -> String {
        serde_json::Value::from_iter(self.0.keys().copied()).to_string()
    }
}

/// The messages to send now, beside those that are under way.
pub(super) fn next(
    tx: &Transaction<'_>,
    mut traffic: Traffic,
    now: SystemTime,
) -> Result<Turns, OutboxError> {
    let mut turns = Turns::default();
    let now = milliseconds(now);
    // In each round every host gets one.
    for _ in 0..MOST_OF_HOST {
        for host in due_hosts(tx, &traffic, now)? {
            if traffic.0.len() >= MOST {
                break;
            }
            if traffic.of_host(&host) >= MOST_OF_HOST {
                continue;
            }
            if let Some(ready) = first_of(tx, &host, &traffic, now)? {
                traffic.0.insert(ready.number, ready.road.clone());
                turns.ready.push(ready);
            }
        }
    }
    let mut later =
        tx.prepare("SELECT MIN(due) FROM deliveries WHERE state = 'waiting' AND due > ?1")?;
    turns.next = later
        .query_row([now], |row| row.get::<_, Option<i64>>(0))?
        .map(time);
    Ok(turns)
}

/// The hosts with a message that is due, the one that waits longest first.
fn due_hosts(
    tx: &Transaction<'_>,
    traffic: &Traffic,
    now: i64,
) -> Result<Vec<String>, OutboxError> {
    let mut select = tx.prepare(
        "SELECT host FROM deliveries WHERE state = 'waiting' AND due <= ?1 \
         AND number NOT IN (SELECT value FROM json_each(?2)) \
         AND owner NOT IN (SELECT value FROM json_each(?3)) \
         GROUP BY host ORDER BY MIN(due), MIN(number)",
    )?;
    let rows = select.query_map(
        params![now, traffic.numbers(), traffic.full_owners()],
        |row| row.get(0),
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn first_of(
    tx: &Transaction<'_>,
    host: &str,
    traffic: &Traffic,
    now: i64,
) -> Result<Option<Ready>, OutboxError> {
    let mut select = tx.prepare(
        "SELECT d.number, d.owner, d.message, d.body, d.receiver, s.url, s.secret FROM deliveries d \
         LEFT JOIN subscriptions s ON s.session = d.session AND s.receiver = d.receiver \
         WHERE d.state = 'waiting' AND d.host = ?1 AND d.due <= ?2 \
         AND d.number NOT IN (SELECT value FROM json_each(?3)) \
         AND d.owner NOT IN (SELECT value FROM json_each(?4)) \
         ORDER BY d.due, d.number LIMIT 1",
    )?;
    let found = select.query_row(
        params![host, now, traffic.numbers(), traffic.full_owners()],
        |row| {
            Ok(Ready {
                number: row.get(0)?,
                road: Road {
                    host: host.to_owned(),
                    owner: row.get(1)?,
                    operators: row.get::<_, String>(4)? == Receiver::Operator.word(),
                },
                message: row.get(2)?,
                body: row.get(3)?,
                url: row.get(5)?,
                secret: row.get(6)?,
            })
        },
    );
    Ok(found.optional()?)
}
