//! The state of the outbox.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use tokio_util::task::AbortOnDropHandle;

use super::OutboxArgs;
use super::courier::{Attempt, AttemptOutcome, Letter, OperatorWebhook, WebhookSecret};
use super::error::OutboxError;
use super::file::OutboxFile;
use super::message::{NotDone, Order, OutboxMessage, Performed, Worked};
use super::turns::{self, Ready, Traffic};
use super::untold::Untold;
use super::{deliveries, subscriptions};
use crate::blocking::WorkFailed;
use crate::error_kind::ErrorKind;
use crate::ids::SessionId;
use crate::mailbox::{Mailbox, Reply, answer};

/// Orders that are done at once.
const MOST_AT_ONCE: usize = 256;
/// Orders that wait while the file cannot be written.
const MOST_WAITING: usize = 10_000;
/// Time after which orders are tried again that could not be done.
const RETRY: Duration = Duration::from_secs(1);
/// The clock may be changed, so the file is looked at after this time at the latest.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Time between two removals of what is old.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

/// The state of the outbox.
pub(crate) struct State {
    args: OutboxArgs,
    mailbox: Mailbox<OutboxMessage>,
    /// `None` while something is done with it, and before it is opened again after a failure.
    file: Option<OutboxFile>,
    working: bool,
    /// In the order in which they are done.
    orders: VecDeque<Order>,
    /// Orders that could not be done are not tried again before this time.
    not_before: Option<Instant>,
    traffic: Traffic,
    attempts: HashMap<u64, AbortOnDropHandle<()>>,
    /// Sends [`OutboxMessage::Due`].
    timer: Option<AbortOnDropHandle<()>>,
    /// Whether messages may be due.
    looks: bool,
    /// Sessions of which an event was lost here. It is in their journal; later ones have to wait for it.
    behind: HashSet<SessionId>,
    untold: Untold,
    /// Whether the operator's webhook wants no more messages.
    operator_gone: bool,
    pruned: Option<Instant>,
    /// Whether no more attempts are started.
    closes: bool,
    closing: Vec<Reply<()>>,
    /// Whether the file could not be used the last time.
    failing: bool,
    failed: bool,
}

impl State {
    pub fn new(args: OutboxArgs, mailbox: Mailbox<OutboxMessage>) -> Self {
        mailbox.notify(OutboxMessage::Due);
        Self {
            file: args.take_file(),
            args,
            mailbox,
            behind: HashSet::new(),
            untold: Untold::default(),
            working: false,
            orders: VecDeque::new(),
            not_before: None,
            traffic: Traffic::default(),
            attempts: HashMap::new(),
            timer: None,
            looks: false,
            operator_gone: false,
            pruned: None,
            closes: false,
            closing: Vec::new(),
            failing: false,
            failed: false,
        }
    }

