//! Contract tests for implementations of [`Blobs`].
//!
//! Call [`test`] with an empty store from the tests of an implementation.

use std::io::{ErrorKind, Write};
use std::sync::Arc;

use pointstream_reconstruction::formats::ResultFormat;

use super::{BlobKey, BlobName, Blobs};
use crate::ids::SessionId;

/// Runs all checks, each on sessions of its own.
pub(crate) fn test(blobs: &Arc<dyn Blobs>) {
    let blobs = blobs.as_ref();
    what_is_put_can_be_read(blobs);
    a_blob_is_replaced_as_a_whole(blobs);
    a_dropped_draft_leaves_nothing(blobs);
    a_removed_blob_is_gone_and_its_views_stay(blobs);
    a_linked_blob_is_independent(blobs);
    keys_do_not_collide(blobs);
    a_removed_session_takes_its_blobs_along(blobs);
}

fn session(blobs: &dyn Blobs) -> SessionId {
    let session = SessionId::new_v4();
    blobs.create_session(session).expect("a new session");
    session
}

fn key(session: SessionId) -> BlobKey {
    BlobKey {
        session,
        name: BlobName::Original(1),
    }
}

fn is_missing<T: std::fmt::Debug>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn what_is_put_can_be_read(blobs: &dyn Blobs) {
    let key = key(session(blobs));
    assert!(is_missing(blobs.get(&key)) && is_missing(blobs.view(&key)));
    for content in [&b"content"[..], b""] {
        blobs.put_bytes(&key, content).expect("stored");
        assert_eq!(blobs.get(&key).expect("there"), content);
    }
    blobs.put_bytes(&key, b"seen").expect("stored");
    let view = blobs.view(&key).expect("there");
    assert_eq!(view.read().expect("readable"), b"seen"[..]);
}

fn a_blob_is_replaced_as_a_whole(blobs: &dyn Blobs) {
    let key = key(session(blobs));
    blobs
        .put_bytes(&key, b"a long first version")
        .expect("stored");
    let view = blobs.view(&key).expect("there");
    let mut draft = blobs.draft(&key).expect("a draft");
    draft.write_all(b"second").expect("written");
    assert_eq!(
        blobs.get(&key).expect("there"),
        b"a long first version",
        "a draft does not show before it is put"
    );
    blobs.put(draft).expect("stored");
    assert_eq!(blobs.get(&key).expect("there"), b"second");
    let seen = view.read().expect("readable");
    assert_eq!(seen, b"a long first version"[..], "a view does not change");
}

fn a_dropped_draft_leaves_nothing(blobs: &dyn Blobs) {
    let key = key(session(blobs));
    let mut draft = blobs.draft(&key).expect("a draft");
    draft.write_all(b"half").expect("written");
    drop(draft);
    assert!(is_missing(blobs.get(&key)));
}

fn a_removed_blob_is_gone_and_its_views_stay(blobs: &dyn Blobs) {
    let key = key(session(blobs));
    blobs.put_bytes(&key, b"content").expect("stored");
    let view = blobs.view(&key).expect("there");
    blobs.remove(&key).expect("removed");
    assert!(is_missing(blobs.get(&key)));
    assert_eq!(view.read().expect("readable"), b"content"[..]);
    blobs
        .remove(&key)
        .expect("what is not there counts as removed");
}

fn a_linked_blob_is_independent(blobs: &dyn Blobs) {
    let (one, other) = (key(session(blobs)), key(session(blobs)));
    assert!(is_missing(blobs.link(&one, &other)));
    blobs.put_bytes(&one, b"first").expect("stored");
    blobs.link(&one, &other).expect("linked");
    blobs.put_bytes(&one, b"second").expect("stored");
    assert_eq!(blobs.get(&other).expect("there"), b"first");
    // It takes the place of what was there.
    blobs.link(&one, &other).expect("linked");
    assert_eq!(blobs.get(&other).expect("there"), b"second");
    blobs.remove_session(one.session).expect("removed");
    assert!(is_missing(blobs.get(&one)));
    assert_eq!(blobs.get(&other).expect("there"), b"second");
    blobs.remove(&other).expect("removed");
    assert!(is_missing(blobs.get(&other)));
}

fn keys_do_not_collide(blobs: &dyn Blobs) {
    let (one, other) = (session(blobs), session(blobs));
    let job = SessionId::new_v4();
    let names = [
        BlobName::Original(1),
        BlobName::Original(11),
        BlobName::Prepared(1),
        BlobName::Prediction(job),
        BlobName::Result(1, ResultFormat::Glb),
        BlobName::Result(1, ResultFormat::Colmap),
        BlobName::Result(1, ResultFormat::Nerfstudio),
    ];
    let keys: Vec<_> = [one, other]
        .into_iter()
        .flat_map(|session| names.map(|name| BlobKey { session, name }))
        .collect();
    for key in &keys {
        blobs
            .put_bytes(key, key.to_string().as_bytes())
            .expect("stored");
    }
    for key in &keys {
        assert_eq!(blobs.get(key).expect("there"), key.to_string().as_bytes());
    }
}

fn a_removed_session_takes_its_blobs_along(blobs: &dyn Blobs) {
    let (ended, other) = (key(session(blobs)), key(session(blobs)));
    blobs.put_bytes(&ended, b"content").expect("stored");
    blobs.put_bytes(&other, b"content").expect("stored");
    let mut draft = blobs.draft(&ended).expect("a draft");
    draft.write_all(b"late").expect("written");
    blobs.remove_session(ended.session).expect("removed");
    assert!(blobs.put(draft).is_err(), "it comes too late");
    assert!(is_missing(blobs.get(&ended)));
    assert!(blobs.draft(&ended).is_err());
    blobs
        .remove_session(ended.session)
        .expect("removing it again does no harm");
    assert_eq!(blobs.get(&other).expect("there"), b"content");
}
