//! The file of the outbox.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::file::OutboxFile;
use super::subscriptions::{self, Subscription};
use super::turns::{self, Traffic};
use super::*;
use crate::answer::AnswerKind;
use crate::ids::SessionId;
use crate::session_event::CloseReason;

fn webhook(host: &str) -> Webhook {
    Webhook {
        url: format!("{host}/hook"),
        host: host.to_owned(),
        secret: WebhookSecret::new(vec![7; 32]),
        events: vec![EventType::ResultMade, EventType::SessionEnded],
    }
}

pub(super) fn subscription(session: SessionId, host: &str, owner: &str) -> Subscription {
    Subscription {
        session,
        owner: Some(owner.into()),
        webhook: Some(webhook(host)),
        operator: false,
        through: 0,
    }
}

pub(super) fn made(session: SessionId, request: u64) -> Event {
    let content = EventContent::ResultMade {
        request,
        id: None,
        number: request,
        kind: AnswerKind::Delta,
    };
    Event {
        session,
        at: SystemTime::now(),
        content,
    }
}

pub(super) fn ended(session: SessionId) -> Event {
    let reason = CloseReason::Deleted;
    Event {
        session,
        at: SystemTime::now(),
        content: EventContent::SessionEnded { reason },
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join(file::OUTBOX)
    }

    fn open(&self) -> OutboxFile {
        OutboxFile::open(&self.path(), Durability::None).expect("usable")
    }
}

/// Does something in a transaction.
fn with<T>(
    file: &mut OutboxFile,
    work: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, OutboxError>,
) -> T {
    let tx = file.begin().expect("usable");
    let done = work(&tx).expect("done");
    tx.commit().expect("written");
    done
}

fn take_in(file: &mut OutboxFile, event: &Event) {
    with(file, |tx| subscriptions::take_in(tx, event, "{}", None));
}

fn messages(file: &mut OutboxFile, state: Option<DeliveryState>) -> Vec<DeliveryReport> {
    let filter = DeliveryFilter {
        state,
        limit: 100_000,
        ..DeliveryFilter::default()
    };
    with(file, |tx| deliveries::list(tx, &filter))
}

fn settle(file: &mut OutboxFile, number: u64, outcome: AttemptOutcome) {
    let attempt = Attempt::failed(outcome, "why");
    with(file, |tx| {
        deliveries::settle(tx, number, &attempt, SystemTime::now())
    });
}

#[test]
fn an_event_is_taken_in_once_also_when_its_message_is_gone() {
    let folder = Folder::new();
    let mut file = folder.open();
    let session = SessionId::new_v4();
    with(&mut file, |tx| {
        subscriptions::add(tx, &subscription(session, "a", ""))
    });
    for request in [1, 2, 2, 1, 4] {
        take_in(&mut file, &made(session, request));
    }
    let ids: Vec<_> = messages(&mut file, None)
        .into_iter()
        .map(|one| one.message_id)
        .collect();
    let id = |request| format!("msg_{}_{request}", session.simple());
    assert_eq!(ids, [id(4), id(2), id(1)]);
    with(
        &mut file,
        |tx| Ok(tx.execute("DELETE FROM deliveries", [])?),
    );
    drop(file);
    let mut file = folder.open();
    for request in [1, 2, 4] {
        take_in(&mut file, &made(session, request));
    }
    assert!(messages(&mut file, None).is_empty());
    take_in(&mut file, &ended(session));
    take_in(&mut file, &ended(session));
    take_in(&mut file, &made(session, 5));
    let left = messages(&mut file, None);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].event, "session.ended");
    assert!(with(&mut file, |tx| subscriptions::has_ended(tx, session)));
}

#[test]
fn a_receiver_gets_what_it_asked_for() {
    let folder = Folder::new();
    let mut file = folder.open();
    let session = SessionId::new_v4();
    let mut new = subscription(session, "a", "");
    new.operator = true;
    with(&mut file, |tx| subscriptions::add(tx, &new));
    let failed = Event {
        content: EventContent::RequestFailed {
            request: 1,
            id: None,
            code: crate::ErrorCode::Timeout,
            reason: String::new(),
        },
        ..made(session, 1)
    };
    with(&mut file, |tx| {
        subscriptions::take_in(tx, &failed, "{}", Some("b"))
    });
    let found = messages(&mut file, None);
    assert_eq!(found.len(), 1, "only the operator wants it");
    assert_eq!(
        (found[0].host.as_str(), found[0].receiver.as_str()),
        ("b", "operator")
    );
    take_in(&mut file, &made(SessionId::new_v4(), 1));
    assert_eq!(messages(&mut file, None).len(), 1, "nobody is told");
}