    /// Whether the actor cannot go on.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    pub fn handle(&mut self, message: OutboxMessage) {
        self.mailbox.status().message_taken();
        match message {
            OutboxMessage::Order(order) => self.accept(order),
            OutboxMessage::Worked(worked) => self.worked(*worked),
            OutboxMessage::FileLost(error) => {
                tracing::error!(%error, "the outbox of webhooks has failed");
                self.failed = true;
            }
            OutboxMessage::Attempted { number, attempt } => self.attempted(number, attempt),
            OutboxMessage::Due => self.looks = true,
            OutboxMessage::Close(reply) => {
                self.closes = true;
                self.closing.push(reply);
            }
        }
        self.advance();
    }

    fn accept(&mut self, order: Order) {
        let Some(order) = unless_behind(order, &self.behind) else {
            return;
        };
        if let Order::TakeIn { session, .. } = &order
            && self.orders.len() >= MOST_WAITING
        {
            tracing::error!(
                session_id = %session,
                "the events of a session wait in its journal for the next start: the outbox of webhooks \
                 cannot be written"
            );
            self.behind.insert(*session);
            return;
        }
        self.orders.push_back(order);
    }

    /// Decides what is next, after each message.
    fn advance(&mut self) {
        let may_work = self.not_before.is_none_or(|time| Instant::now() >= time);
        let has_work = !self.orders.is_empty() || self.looks;
        if !self.working && has_work && may_work {
            self.work();
        }
        let idle = !self.working && self.attempts.is_empty() && self.orders.is_empty();
        if idle || self.failing {
            for reply in self.closing.drain(..) {
                answer(reply, ());
            }
        }
        let state = match (self.failing, self.attempts.is_empty()) {
            (true, _) => "failing",
            (false, true) => "idle",
            (false, false) => "busy",
        };
        self.mailbox.status().state(state);
    }

    fn operator(&self) -> Option<&OperatorWebhook> {
        let webhook = self.args.courier.operator();
        webhook.filter(|_| !self.operator_gone)
    }

    /// Does what waits, together, on a thread that may block.
    fn work(&mut self) {
        self.working = true;
        self.looks = false;
        self.not_before = None;
        let now = Instant::now();
        let prunes = self
            .pruned
            .is_none_or(|time| now.duration_since(time) >= PRUNE_INTERVAL);
        if prunes {
            self.pruned = Some(now);
        }
        // After a failure of this actor, it has to be known first whose events may have been lost.
        let most = if self.file.is_some() { MOST_AT_ONCE } else { 0 };
        let count = self.orders.len().min(most);
        let orders: Vec<_> = self.orders.drain(..count).collect();
        let operator = self.operator().map(|webhook| webhook.host.clone());
        let mut traffic = self.traffic.clone();
        for order in &orders {
            if let Order::Settle { number, .. } = order {
                traffic.0.remove(number);
            }
        }
        let traffic = Some(traffic).filter(|_| !self.closes);
        let (file, path) = (self.file.take(), self.args.path.clone());
        let (durability, shared) = (self.args.durability, self.args.shared);
        let job = move || {
            let opens = file.is_none();
            let opened = file.map_or_else(|| OutboxFile::open(&path, durability), Ok);
            let (file, outcome) = match opened {
                Ok(mut file) => {
                    let operator = operator.as_deref();
                    let outcome = perform(
                        &mut file,
                        &orders,
                        operator,
                        traffic,
                        (prunes, opens, shared),
                    );
                    (Some(file), outcome)
                }
                Err(error) => (None, Err(error)),
            };
            Box::new(Worked {
                file,
                orders,
                outcome,
            })
        };
        let work = async { Ok(tokio::task::spawn_blocking(job).await?) };
        self.mailbox
            .detached_work(work, |outcome: Result<_, WorkFailed>| match outcome {
                Ok(worked) => OutboxMessage::Worked(worked),
                Err(error) => OutboxMessage::FileLost(error),
            });
    }

    fn worked(&mut self, worked: Worked) {
        self.working = false;
        self.file = worked.file;
        match worked.outcome {
            Ok(performed) => self.performed(worked.orders, performed),
            Err(error) => self.not_performed(worked.orders, &error),
        }
    }

    fn performed(&mut self, orders: Vec<Order>, performed: Performed) {
        if self.failing {
            tracing::info!("the outbox of webhooks can be written again");
            self.failing = false;
        }
        for (order, given) in orders.into_iter().zip(performed.given) {
            if let Order::Settle { number, .. } = &order {
                self.traffic.0.remove(number);
            }
            if !(self.args.shared && self.untold.note(&order)) {
                order.done(given);
            }
        }
        if let Some(waiting) = &performed.undelivered {
            self.untold.delivered(waiting);
        }
        self.args.metrics.webhooks.waiting(performed.waiting);
        if performed.opened {
            self.opened(performed.behind);
        }
        if !self.closes {
            for ready in performed.turns.ready {
                self.start(ready);
            }
        }
        let next = performed.turns.next;
        let wait = next.map(|time| time.duration_since(SystemTime::now()).unwrap_or_default());
        let wait = wait.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        self.wake_after(wait);
    }

    /// The file was opened after a failure, in which events of these sessions may have been lost.
    fn opened(&mut self, behind: Vec<SessionId>) {
        if !behind.is_empty() {
            tracing::warn!(
                sessions = behind.len(),
                "the events of these sessions wait in their journals, for their end or the next start"
            );
        }
        self.behind.extend(behind);
        let orders = std::mem::take(&mut self.orders).into_iter();
        self.orders = orders
            .filter_map(|order| unless_behind(order, &self.behind))
            .collect();
        // Nothing was looked for while it was opened.
        self.looks = true;
    }

    /// What has to be done is tried again; who waits is told.
    fn not_performed(&mut self, orders: Vec<Order>, error: &OutboxError) {
        if !self.failing {
            tracing::error!(%error, "the outbox of webhooks cannot be written; it is tried again");
            self.failing = true;
        }
        let metrics = &self.args.metrics;
        metrics.error(ErrorKind::Storage, None, &error.to_string());
        let error = NotDone::Storage {
            code: error.code(),
            reason: error.to_string(),
        };
        // Also those behind them, which may wait long for their turn.
        let all = orders.into_iter().chain(std::mem::take(&mut self.orders));
        self.orders = all.filter_map(|order| order.failed(&error)).collect();
        self.looks = true;
        self.not_before = Some(Instant::now() + RETRY);
        self.wake_after(RETRY);
    }

    fn wake_after(&mut self, delay: Duration) {
        let mailbox = self.mailbox.clone();
        let wake = async move {
            // A little late rather than early.
            tokio::time::sleep(delay + Duration::from_millis(1)).await;
            mailbox.notify(OutboxMessage::Due);
        };
        self.timer = Some(AbortOnDropHandle::new(tokio::spawn(wake)));
    }

    /// Starts an attempt.
    fn start(&mut self, ready: Ready) {
        let (number, road) = (ready.number, ready.road);
        let to = match road.operators {
            true => self
                .operator()
                .map(|webhook| (webhook.url.clone(), webhook.secrets.clone())),
            false => ready.url.zip(ready.secret).map(|(url, secret)| {
                let secret = WebhookSecret::new(secret);
                (url, vec![secret])
            }),
        };
        let Some((url, secrets)) = to else {
            // That of the operator may have ended while the file was read.
            let attempt = Attempt::failed(AttemptOutcome::Gone, "there is no such webhook now");
            return self.orders.push_back(Order::Settle { number, attempt });
        };
        let letter = Letter {
            id: ready.message,
            url,
            secrets,
            body: ready.body,
            operators: road.operators,
        };
        tracing::debug!(number, host = road.host, "a webhook is sent");
        self.traffic.0.insert(number, road);
        let attempt = self.args.courier.deliver(letter);
        let work = async move { Ok(attempt.await) };
        let report = move |outcome: Result<Attempt, WorkFailed>| {
            let attempt = outcome.unwrap_or_else(|error| {
                tracing::error!(%error, "an attempt to deliver a webhook failed");
                Attempt::failed(AttemptOutcome::Unreachable, "internal error")
            });
            OutboxMessage::Attempted { number, attempt }
        };
        let work = self.mailbox.work(work, report);
        self.attempts.insert(number, work);
    }

    fn attempted(&mut self, number: u64, attempt: Attempt) {
        self.attempts.remove(&number);
        self.args.metrics.webhooks.attempted(attempt.outcome);
        let road = self.traffic.0.get(&number);
        let host = road.map(|road| road.host.as_str()).unwrap_or_default();
        let operators = road.is_some_and(|road| road.operators);
        let (outcome, status) = (attempt.outcome, attempt.status);
        let reason = attempt.reason.as_deref();
        match outcome {
            AttemptOutcome::Delivered => {
                tracing::debug!(number, host, status, "a webhook is delivered");
            }
            _ => {
                tracing::warn!(number, host, %outcome, status, reason, "a webhook is not delivered");
            }
        }
        self.orders.push_back(Order::Settle { number, attempt });
        if operators && outcome == AttemptOutcome::Gone && !self.operator_gone {
            tracing::error!(
                "the operator's webhook wants no more messages; it gets none until the next start"
            );
            self.operator_gone = true;
            self.orders.push_back(Order::OperatorGone);
        }
    }
}

