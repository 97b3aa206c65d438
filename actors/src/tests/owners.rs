//! Sessions whose creator stops waiting.

use std::time::Duration;

use super::{FakeModel, Fixture, config};
use crate::{Creator, DeleteSessionError, Unanswered, Whose};

/// Waits until there are no sessions and no files of any.
async fn nothing_is_left(fixture: &Fixture) {
    let gone = async {
        while !fixture
            .system
            .sessions(Whose::Anyones)
            .await
            .expect("it answers")
            .is_empty()
            || std::fs::read_dir(fixture.system.settings().data_dir.join("sessions"))
                .expect("the folder of sessions stays")
                .next()
                .is_some()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .expect("a session of nobody ends");
}

#[tokio::test]
async fn a_session_that_nobody_waits_for_any_more_ends() {
    let fixture = Fixture::new(FakeModel::new(), 1).await;
    for step in 0..20 {
        // Whether it leaves before, while or after the session is made.
        let patience = Duration::from_micros(100 * step);
        let create = fixture.system.create_session(config(), None, None);
        drop(tokio::time::timeout(patience, create).await);
    }
    nothing_is_left(&fixture).await;
}

#[tokio::test]
async fn a_kept_session_stays() {
    let fixture = Fixture::new(FakeModel::new(), 1).await;
    let made = fixture.system.create_session(config(), None, None).await;
    let kept = made.expect("room").keep().await.expect("kept");
    kept.summary().await.expect("it lives");
    let deleted = fixture
        .system
        .delete_session(kept.id(), Whose::Anyones)
        .await;
    assert_eq!(deleted, Ok(()));
    nothing_is_left(&fixture).await;
}

#[tokio::test]
async fn a_session_of_another_creator_does_not_exist() {
    let fixture = Fixture::new(FakeModel::new(), 1).await;
    let system = &fixture.system;
    let creator = Creator {
        name: "a".into(),
        max_sessions: 2,
    };
    let made = system.create_session(config(), Some(creator), None).await;
    let id = made.expect("room").keep().await.expect("kept").id();
    let other = system.create_session(config(), None, None).await;
    let other = other.expect("room").keep().await.expect("kept").id();

    let own = Whose::Of("a".into());
    let stranger = Whose::Of("b".into());
    let wrong_one = Whose::One(other, "a".into());
    for whose in [Whose::Anyones, own.clone(), Whose::One(id, "a".into())] {
        assert!(system.session(id, whose).await.is_ok());
    }
    for whose in [&stranger, &wrong_one] {
        let found = system.session(id, whose.clone()).await.err();
        assert_eq!(found, Some(Unanswered::NotFound));
        let listed = system.sessions(whose.clone()).await.expect("it answers");
        assert!(listed.is_empty());
        let deleted = system.delete_session(id, whose.clone()).await;
        let not_found = DeleteSessionError::Unanswered(Unanswered::NotFound);
        assert_eq!(deleted, Err(not_found));
    }
    let listed = system.sessions(own.clone()).await.expect("it answers");
    assert_eq!(listed.len(), 1);
    let all = system.sessions(Whose::Anyones).await.expect("it answers");
    assert_eq!(all.len(), 2);
    assert_eq!(system.delete_session(id, own).await, Ok(()));
}