#[test]
fn who_is_gone_gets_nothing_more() {
    let folder = Folder::new();
    let mut file = folder.open();
    let [session, other] = [SessionId::new_v4(), SessionId::new_v4()];
    for session in [session, other] {
        with(&mut file, |tx| {
            subscriptions::add(tx, &subscription(session, "a", ""))
        });
        take_in(&mut file, &made(session, 1));
        take_in(&mut file, &made(session, 2));
    }
    let first = messages(&mut file, None)
        .into_iter()
        .map(|one| one.number)
        .min();
    settle(&mut file, first.expect("four"), AttemptOutcome::Gone);
    take_in(&mut file, &made(session, 3));
    let of_session = session.to_string();
    let messages = messages(&mut file, None);
    let mut own = messages.iter().filter(|one| one.session == of_session);
    assert!(own.all(|one| one.state == "failed"));
    let waiting = messages.iter().filter(|one| one.state == "waiting").count();
    assert_eq!(waiting, 2, "the other session goes on");
}

#[test]
fn a_message_is_tried_ten_times_and_again_if_the_operator_says_so() {
    let folder = Folder::new();
    let mut file = folder.open();
    let session = SessionId::new_v4();
    with(&mut file, |tx| {
        subscriptions::add(tx, &subscription(session, "a", ""))
    });
    take_in(&mut file, &made(session, 1));
    for attempts in 1..=10 {
        settle(&mut file, 1, AttemptOutcome::Refused);
        let found = messages(&mut file, None).remove(0);
        let state = if attempts < 10 { "waiting" } else { "failed" };
        assert_eq!((found.attempts, found.state.as_str()), (attempts, state));
        assert_eq!(found.last_error.as_deref(), Some("why"));
    }
    assert!(!with(&mut file, |tx| deliveries::redeliver(tx, 2)));
    assert!(with(&mut file, |tx| deliveries::redeliver(tx, 1)));
    let turns = with(&mut file, |tx| {
        turns::next(tx, Traffic::default(), SystemTime::now())
    });
    assert_eq!(turns.ready.len(), 1);
    settle(&mut file, 1, AttemptOutcome::Delivered);
    assert_eq!(messages(&mut file, Some(DeliveryState::Delivered)).len(), 1);
}

#[test]
fn what_waits_is_bounded_for_each_owner_and_the_oldest_make_room() {
    let folder = Folder::new();
    let mut file = folder.open();
    let [session, other] = [SessionId::new_v4(), SessionId::new_v4()];
    with(&mut file, |tx| {
        subscriptions::add(tx, &subscription(session, "a", "one"))
    });
    with(&mut file, |tx| {
        subscriptions::add(tx, &subscription(other, "a", "two"))
    });
    take_in(&mut file, &made(other, 1));
    with(&mut file, |tx| {
        for request in 1..=1003 {
            subscriptions::take_in(tx, &made(session, request), "{}", None)?;
        }
        Ok(())
    });
    let waiting = messages(&mut file, Some(DeliveryState::Waiting));
    assert_eq!(waiting.len(), 1001);
    let failed = messages(&mut file, Some(DeliveryState::Failed));
    let failed: Vec<_> = failed.iter().map(|one| one.number).collect();
    assert_eq!(
        failed,
        [4, 3, 2],
        "the oldest of this owner, and of no other"
    );
}

#[test]
fn hosts_and_owners_take_turns() {
    let folder = Folder::new();
    let mut file = folder.open();
    let mut add = |host: &str, owner: &str, count| {
        let session = SessionId::new_v4();
        with(&mut file, |tx| {
            subscriptions::add(tx, &subscription(session, host, owner))
        });
        with(&mut file, |tx| {
            for request in 1..=count {
                subscriptions::take_in(tx, &made(session, request), "{}", None)?;
            }
            Ok(())
        });
    };
    // One owner with many hosts, then another.
    for host in 0..100 {
        add(&format!("host{host}"), "many", 3);
    }
    add("slow", "few", 5);
    add("quick", "few", 1);
    let now = SystemTime::now();
    let turns = with(&mut file, |tx| turns::next(tx, Traffic::default(), now));
    let of = |owner: &str| {
        turns
            .ready
            .iter()
            .filter(|ready| ready.road.owner == owner)
            .count()
    };
    assert_eq!(of("few"), 3, "two of the slow host, one of the quick one");
    assert_eq!(of("many"), 32, "as many as one owner may have");
    assert!(
        turns
            .ready
            .iter()
            .all(|ready| ready.url.is_some() && ready.secret.is_some())
    );
    // What is under way is not sent twice.
    let traffic = turns
        .ready
        .iter()
        .map(|ready| (ready.number, ready.road.clone()));
    let again = with(&mut file, |tx| {
        turns::next(tx, Traffic(traffic.collect()), now)
    });
    assert!(again.ready.is_empty());
}

#[test]
fn ended_sessions_are_forgotten_with_their_last_message() {
    let folder = Folder::new();
    let mut file = folder.open();
    let session = SessionId::new_v4();
    with(&mut file, |tx| {
        subscriptions::add(tx, &subscription(session, "a", ""))
    });
    take_in(&mut file, &ended(session));
    let prune = |file: &mut OutboxFile, now| {
        with(file, |tx| {
            deliveries::prune(tx, now)?;
            subscriptions::prune(tx)
        });
        with(file, |tx| subscriptions::exists(tx, session))
    };
    let later = SystemTime::now() + Duration::from_secs(8 * 86400);
    assert!(prune(&mut file, later), "its message waits");
    settle(&mut file, 1, AttemptOutcome::Delivered);
    assert!(
        prune(&mut file, SystemTime::now()),
        "operators can look at it"
    );
    assert!(!prune(&mut file, later));
}

