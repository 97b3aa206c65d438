use std::sync::Arc;

use super::*;
use crate::blobs::contract;
use crate::metrics::Metrics;

fn open(path: &Path, limits: DiskLimits) -> Result<DataDir, DataDirError> {
    let metrics = Metrics::new().expect("valid metrics");
    DataDir::open(path, limits, metrics.disk.clone(), Durability::Sync)
}

/// Stores a blob of this many bytes.
fn put(blobs: &dyn Blobs, session: SessionId, number: u64, bytes: usize) -> io::Result<()> {
    let name = BlobName::Original(number);
    blobs.put_bytes(&BlobKey { session, name }, &vec![0; bytes])
}

#[test]
fn a_folder_may_be_named_without_a_path() {
    let here = std::env::current_dir().expect("a current folder");
    let folder = tempfile::tempdir_in(here).expect("a temporary folder");
    let name = folder.path().file_name().expect("a name");
    open(Path::new(name), DiskLimits::NONE).expect("usable");
}

#[test]
fn what_takes_too_much_space_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let limits = DiskLimits {
        all: 100,
        session: 60,
        ..DiskLimits::NONE
    };
    let data_dir = open(folder.path(), limits).expect("usable");
    let blobs: &dyn Blobs = &data_dir;
    let [one, two] = [SessionId::new_v4(), SessionId::new_v4()];
    for session in [one, two] {
        blobs.create_session(session).expect("a new session");
    }
    let refused = |result: io::Result<()>| {
        let error = result.expect_err("too much");
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        error.to_string()
    };
    put(blobs, one, 1, 40).expect("there is room");
    assert!(refused(put(blobs, one, 2, 21)).contains("the session"));
    // A blob that is replaced gives its space back, and so does one that is removed.
    put(blobs, one, 1, 60).expect("there is room");
    assert!(refused(put(blobs, two, 1, 41)).contains("all sessions"));
    let name = BlobName::Original(1);
    blobs
        .remove(&BlobKey { session: one, name })
        .expect("removed");
    put(blobs, two, 1, 60).expect("there is room");
    assert!(refused(put(blobs, one, 1, 41)).contains("all sessions"));
    blobs.remove_session(two).expect("removed");
    put(blobs, one, 1, 41).expect("there is room");
}

#[test]
fn the_sessions_of_a_client_share_its_space() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let limits = DiskLimits {
        client: 100,
        ..DiskLimits::NONE
    };
    let data_dir = open(folder.path(), limits).expect("usable");
    let sessions = [(); 5].map(|()| SessionId::new_v4());
    let [one, two, other, nobodys, strangers] = sessions;
    for (session, creator) in [
        (one, Some("a")),
        (two, Some("a")),
        (other, Some("b")),
        (nobodys, None),
        (strangers, None),
    ] {
        data_dir.create_session(session).expect("a new session");
        data_dir.charge(session, creator.map(Arc::from));
    }
    put(&data_dir, one, 1, 60).expect("there is room");
    let error = put(&data_dir, two, 1, 41).expect_err("too much");
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    assert!(error.to_string().contains("of this client"), "{error}");
    put(&data_dir, two, 1, 40).expect("there is room");
    // Others have their own, and a session of nobody has one alone.
    for session in [other, nobodys, strangers] {
        put(&data_dir, session, 1, 100).expect("there is room");
    }
    data_dir.remove_session(one).expect("removed");
    put(&data_dir, two, 2, 60).expect("there is room");
    // The next process counts the same.
    drop(data_dir);
    let data_dir = open(folder.path(), limits).expect("usable again");
    let name = BlobName::Original;
    let blobs = BTreeMap::from([(name(1), Some(40)), (name(2), Some(60))]);
    data_dir.restore_session(two, &blobs).expect("restored");
    data_dir.charge(two, Some("a".into()));
    data_dir.create_session(one).expect("a new session");
    data_dir.charge(one, Some("a".into()));
    put(&data_dir, one, 1, 1).expect_err("too much");
}

#[test]
fn a_removed_file_takes_space_until_nobody_reads_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let limits = DiskLimits {
        client: 100,
        ..DiskLimits::NONE
    };
    let data_dir = open(folder.path(), limits).expect("usable");
    let [one, two] = [(); 2].map(|()| SessionId::new_v4());
    for session in [one, two] {
        data_dir.create_session(session).expect("a new session");
        data_dir.charge(session, Some("a".into()));
    }
    let key = |session, number| BlobKey {
        session,
        name: BlobName::Original(number),
    };
    for number in 1..=3 {
        put(&data_dir, one, number, 20).expect("there is room");
    }
    let views = [1, 2, 3].map(|number| data_dir.view(&key(one, number)).expect("there"));
    let part = views[0].slice(0..5);
    // One is removed, one is replaced, and the last one goes with its session.
    data_dir.remove(&key(one, 1)).expect("removed");
    put(&data_dir, one, 2, 10).expect("there is room");
    put(&data_dir, two, 1, 31).expect_err("too much");
    put(&data_dir, two, 1, 30).expect("there is room");
    data_dir.remove_session(one).expect("removed");
    put(&data_dir, two, 2, 11).expect_err("too much");
    drop(views);
    put(&data_dir, two, 2, 51).expect_err("a part of one is read");
    put(&data_dir, two, 2, 50).expect("there is room");
    drop(part);
    put(&data_dir, two, 3, 20).expect("there is room");
    // A file with another name is still counted there.
    data_dir.create_session(one).expect("a new session");
    data_dir.charge(one, Some("a".into()));
    data_dir
        .link(&key(two, 1), &key(one, 1))
        .expect_err("too much");
    data_dir.remove(&key(two, 2)).expect("removed");
    data_dir.link(&key(two, 1), &key(one, 1)).expect("linked");
    let view = data_dir.view(&key(two, 1)).expect("there");
    data_dir.remove(&key(two, 1)).expect("removed");
    put(&data_dir, two, 1, 50).expect("it has another name");
    drop(view);
}

