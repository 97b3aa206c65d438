//! Sessions whose creator stops waiting.

use std::time::Duration;

use super::{FakeModel, Fixture, config};

/// Waits until there are no sessions and no files of any.
async fn nothing_is_left(fixture: &Fixture) {
    let gone = async {
        while !fixture
            .system
            .sessions()
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
        let create = fixture.system.create_session(config());
        drop(tokio::time::timeout(patience, create).await);
    }
    nothing_is_left(&fixture).await;
}

#[tokio::test]
async fn a_kept_session_stays() {
    let fixture = Fixture::new(FakeModel::new(), 1).await;
    let made = fixture.system.create_session(config()).await;
    let kept = made.expect("room").keep();
    kept.summary().await.expect("it lives");
    let deleted = fixture.system.delete_session(kept.id()).await;
    assert_eq!(deleted, Ok(()));
    nothing_is_left(&fixture).await;
}