/// An order that can be done. Events that leave a gap are not taken in: it would be forgotten.
fn unless_behind(order: Order, behind: &HashSet<SessionId>) -> Option<Order> {
    match order {
        Order::TakeIn { session, .. } if behind.contains(&session) => None,
        Order::End {
            session,
            complete: false,
            reply,
            ..
        } if behind.contains(&session) => {
            answer(reply, Err(NotDone::Behind));
            None
        }
        order => Some(order),
    }
}

/// Does all of these, or nothing if it fails. Without traffic, nothing is to be sent.
fn perform(
    file: &mut OutboxFile,
    orders: &[Order],
    operator: Option<&str>,
    traffic: Option<Traffic>,
    (prunes, opened, shared): (bool, bool, bool),
) -> Result<Performed, OutboxError> {
    let now = SystemTime::now();
    let tx = file.begin()?;
    let given = orders.iter().map(|order| order.perform(&tx, operator, now));
    let given = given.collect::<Result<Vec<_>, _>>()?;
    if prunes {
        deliveries::prune(&tx, now)?;
        subscriptions::prune(&tx)?;
    }
    let turns = match traffic {
        Some(traffic) if !opened => turns::next(&tx, traffic, now)?,
        _ => turns::Turns::default(),
    };
    let performed = Performed {
        given,
        turns,
        opened,
        waiting: deliveries::count_waiting(&tx)?,
        undelivered: shared
            .then(|| deliveries::waiting_sessions(&tx))
            .transpose()?,
        behind: match opened {
            true => subscriptions::live(&tx)?,
            false => Vec::new(),
        },
    };
    tx.commit()?;
    Ok(performed)
}
