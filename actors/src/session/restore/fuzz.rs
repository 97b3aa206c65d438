//! Fuzzing of what a journal may have after an accident.

use pointstream_fuzzing::{Corpus, Unstructured, arbitrary, fuzz, fuzz_values};
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::map::PieceJoin;
use uuid::Uuid;

use super::*;
use crate::journal::{Durability, JournalFile};
use crate::session::ledger::tests::{
    correction, failed, first_chunk, image, joined, made, next_chunk, result, world_change,
};
use crate::session::ledger::{ChunkContent, StoredChunk};
use crate::session_config::SessionConfig;

fn begin() -> Record {
    Record::SessionCreated(Box::new(NewSession {
        session: SessionId::nil(),
        place: 0,
        created_at: SystemTime::UNIX_EPOCH,
        config: SessionConfig::default(),
        creator: Some("token:a".into()),
        webhook: None,
    }))
}

/// Records of every kind.
fn records() -> Vec<Record> {
    let (first, chunk) = first_chunk(1);
    let Record::ChunkStored(stored) = &chunk else {
        unreachable!("it is one")
    };
    let ChunkContent::First { world, .. } = &stored.content else {
        unreachable!("it begins a map")
    };
    let piece = Record::ChunkStored(Box::new(StoredChunk {
        file: Uuid::from_u128(7),
        run: vec![4, 5],
        comes_back: true,
        content: ChunkContent::Piece {
            chunk: first.clone(),
            world: world.clone(),
        },
    }));
    let join = Record::PiecesJoined(PieceJoin {
        from: 1,
        to: 0,
        similarity: first.world_to_glb,
        link: None,
    });
    vec![
        Record::SessionKept,
        image(1),
        image(2),
        chunk.clone(),
        next_chunk(&first, 3),
        piece,
        join,
        joined(&first, 6),
        correction(&chunk),
        world_change(0),
        made(1, "one"),
        result(1, false),
        failed(),
        Record::AnswerDelivered { request: 1 },
        Record::Reopened,
        Record::SessionUsed {
            at: SystemTime::UNIX_EPOCH,
        },
    ]
}

/// Records as a journal has them.
fn recorded(records: Vec<Record>) -> Vec<Recorded> {
    let numbered = records.into_iter().zip(1..);
    let at = SystemTime::UNIX_EPOCH;
    numbered
        .map(|(record, number)| Recorded { record, number, at })
        .collect()
}

/// What a process does with the records that it finds.
fn use_them(records: Vec<Recorded>) {
    if let Ok(Replayed { ledger, map, .. }) = replay(records) {
        expected_files(&ledger, map.as_deref());
        let _ = (
            ledger.next_upload(),
            ledger.next_request(),
            ledger.next_key(),
        );
        let _ = (ledger.image_count(), ledger.image_bytes(), ledger.quality());
        if let Some(stored) = ledger.map() {
            let _ = (stored.map.placed().count(), stored.map.missed().count());
            let _ = (stored.map.drawn_chunks().count(), stored.map.piece_sizes());
            let _ = stored.map.piece_to_glb(stored.map.drawn_piece());
        }
    }
}

#[test]
fn changed_records() {
    let all = [vec![begin()], records()].concat();
    let bytes = |records: &[Record]| rmp_serde::to_vec_named(records).expect("it can be stored");
    let single = all[1..]
        .iter()
        .map(|record| bytes(&[begin(), record.clone()]));
    let corpus = Corpus::of([bytes(&all), bytes(&all[..5])]).and(single);
    let words = [
        &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
        &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
        &[0xce, 0xff, 0xff, 0xff, 0xff],
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0xc6, 0xff, 0xff, 0xff, 0xff],
        &[0xc0],
        &[0x90],
        &[0x80],
        &[0x7f],
        &[0x00],
    ];
    let names = [
        "piece", "from", "to", "moves", "still", "cameras", "number", "key", "bytes", "width",
        "run",
    ];
    let corpus = corpus.with_words(words).with_words(names);
    fuzz("records of journals", &corpus, |input| {
        let Ok(records) = rmp_serde::from_slice::<Vec<Record>>(input) else {
            return;
        };
        // What is read is written and read the same.
        let written = bytes(&records);
        let again: Vec<Record> = rmp_serde::from_slice(&written).expect("it can be read");
        assert_eq!(bytes(&again), written);
        use_them(recorded(records));
    });
}