#[test]
fn a_disk_that_is_nearly_full_takes_no_more() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let limits = DiskLimits {
        reserve: u64::MAX,
        ..DiskLimits::NONE
    };
    let data_dir = open(folder.path(), limits).expect("usable");
    let session = SessionId::new_v4();
    data_dir.create_session(session).expect("a new session");
    for error in [put(&data_dir, session, 1, 1), data_dir.check_space()] {
        let error = error.expect_err("too little is free");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

#[test]
fn fulfils_the_contract() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blobs: Arc<dyn Blobs> = Arc::new(open(folder.path(), DiskLimits::NONE).expect("usable"));
    contract::test(&blobs);
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let theirs = folder.path().join("sessions").join("notes.txt");
    fs::create_dir(folder.path().join("sessions")).expect("made");
    fs::write(&theirs, b"mine").expect("written");
    let error = open(folder.path(), DiskLimits::NONE).expect_err("it is not empty");
    assert!(matches!(error, DataDirError::Foreign(_)), "{error}");
    assert_eq!(fs::read(&theirs).expect("there"), b"mine");
}

#[test]
fn a_dropped_draft_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blobs = open(folder.path(), DiskLimits::NONE).expect("usable");
    let session = SessionId::new_v4();
    blobs.create_session(session).expect("a new session");
    let name = BlobName::Original(1);
    let draft = blobs.draft(&BlobKey { session, name }).expect("a draft");
    let files = || fs::read_dir(blobs.folder(session)).expect("there").count();
    assert_eq!(files(), 1);
    drop(draft);
    assert_eq!(files(), 0);
}

#[test]
fn a_directory_serves_one_system_at_a_time_and_keeps_its_sessions() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = open(folder.path(), DiskLimits::NONE).expect("usable");
    let [kept, removed] = [SessionId::new_v4(), SessionId::new_v4()];
    for session in [kept, removed] {
        first.create_session(session).expect("a new session");
        put(&first, session, 1, 10).expect("stored");
    }
    let half = first.folder(removed).with_extension("removed");
    fs::rename(first.folder(removed), half).expect("renamed");
    assert!(matches!(
        open(folder.path(), DiskLimits::NONE),
        Err(DataDirError::InUse(_))
    ));
    drop(first);
    let second = open(folder.path(), DiskLimits::NONE).expect("usable again");
    let left = fs::read_dir(&second.sessions).expect("there");
    let left: Vec<_> = left.map(|entry| entry.expect("there").path()).collect();
    assert_eq!(left, [second.folder(kept)]);
}

#[test]
fn a_session_is_restored_with_its_blobs_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let limits = DiskLimits {
        session: 100,
        ..DiskLimits::NONE
    };
    let data_dir = open(folder.path(), limits).expect("usable");
    let session = SessionId::new_v4();
    data_dir.create_session(session).expect("a new session");
    for number in [1, 2] {
        put(&data_dir, session, number, 40).expect("stored");
    }
    drop(data_dir);
    let data_dir = open(folder.path(), limits).expect("usable again");
    let expected = |size| BTreeMap::from([(BlobName::Original(1), size)]);
    let restore = |size| data_dir.restore_session(session, &expected(size));
    assert!(restore(Some(41)).is_err(), "another size");
    restore(Some(40)).expect("it has the blob");
    let other = BlobName::Original(2);
    let other = data_dir.get(&BlobKey {
        session,
        name: other,
    });
    assert!(other.is_err(), "nobody knows it any more");
    put(&data_dir, session, 3, 61).expect_err("what it has is counted");
    put(&data_dir, session, 3, 60).expect("there is room");
    let missing = BTreeMap::from([(BlobName::Original(4), None)]);
    data_dir
        .restore_session(session, &missing)
        .expect_err("it is not there");
}

#[test]
fn another_format_is_refused_and_an_old_one_begins_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join(MARKER), "").expect("written");
    fs::create_dir_all(folder.path().join(SESSIONS).join("old")).expect("made");
    let opened = open(folder.path(), DiskLimits::NONE).expect("usable");
    assert_eq!(fs::read_dir(&opened.sessions).expect("there").count(), 0);
    drop(opened);
    // A marker that was lost with the power costs no session.
    let kept = folder.path().join(SESSIONS).join("new");
    fs::create_dir(&kept).expect("made");
    fs::write(kept.join(JOURNAL), "").expect("written");
    fs::write(folder.path().join(MARKER), "").expect("written");
    drop(open(folder.path(), DiskLimits::NONE).expect("usable"));
    assert!(kept.exists());
    fs::write(folder.path().join(MARKER), "7").expect("written");
    let error = open(folder.path(), DiskLimits::NONE).expect_err("unknown");
    assert!(error.to_string().contains("format \"7\""), "{error}");
}