/// Nothing is delivered.
#[derive(Debug, Default)]
struct Nowhere;

impl Courier for Nowhere {
    fn operator(&self) -> Option<&OperatorWebhook> {
        None
    }

    fn body(&self, event: &Event) -> String {
        event.kind().to_string()
    }

    fn deliver(&self, _: Letter) -> Delivering {
        Box::pin(async { Attempt::failed(AttemptOutcome::Unreachable, "nowhere") })
    }
}

fn stored(folder: &Path, metrics: &Metrics) -> StoredOutbox {
    StoredOutbox::open(folder, Durability::None, Arc::new(Nowhere), metrics).expect("usable")
}

#[test]
fn a_damaged_outbox_is_set_aside() {
    let folder = Folder::new();
    std::fs::write(folder.path(), "this is no database, however long it may be").expect("written");
    let metrics = Metrics::new().expect("valid metrics");
    let mut outbox = stored(folder.0.path(), &metrics);
    assert!(!outbox.has_ended(SessionId::nil()).expect("usable"));
    assert!(folder.path().with_extension("damaged").exists());
}

#[test]
fn damage_within_the_outbox_is_found_and_what_was_set_aside_before_stays() {
    let folder = Folder::new();
    let session = SessionId::new_v4();
    for aside in ["damaged", "damaged-2"] {
        let mut file = folder.open();
        with(&mut file, |tx| {
            subscriptions::add(tx, &subscription(session, "a", ""))
        });
        take_in(&mut file, &made(session, 1));
        drop(file);
        // The first page, with the names of the tables, is sound.
        let mut content = std::fs::read(folder.path()).expect("there");
        content[4096..].fill(0xff);
        std::fs::write(folder.path(), content).expect("written");
        let metrics = Metrics::new().expect("valid metrics");
        let mut outbox = stored(folder.0.path(), &metrics);
        assert!(!outbox.has_ended(session).expect("usable"));
        assert!(folder.path().with_extension(aside).exists(), "{aside}");
    }
    let first = std::fs::read(folder.path().with_extension("damaged")).expect("kept");
    assert_eq!(first.last(), Some(&0xff));
}

#[test]
fn an_ended_session_is_told_what_only_its_journal_had() {
    let folder = Folder::new();
    let session = SessionId::new_v4();
    let mut file = folder.open();
    with(&mut file, |tx| {
        subscriptions::add(tx, &subscription(session, "a", ""))
    });
    take_in(&mut file, &made(session, 1));
    drop(file);
    let metrics = Metrics::new().expect("valid metrics");
    let mut outbox = stored(folder.0.path(), &metrics);
    let had = [made(session, 1), made(session, 2)];
    for _ in 0..2 {
        let end = ended(session).content;
        outbox.ends(session, &had, end).expect("written");
    }
    drop(outbox);
    let mut file = folder.open();
    let found = messages(&mut file, None).into_iter();
    let events: Vec<_> = found.map(|one| one.event).collect();
    assert_eq!(events, ["session.ended", "result.made", "result.made"]);
}

#[test]
fn an_owner_with_many_messages_does_not_push_out_those_of_the_operator() {
    let folder = Folder::new();
    let mut file = folder.open();
    let [watched, own] = [SessionId::new_v4(), SessionId::new_v4()];
    let for_operator = Subscription {
        webhook: None,
        operator: true,
        ..subscription(watched, "a", "one")
    };
    with(&mut file, |tx| {
        subscriptions::add(tx, &for_operator)?;
        subscriptions::add(tx, &subscription(own, "a", "one"))?;
        subscriptions::take_in(tx, &made(watched, 1), "{}", Some("b"))?;
        for request in 1..=1001 {
            subscriptions::take_in(tx, &made(own, request), "{}", Some("b"))?;
        }
        Ok(())
    });
    let failed = messages(&mut file, Some(DeliveryState::Failed));
    let failed: Vec<_> = failed.iter().map(|one| one.receiver.as_str()).collect();
    assert_eq!(failed, ["session"]);
}

#[test]
fn sessions_that_were_never_created_are_forgotten() {
    let folder = Folder::new();
    let [made, unmade] = [SessionId::new_v4(), SessionId::new_v4()];
    let mut file = folder.open();
    for session in [made, unmade] {
        with(&mut file, |tx| {
            subscriptions::add(tx, &subscription(session, "a", ""))
        });
    }
    drop(file);
    let metrics = Metrics::new().expect("valid metrics");
    let mut outbox = stored(folder.0.path(), &metrics);
    outbox.keep_only(&[made]).expect("usable");
    drop(outbox);
    let mut file = folder.open();
    assert!(with(&mut file, |tx| subscriptions::exists(tx, made)));
    assert!(!with(&mut file, |tx| subscriptions::exists(tx, unmade)));
}