/// A record with other numbers than a program writes.
fn with_numbers(record: &mut Record, random: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let numbers = [0, 1, 2, 3, 7, u64::from(u32::MAX), u64::MAX];
    let mut number = || random.choose(&numbers).copied();
    let index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    match record {
        Record::ImageStored(image) => {
            image.number = number()?;
            image.bytes = number()?;
            image.size = FrameSize::new(number()? as u32, number()? as u32);
        }
        Record::ChunkStored(stored) => {
            stored.run = vec![number()?, number()?];
            match &mut stored.content {
                ChunkContent::Next(chunk) => {
                    chunk.piece = index(number()?);
                    chunk.still = index(number()?);
                    chunk.chunk.points = index(number()?);
                    for (moved, _) in &mut chunk.moves {
                        *moved = index(number()?);
                    }
                    for join in &mut chunk.joins {
                        (join.from, join.to) = (index(number()?), index(number()?));
                    }
                    for camera in &mut chunk.cameras {
                        camera.id = number()?;
                    }
                }
                ChunkContent::First { chunk, .. } | ChunkContent::Piece { chunk, .. } => {
                    chunk.chunk.piece = index(number()?);
                    chunk.size = FrameSize::new(number()? as u32, number()? as u32);
                }
            }
        }
        Record::PiecesJoined(join) => (join.from, join.to) = (index(number()?), index(number()?)),
        Record::WorldChanged(change) => change.piece = index(number()?),
        Record::RequestMade(request) => (request.key, request.before) = (number()?, number()?),
        Record::ResultStored {
            request, result, ..
        } => {
            *request = number()?;
            let result = Arc::make_mut(result);
            (result.number, result.as_of) = (number()?, number()?);
        }
        Record::RequestFailed {
            request,
            number: run,
            ..
        } => (*request, *run) = (number()?, Some(number()?)),
        Record::AnswerDelivered { request } => *request = number()?,
        _ => {}
    }
    Ok(())
}

#[test]
fn records_in_any_order_with_any_numbers() {
    let all = records();
    let make = |random: &mut Unstructured<'_>| {
        let count = random.int_in_range(0..=20)?;
        (0..count)
            .map(|_| {
                let mut record = random.choose(&all)?.clone();
                if random.ratio(1, 4)? {
                    with_numbers(&mut record, random)?;
                }
                Ok(record)
            })
            .collect::<arbitrary::Result<Vec<_>>>()
    };
    fuzz_values("records in any order", make, |records| {
        use_them(recorded(
            [begin()]
                .into_iter()
                .chain(records.iter().cloned())
                .collect(),
        ));
    });
}

#[test]
fn damaged_files_of_journals() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let mut file = JournalFile::create(&path, Durability::None).expect("created");
    file.append(&[begin(), Record::SessionKept, image(1), made(1, "one")])
        .expect("written");
    // Closing it moves everything to one file.
    drop(file);
    let corpus = Corpus::of([std::fs::read(&path).expect("there")]);
    fuzz("files of journals", &corpus, |input| {
        for name in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"] {
            // Most are not there.
            let _ = std::fs::remove_file(folder.path().join(name));
        }
        std::fs::write(&path, input).expect("writable");
        match JournalFile::open(&path, Durability::None) {
            Ok((_, records)) => use_them(records.all),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

/// How the end of a file looks after the machine has lost power.
#[derive(Debug)]
enum Tail {
    Missing,
    Zeros,
    /// Bytes of something else.
    Other(u8),
}

/// Whatever of the last writes is missing, the records are those of a beginning.
#[test]
fn torn_ends_of_journals() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let mut file = JournalFile::create(&path, Durability::Sync).expect("created");
    let written = [vec![begin()], records()].concat();
    let log = folder.path().join("journal.sqlite-wal");
    // After each record, how long the log is: what is told to be durable then must stay.
    let mut lengths = Vec::new();
    for record in &written {
        file.append([record]).expect("written");
        lengths.push(std::fs::metadata(&log).expect("there").len());
    }
    // As the end of the process leaves them.
    let (main, whole) = (
        std::fs::read(&path).expect("there"),
        std::fs::read(&log).expect("there"),
    );
    let torn = folder.path().join("torn");
    std::fs::create_dir(&torn).expect("made");
    let make = |random: &mut Unstructured<'_>| {
        let cut = random.int_in_range(0..=whole.len())?;
        let tail = match random.int_in_range(0..=2)? {
            0 => Tail::Missing,
            1 => Tail::Zeros,
            _ => Tail::Other(random.arbitrary()?),
        };
        Ok((cut, tail))
    };
    fuzz_values("torn ends of journals", make, |(cut, tail)| {
        let mut content = whole[..*cut].to_vec();
        match tail {
            Tail::Missing => {}
            Tail::Zeros => content.resize(whole.len(), 0),
            Tail::Other(byte) => content.resize(whole.len(), *byte),
        }
        let path = torn.join("journal.sqlite");
        // Not there the first time.
        let _ = std::fs::remove_file(torn.join("journal.sqlite-shm"));
        std::fs::write(&path, &main).expect("writable");
        std::fs::write(torn.join("journal.sqlite-wal"), &content).expect("writable");
        let durable = lengths
            .iter()
            .filter(|length| **length <= *cut as u64)
            .count();
        match JournalFile::open(&path, Durability::None) {
            Ok((_, found)) => {
                assert!(
                    found.all.len() >= durable,
                    "{} of {durable}",
                    found.all.len()
                );
                let found = found.all.into_iter().map(|recorded| recorded.record);
                let found: Vec<_> = found.collect();
                assert_eq!(found, written[..found.len()]);
            }
            // Before the first record was durable there was no session.
            Err(error) => assert_eq!(durable, 0, "{error}"),
        }
    });
}
