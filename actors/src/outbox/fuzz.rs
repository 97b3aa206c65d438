//! Fuzzing of what the file of the outbox may have after an accident.

use std::time::{Duration, SystemTime};

use pointstream_fuzzing::{Corpus, fuzz};

use super::file::{OUTBOX, OutboxFile};
use super::tests::{ended, made, subscription};
use super::turns::{self, Traffic};
use super::*;
use crate::ids::SessionId;

/// What a process does with an outbox that it finds.
fn use_it(file: &mut OutboxFile) -> Result<(), OutboxError> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 34);
    let attempt = Attempt::failed(AttemptOutcome::Refused, "why");
    let tx = file.begin()?;
    let filter = DeliveryFilter {
        limit: 100,
        ..DeliveryFilter::default()
    };
    deliveries::list(&tx, &filter)?;
    for session in subscriptions::live(&tx)? {
        subscriptions::has_ended(&tx, session)?;
        subscriptions::take_in(&tx, &made(session, 7), "{}", Some("https://a.test"))?;
    }
    for ready in turns::next(&tx, Traffic::default(), now)?.ready {
        deliveries::settle(&tx, ready.number, &attempt, now)?;
    }
    deliveries::follow_operator(&tx, Some("https://b.test"))?;
    deliveries::prune(&tx, now)?;
    subscriptions::prune(&tx)?;
    Ok(tx.commit()?)
}

#[test]
fn damaged_files_of_outboxes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(OUTBOX);
    let mut file = OutboxFile::open(&path, Durability::None).expect("created");
    let tx = file.begin().expect("usable");
    for number in 1..=3 {
        let session = SessionId::from_u128(number);
        subscriptions::add(&tx, &subscription(session, "https://a.test", "token:a"))
            .expect("added");
        for event in [made(session, 1), made(session, 2), ended(session)]
            .iter()
            .take(number as usize)
        {
            subscriptions::take_in(&tx, event, "{}", None).expect("taken in");
        }
    }
    tx.commit().expect("written");
    // Closing it moves everything to one file.
    drop(file);
    let corpus = Corpus::of([std::fs::read(&path).expect("there")]);
    let words = ["waiting", "token:a", "https://a.test", "operator", "\0"];
    fuzz("files of outboxes", &corpus.with_words(words), |input| {
        for end in ["", "-wal", "-shm"] {
            // Most are not there.
            let _ = std::fs::remove_file(folder.path().join(format!("{OUTBOX}{end}")));
        }
        std::fs::write(&path, input).expect("writable");
        let used = OutboxFile::open(&path, Durability::None).and_then(|mut file| {
            file.check()?;
            use_it(&mut file)
        });
        if let Err(error) = used {
            assert!(!error.to_string().is_empty());
        }
    });
}
