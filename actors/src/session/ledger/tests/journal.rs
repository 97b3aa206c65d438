//! A journal has what its ledger needs, and no more.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use super::*;
use crate::journal::{Durability, JournalFile, OpenJournal as _, Told};

fn created() -> Record {
    Record::SessionCreated(Box::new(NewSession {
        session: SessionId::nil(),
        place: 0,
        created_at: UNIX_EPOCH,
        config: SessionConfig::default(),
        creator: None,
        webhook: None,
    }))
}

/// The ledger that a later process makes of a journal, and how many records it reads.
fn reopened(path: &std::path::Path) -> (Ledger, usize) {
    let (_, records) = JournalFile::open(path, Durability::None).expect("readable");
    let Some(Record::SessionCreated(new)) = records.all.first().map(|first| first.record.clone())
    else {
        panic!("it begins with the session");
    };
    let mut ledger = Ledger::new(*new);
    for recorded in &records.all[1..] {
        ledger.apply(recorded.record.clone());
    }
    (ledger, records.all.len())
}

/// The answer to a request: most are results, of which some add to the coordinates.
fn answer(request: RequestKey, run: u64, dice: u64) -> Record {
    let number = (dice & 1 == 0).then_some(run);
    match dice / 2 % 6 {
        0 => Record::RequestCancelled {
            request,
            number,
            message: "cancelled".to_owned(),
        },
        1 => Record::RequestFailed {
            request,
            number,
            code: ErrorCode::OutOfMemory,
            error: format!("failure {run}"),
        },
        kind => {
            let Record::ResultStored { result, world, .. } = result(run, false) else {
                unreachable!("it is one")
            };
            Record::ResultStored {
                request,
                result,
                world: world.filter(|_| kind == 2),
                completes: false,
            }
        }
    }
}

#[test]
fn what_later_records_replace_is_removed_and_the_ledger_is_the_same() {
    for seed in 0..6 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.sqlite");
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut file = JournalFile::create(&path, Durability::None).expect("created");
        file.append([&created(), &image(1)]).expect("written");
        let mut ledger = reopened_of(&mut file, &path).0;
        let (mut waiting, mut undelivered) = (Vec::new(), Vec::new());
        let mut run = 0;
        for step in 0..40 {
            let dice = random.next_u64();
            let record = match dice % 3 {
                1 if !waiting.is_empty() => {
                    let request = waiting.swap_remove(dice as usize / 3 % waiting.len());
                    undelivered.push(request);
                    run += 1;
                    answer(request, run, dice / 64)
                }
                2 if !undelivered.is_empty() => {
                    let request = undelivered.swap_remove(dice as usize / 3 % undelivered.len());
                    Record::AnswerDelivered { request }
                }
                _ => {
                    waiting.push(ledger.next_key());
                    made(ledger.next_key(), "mine")
                }
            };
            file.append([&record]).expect("written");
            ledger.apply(record);
            if step % 4 == 3 {
                let (restored, _) = reopened_of(&mut file, &path);
                assert_eq!(restored, ledger, "seed {seed}");
            }
        }
    }
}

/// Closes the journal, reads it, and goes on with it.
fn reopened_of(file: &mut JournalFile, path: &std::path::Path) -> (Ledger, usize) {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other = JournalFile::create(&elsewhere.path().join("other"), Durability::None);
    drop(std::mem::replace(file, other.expect("created")));
    let found = reopened(path);
    let (again, _) = JournalFile::open(path, Durability::None).expect("readable");
    *file = again;
    found
}

#[test]
fn a_journal_does_not_grow_with_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let mut file = JournalFile::create(&path, Durability::None).expect("created");
    file.append([&created(), &image(1)]).expect("written");
    for key in 1..100 {
        let of_request = [
            made(key, "mine"),
            result(key, false),
            Record::AnswerDelivered { request: key },
        ];
        file.append(&of_request).expect("written");
    }
    drop(file);
    let (ledger, records) = reopened(&path);
    assert_eq!(records, 2 + 3);
    assert_eq!((ledger.next_key(), ledger.next_request()), (100, 100));
    assert_eq!(ledger.result().expect("the last").number, 99);
}

#[test]
fn what_receivers_of_webhooks_have_to_be_told_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let mut file = JournalFile::create(&path, Durability::None).expect("created");
    let told = Told::nothing();
    file.keep_untold(told.clone());
    file.append([&created(), &image(1)]).expect("written");
    let of_request = |key| {
        [
            made(key, "mine"),
            result(key, false),
            Record::AnswerDelivered { request: key },
        ]
    };
    for key in 1..10 {
        file.append(&of_request(key)).expect("written");
    }
    told.note(6);
    file.append(&of_request(10)).expect("written");
    // Nobody is told of these.
    for request in 11..20 {
        let cancelled = Record::RequestCancelled {
            request,
            number: None,
            message: String::new(),
        };
        let delivered = Record::AnswerDelivered { request };
        let all = [made(request, "mine"), cancelled, delivered];
        file.append(&all).expect("written");
    }
    drop(file);
    let (_, records) = reopened(&path);
    assert_eq!(records, 2 + 3 * 5, "7 to 10, and the last one");
}
